"""Handles in the shape of `Provider`: Ray's troubles end here."""

import asyncio
import time
from collections.abc import AsyncGenerator
from typing import Any

from ray.exceptions import RayTaskError
from ray.serve.exceptions import BackPressureError

from serve_app.deployments.handles import TROUBLES, BySize
from serve_app.errors import FailureKind, UpstreamError, upstream_error
from serve_app.providers.base import Answer, Call, Health, HealthStatus, StreamItem

GRACE_S = 2.0  # on top of an attempt's own bound, for the way there and back


class HandleProvider:
    """A provider reached through the handle of its deployment."""

    def __init__(self, provider_id: str, handle: Any) -> None:
        self._id = provider_id
        self._handle = handle
        self._chat = BySize(handle, "chat")
        self._stream = BySize(handle, "chat_stream", stream=True)
        self._embed = BySize(handle, "embed", large_answers=True)
        self._health = BySize(handle, "health")

    async def chat(self, call: Call) -> Answer | UpstreamError:
        return await self._answer(self._chat, call)

    async def embed(self, call: Call) -> Answer | UpstreamError:
        return await self._answer(self._embed, call)

    async def chat_stream(self, call: Call) -> AsyncGenerator[StreamItem, None]:
        try:
            stream = self._stream.remote(len(call.body), call)
        except TROUBLES as error:
            yield self._translated(error)
            return
        try:
            async with asyncio.timeout(call.timeout_s + GRACE_S):
                first = await anext(stream, None)
            if first is not None:
                yield first
            async for item in stream:
                yield item
        except TimeoutError:
            yield self._too_late(call)
        except TROUBLES as error:
            yield self._translated(error)
        finally:
            stream.cancel()

    async def health(self) -> Health:
        """What the replica finds; nobody knows while the first one is still starting."""
        if not self._handle.running_replicas_populated():
            return Health(HealthStatus.UNKNOWN, None, None, (), time.time())
        try:
            response = self._health.remote(0)
            try:
                health: Health = await response
            except asyncio.CancelledError:
                response.cancel()  # whoever asked has waited long enough; so has the replica
                raise
        except TROUBLES as error:
            return Health(HealthStatus.UNHEALTHY, None, self._translated(error).message, (), time.time())
        return health

    async def aclose(self) -> None:
        """Nothing to close: the connections are the deployment's."""

    async def _answer(self, method: BySize, call: Call) -> Answer | UpstreamError:
        try:
            async with asyncio.timeout(call.timeout_s + GRACE_S):
                answer: Answer | UpstreamError = await method.remote(len(call.body), call)
                return answer
        except TimeoutError:
            return self._too_late(call)
        except TROUBLES as error:
            return self._translated(error)

    def _too_late(self, call: Call) -> UpstreamError:
        return upstream_error(f"No answer within {call.timeout_s:g} s", self._id, FailureKind.TIMEOUT)

    def _translated(self, error: Exception) -> UpstreamError:
        """What Ray itself can do to us, in the gateway's words."""
        if isinstance(error, BackPressureError):
            message = f"The provider's queue is full ({self._id})"
            return upstream_error(message, self._id, FailureKind.SATURATED, retry_after_s=1.0)
        kind = FailureKind.BROKEN if isinstance(error, RayTaskError) else FailureKind.UNREACHABLE
        return upstream_error(f"The provider's replica failed: {type(error).__name__}", self._id, kind)
