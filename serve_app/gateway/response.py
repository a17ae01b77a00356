"""Answers of the gateway: whole or streamed."""

from collections.abc import AsyncGenerator, Awaitable, Callable
from dataclasses import dataclass

from serve_app.errors import GatewayError
from serve_app.gateway.routing_info import RoutingInfo
from serve_app.providers.base import StreamEnd

Items = AsyncGenerator[bytes | StreamEnd | GatewayError, None]


@dataclass(frozen=True, slots=True)
class Response:
    """A whole answer: `body` is JSON in the caller's format, unless `content_type` says otherwise."""

    body: bytes
    routed: RoutingInfo
    content_type: str | None = None


class ResponseStream:
    """
    A stream that has begun, or one that is held back.

    It yields blocks of whole SSE frames, or pieces of sound, whose `content_type` is told; then the
    StreamEnd, or a GatewayError if the answer was cut short.
    `routed` is None until an answer that is held back has arrived. Always close it: that releases the
    upstream stream, even if nothing was read yet.
    """

    def __init__(
        self,
        routed: RoutingInfo | None,
        items: Items,
        leave: Callable[[], Awaitable[None]],
        content_type: str | None = None,
    ) -> None:
        self.routed = routed
        self.content_type = content_type
        self._items = items
        self._leave = leave
        self._begun = False

    def __aiter__(self) -> Items:
        self._begun = True
        return self._items

    async def aclose(self) -> None:
        """Close the stream, also one that was never started: its generator would not clean up by itself."""
        if not self._begun:
            self._begun = True
            await self._leave()
        await self._items.aclose()
