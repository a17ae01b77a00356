"""
The timeouts of one attempt, each with its own message.

    |-- connect --|
    |-- first byte ---------|                the head of the answer
    |-- first token -----------------|       of a stream
                                     |-- idle --|-- idle --|
    |-- whole -----------------------------------------------|  of an answer that is not streamed
"""

import asyncio
from collections.abc import Awaitable
from enum import Enum
from math import inf
from typing import TypeVar

from serve_app.errors import FailureKind, UpstreamError, upstream_error

T = TypeVar("T")

# How long to wait for the usage and [DONE] of an answer that is whole: not all upstreams send them.
USAGE_S = 2.0


class Timeout(Enum):
    """A timeout: the setting that it comes from, and the message for when it expires."""

    CONNECT = "connect_timeout_s", "could not be connected to within {} s"
    FIRST_BYTE = "first_byte_timeout_s", "did not begin to answer within {} s"
    FIRST_TOKEN = "first_token_timeout_s or the deadline", "sent no first token within {} s"
    IDLE = "stream_idle_timeout_s", "fell silent for {} s in the middle of its answer"
    WHOLE = "timeout or the deadline", "did not finish its answer within {} s"


class OutOfTime(TimeoutError):
    """One of the gateway's own timeouts expired."""

    def __init__(self, limit: Timeout, limit_s: float) -> None:
        super().__init__(limit, limit_s)
        self.limit = limit
        self.limit_s = limit_s


async def within(limit_s: float, limit: Timeout, coming: Awaitable[T]) -> T:
    """Await `coming`. Raises OutOfTime after `limit_s`; a TimeoutError of other code passes unchanged."""
    try:
        async with asyncio.timeout(None if limit_s == inf else limit_s) as scope:
            return await coming
    except TimeoutError as error:
        if scope.expired():
            raise OutOfTime(limit, limit_s) from error
        raise


def out_of_time(provider_id: str, limit: Timeout, limit_s: float) -> UpstreamError:
    """
    Return the failure of a timeout of the gateway.

    It has no upstream status, unlike a timeout that the upstream itself reports.
    """
    setting, sentence = limit.value
    return upstream_error(
        f"Provider '{provider_id}' {sentence.format(f'{limit_s:g}')} ({setting})",
        provider_id,
        FailureKind.TIMEOUT,
    )
