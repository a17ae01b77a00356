"""Opening of upstream streams: up to the first output, or the whole stream at once."""

import asyncio
from collections.abc import AsyncGenerator

from serve_app.errors import FailureKind, UpstreamError, upstream_error
from serve_app.gateway.attempt import Attempt
from serve_app.providers.base import Call, Provider, StreamEnd, StreamHead, StreamItem

OpenStream = tuple[StreamHead, AsyncGenerator[StreamItem, None]]


async def open_stream(provider: Provider, call: Call, attempt: Attempt) -> OpenStream | UpstreamError:
    """Start a stream and wait for its first output; until then the next target can still be asked."""
    stream = provider.chat_stream(call)
    try:
        first = await anext(stream, None)
    except BaseException:
        await stream.aclose()
        raise
    if isinstance(first, StreamHead):
        attempt.dropped = first.dropped
        return first, stream
    await stream.aclose()
    return first if isinstance(first, UpstreamError) else no_ending(attempt.provider_id)


async def whole_stream(
    provider: Provider, call: Call, attempt: Attempt, within_s: float, most: float
) -> tuple[StreamHead, list[bytes], StreamEnd] | UpstreamError:
    """Read a whole stream of at most `most` bytes within `within_s` seconds."""
    try:
        async with asyncio.timeout(within_s):
            opened = await open_stream(provider, call, attempt)
            if isinstance(opened, UpstreamError):
                return opened
            head, stream = opened
            blocks: list[bytes] = []
            try:
                async for item in stream:
                    if isinstance(item, bytes):
                        blocks.append(item)
                        attempt.listen(item)
                        if (most := most - len(item)) < 0:
                            return _too_much(attempt.provider_id)
                    elif isinstance(item, StreamEnd):
                        return head, blocks, item
                    elif isinstance(item, UpstreamError):
                        return item
            finally:
                await stream.aclose()
    except TimeoutError:
        attempt.ran_into_deadline = True
        message = f"Provider '{attempt.provider_id}' did not finish before the request's deadline"
        return upstream_error(message, attempt.provider_id, FailureKind.TIMEOUT)
    return no_ending(attempt.provider_id)


def no_ending(provider_id: str) -> UpstreamError:
    """Return the failure of a provider whose stream neither ended nor failed."""
    return upstream_error("The stream was cut off before its end", provider_id, FailureKind.BROKEN)


def _too_much(provider_id: str) -> UpstreamError:
    message = f"Provider '{provider_id}' sent an answer over its limit of max_answer_mb"
    return upstream_error(message, provider_id, FailureKind.BROKEN)
