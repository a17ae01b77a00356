"""
Handles in the shape of `Provider`: Ray's troubles end here.

Handles are prepared once: `.options()` copies a dataclass at every call. Small messages go over Serve's
internal gRPC, which is three times cheaper than an actor call; a body near its message limit goes by
reference.
"""

import asyncio
import os
from collections.abc import AsyncIterator
from typing import Any

from grpc import RpcError
from ray.exceptions import RayError
from ray.serve.exceptions import BackPressureError, RayServeException

from serve_app.errors import FailureKind, UpstreamError, upstream_error
from serve_app.providers.base import Answer, Call, Health, StreamItem

# Serve refuses larger messages over gRPC; `sekha serve` raises the limit. Read as Serve itself reads it.
GRPC_LIMIT = int(os.environ.get("RAY_SERVE_REPLICA_GRPC_MAX_MESSAGE_LENGTH") or 4 * 1024 * 1024)
LARGE_BODY = GRPC_LIMIT * 3 // 4
ROOMY = 64 * 1024 * 1024  # a limit no batch of vectors comes near
GRACE_S = 2.0  # on top of an attempt's own bound, for the way there and back

_OVER_GRPC = {
    "_by_reference": False,
    "request_serialization": "pickle",
    "response_serialization": "pickle",
}
_BY_REFERENCE = {"_by_reference": True}


class HandleProvider:
    """A provider reached through the handle of its deployment."""

    def __init__(self, provider_id: str, handle: Any) -> None:
        self._id = provider_id
        self._chat = handle.options(method_name="chat", **_OVER_GRPC)
        self._large_chat = handle.options(method_name="chat", **_BY_REFERENCE)
        # A few texts can make a large answer, and nobody knows before it is there.
        vectors = _OVER_GRPC if GRPC_LIMIT >= ROOMY else _BY_REFERENCE
        self._embed = handle.options(method_name="embed", **vectors)
        self._stream = handle.options(method_name="chat_stream", stream=True, **_OVER_GRPC)
        self._large_stream = handle.options(method_name="chat_stream", stream=True, **_BY_REFERENCE)
        self._health = handle.options(method_name="health", **_OVER_GRPC)

    async def chat(self, call: Call) -> Answer | UpstreamError:
        handle = self._chat if len(call.body) < LARGE_BODY else self._large_chat
        return await self._answer(handle, call)

    async def embed(self, call: Call) -> Answer | UpstreamError:
        return await self._answer(self._embed, call)

    async def chat_stream(self, call: Call) -> AsyncIterator[StreamItem]:
        handle = self._stream if len(call.body) < LARGE_BODY else self._large_stream
        try:
            stream = handle.remote(call)
        except (RayError, RayServeException) as error:
            yield self._translated(error)
            return
        try:
            async for item in stream:
                yield item
        except (RayError, RayServeException, RpcError) as error:
            yield self._translated(error)
        finally:
            stream.cancel()

    async def health(self) -> Health:
        health: Health = await self._health.remote()
        return health

    async def aclose(self) -> None:
        """Nothing to close: the connections are the deployment's."""

    async def _answer(self, handle: Any, call: Call) -> Answer | UpstreamError:
        try:
            async with asyncio.timeout(call.timeout_s + GRACE_S):
                answer: Answer | UpstreamError = await handle.remote(call)
                return answer
        except TimeoutError:
            return upstream_error(f"No answer within {call.timeout_s:g} s", self._id, FailureKind.TIMEOUT)
        except (RayError, RayServeException, RpcError) as error:
            return self._translated(error)

    def _translated(self, error: Exception) -> UpstreamError:
        """What Ray itself can do to us, in the gateway's words."""
        if isinstance(error, BackPressureError):
            message = f"The provider's queue is full ({self._id})"
            return upstream_error(message, self._id, FailureKind.OVERLOADED, retry_after_s=1.0)
        name = type(error).__name__
        return upstream_error(f"The provider's replica failed: {name}", self._id, FailureKind.BROKEN)
