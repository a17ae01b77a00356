"""Deployment handles as providers, with Ray's exceptions turned into upstream errors."""

import asyncio
import logging
import time
from collections.abc import AsyncGenerator
from typing import Any

from ray.exceptions import RayActorError, RayTaskError
from ray.serve.exceptions import BackPressureError, DeploymentUnavailableError

from serve_app.deployments.handle_method import TROUBLES, HandleMethod
from serve_app.errors import FailureKind, ReplicaLost, UpstreamError, internal_error, upstream_error
from serve_app.providers.base import Answer, Call, Health, HealthStatus, StreamItem
from serve_app.providers.timeouts import OutOfTime, Timeout, out_of_time, within

GRACE_S = 2.0  # added to an attempt's own timeout, for the call and the return

logger = logging.getLogger("sekha.providers")


class HandleProvider:
    """
    A provider reached through the handle of its deployment.

    The replica enforces the timeouts of a call; they are enforced here as well, `GRACE_S` later, because a
    replica that hangs enforces none. A call that ends early is cancelled in the replica.
    """

    def __init__(self, provider_id: str, handle: Any) -> None:
        self._id = provider_id
        self._handle = handle
        self._chat = HandleMethod(handle, "chat")
        self._stream = HandleMethod(handle, "chat_stream", stream=True)
        self._embed = HandleMethod(handle, "embed", large_answers=True)
        self._count_tokens = HandleMethod(handle, "count_tokens")
        self._perform = HandleMethod(handle, "perform", large_answers=True)
        self._health = HandleMethod(handle, "health")
        self._waking: asyncio.Task[None] | None = None
        self._logged_failure: type[Exception] | None = None

    async def chat(self, call: Call) -> Answer | UpstreamError:
        return await self._answer(self._chat, call)

    async def embed(self, call: Call) -> Answer | UpstreamError:
        return await self._answer(self._embed, call)

    async def count_tokens(self, call: Call) -> Answer | UpstreamError:
        return await self._answer(self._count_tokens, call)

    async def perform(self, call: Call) -> Answer | UpstreamError:
        return await self._answer(self._perform, call)

    async def chat_stream(self, call: Call) -> AsyncGenerator[StreamItem, None]:
        stream = None
        limit_s, limit = call.timeout_s, Timeout.FIRST_TOKEN
        try:
            stream = self._stream.remote(call.size, call)
            while True:
                item: StreamItem = await within(limit_s + GRACE_S, limit, anext(stream))
                yield item
                limit_s, limit = call.idle_s, Timeout.IDLE
        except StopAsyncIteration:
            pass
        except Exception as error:  # noqa: BLE001 (see _translated)
            yield self._translated(error, call.request_id)
        finally:
            if stream is not None:
                stream.cancel()

    async def health(self) -> Health:
        """Return the health that the replica reports; unknown while the first one is starting."""
        if not self._handle.running_replicas_populated():
            return Health(HealthStatus.UNKNOWN, None, None, (), time.time())
        try:
            response = self._health.remote(0)
            try:
                health: Health = await response
            except asyncio.CancelledError:
                response.cancel()  # the caller stopped waiting; so does the replica
                raise
        except Exception as error:  # noqa: BLE001
            failure = self._translated(error)
            return Health(HealthStatus.UNHEALTHY, None, failure.note or failure.message, (), time.time())
        return health

    def wake(self) -> None:
        """Start a replica if there is none: a waiting call makes Serve start one."""
        if self._waking is None or self._waking.done():
            self._waking = asyncio.create_task(self._wake())

    async def _wake(self) -> None:
        try:
            response = self._handle.wake.remote()
            try:
                await response
            except asyncio.CancelledError:
                response.cancel()
                raise
        except Exception as error:  # noqa: BLE001
            if self._logged_failure is not type(error):  # logged once, not for every request
                logger.warning(
                    "provider '%s' did not scale up: %s", self._id, self._translated(error).message
                )
            self._logged_failure = type(error)
        else:
            self._logged_failure = None

    async def aclose(self) -> None:
        """Cancel a pending wake-up; the connections belong to the deployment."""
        if self._waking is not None:
            self._waking.cancel()
            await asyncio.gather(self._waking, return_exceptions=True)

    async def _answer(self, method: HandleMethod, call: Call) -> Answer | UpstreamError:
        try:
            response = method.remote(call.size, call)
            try:
                answer: Answer | UpstreamError = await within(
                    call.timeout_s + GRACE_S, Timeout.WHOLE, response
                )
            except BaseException:
                response.cancel()  # the caller is gone: stop the replica and the upstream too
                raise
        except Exception as error:  # noqa: BLE001
            return self._translated(error, call.request_id)
        return answer

    def _translated(self, error: Exception, request_id: str = "") -> UpstreamError:
        """
        Return the upstream error for an exception of a handle's call.

        If the replica is gone, another one may answer; without a deployment nothing was sent. An exception
        that is not Ray's own comes from our code, here or in the replica: a request that cannot be
        serialized, an answer that cannot be deserialized, a bug.
        """
        match error:
            case OutOfTime():
                return out_of_time(self._id, error.limit, error.limit_s - GRACE_S)
            case BackPressureError():
                message = f"The provider's queue is full ({self._id})"
                return upstream_error(message, self._id, FailureKind.SATURATED, retry_after_s=1.0)
            case DeploymentUnavailableError():
                message = f"The provider's deployment is unavailable ({self._id})"
                return upstream_error(message, self._id, FailureKind.UNREACHABLE)
            case RayTaskError() if not isinstance(error.cause, RayActorError):
                is_ours = True
            case _:
                is_ours = not isinstance(error, TROUBLES)
        what = f"The provider's replica failed: {type(getattr(error, 'cause', None) or error).__name__}"
        if is_ours:
            logger.error("request %s: internal error at provider '%s'", request_id, self._id, exc_info=error)
            return internal_error(self._id, request_id).telling(note=what)
        return ReplicaLost(what, self._id, _replica_of(error))


def _replica_of(error: Exception) -> str | None:
    """Return the id of the actor that is gone; None if Ray does not report it."""
    cause = error.cause if isinstance(error, RayTaskError) else error
    return cause.actor_id if isinstance(cause, RayActorError) else None
