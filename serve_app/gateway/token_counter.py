"""
Token counts by the vendor that would answer a request.

A count is no attempt: it costs nothing, is in no ledger, and no breaker hears of it. Where the vendor does
not answer it in time, the caller gets an estimate.
"""

import asyncio
import logging
from collections.abc import Mapping
from typing import NamedTuple

from serve_app.errors import UpstreamError
from serve_app.gateway.request import GatewayRequest
from serve_app.providers.base import Answer, Call, Provider, TokenCounting
from serve_app.routing.target import Target

MOST_S = 5.0  # a client waits for a count before it sends the prompt itself
MOST_AT_ONCE = 32  # of one router; more are estimated

log = logging.getLogger("sekha.gateway")


class TokenCount(NamedTuple):
    """
    The count of a prompt.

    Fields:
        target: where the request would go.
        exact: the vendor's answer, `{"input_tokens": …}`; None: it has to be estimated.
    """

    target: Target
    exact: bytes | None


class TokenCounter:
    """The counter of one gateway."""

    def __init__(self, providers: Mapping[str, Provider]) -> None:
        self._providers = providers
        self._under_way = 0

    def can_ask(self, target: Target, request: GatewayRequest) -> bool:
        """Return whether the target counts requests of this format, and there is room for another one."""
        speaks = target.counts_tokens and request.format.name in target.formats
        return speaks and self._under_way < MOST_AT_ONCE

    async def ask(self, target: Target, request: GatewayRequest, within_s: float) -> bytes | None:
        """Return the vendor's count, as it wrote it; None after any failure."""
        provider = self._providers[target.provider_id]
        if not isinstance(provider, TokenCounting):
            return None
        timeout_s = min(MOST_S, within_s)
        call = Call(
            target.model_id,
            request.body,
            timeout_s,
            request.id,
            first_byte_s=timeout_s,
            format=request.format.name,
            headers=request.headers,
        )
        self._under_way += 1
        try:
            async with asyncio.timeout(timeout_s):  # a queue in front of the provider counts as well
                counted: Answer | UpstreamError = await provider.count_tokens(call)
        except TimeoutError:
            log.info("request %s: tokens are estimated: no count within %g s", request.id, timeout_s)
            return None
        except Exception:
            log.exception("request %s: counting tokens at '%s' failed", request.id, target.provider_id)
            return None
        finally:
            self._under_way -= 1
        if isinstance(counted, UpstreamError):
            log.info("request %s: tokens are estimated: %s", request.id, counted.message)
            return None
        return counted.body
