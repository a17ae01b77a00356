"""A provider in a process of its own, which holds its key and its connections."""

import logging
import os
from collections.abc import AsyncGenerator

from serve_app.clock import SystemClock
from serve_app.config.provider import ProviderConfig
from serve_app.deployments.gc_tuning import tune_gc
from serve_app.errors import UpstreamError, internal_error
from serve_app.observability.logs import configure_logs
from serve_app.providers.address_policy import EndpointPolicy
from serve_app.providers.base import (
    Answer,
    Call,
    Health,
    StreamItem,
    TokenCounting,
    counts_nothing,
    performed,
)
from serve_app.providers.factory import build_provider

log = logging.getLogger("sekha.provider")


class ProviderDeployment:
    """
    The deployment of a provider.

    The key is read from this replica's environment only. Failures are returned as values: a raised one would
    arrive wrapped in a remote traceback, or not at all if it cannot be pickled. The same holds for exceptions
    of our own code: their tracebacks stay in this replica's log.
    """

    def __init__(self, config: ProviderConfig, log_level: str, endpoint_policy: EndpointPolicy) -> None:
        configure_logs(log_level)
        tune_gc()
        self._id = config.id
        self._provider = build_provider(config, os.environ, SystemClock(), endpoint_policy)

    async def chat(self, call: Call) -> Answer | UpstreamError:
        try:
            return await self._provider.chat(call)
        except Exception:  # noqa: BLE001 - see _ours
            return self._ours(call)

    async def chat_stream(self, call: Call) -> AsyncGenerator[StreamItem, None]:
        stream = self._provider.chat_stream(call)
        try:
            async for item in stream:
                yield item
        except Exception:  # noqa: BLE001 - see _ours
            yield self._ours(call)
        finally:
            await stream.aclose()

    async def embed(self, call: Call) -> Answer | UpstreamError:
        try:
            return await self._provider.embed(call)
        except Exception:  # noqa: BLE001 - see _ours
            return self._ours(call)

    async def count_tokens(self, call: Call) -> Answer | UpstreamError:
        if not isinstance(self._provider, TokenCounting):
            return counts_nothing(self._id)
        try:
            return await self._provider.count_tokens(call)
        except Exception:  # noqa: BLE001 - see _ours
            return self._ours(call)

    async def perform(self, call: Call) -> Answer | UpstreamError:
        try:
            return await performed(self._provider, call)
        except Exception:  # noqa: BLE001 - see _ours
            return self._ours(call)

    async def health(self) -> Health:
        return await self._provider.health()

    def _ours(self, call: Call) -> UpstreamError:
        """Log the current exception, and return the error for the router."""
        log.exception("request %s: internal error at provider '%s'", call.request_id, self._id)
        return internal_error(self._id, call.request_id)

    async def __del__(self) -> None:
        """Close the provider; Serve awaits this when it retires a replica, also after a failed start."""
        if hasattr(self, "_provider"):
            await self._provider.aclose()
