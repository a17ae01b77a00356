"""Handles in the shape of `Provider`: Ray's troubles end here."""

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

GRACE_S = 2.0  # on top of an attempt's own bound, for the way there and back

logger = logging.getLogger("sekha.providers")


class HandleProvider:
    """
    A provider reached through the handle of its deployment.

    The replica keeps the limits of a call; here they are kept once more, a little later, because a replica
    that hangs keeps none. Whatever ends a call early, the replica is told to stop.
    """

    def __init__(self, provider_id: str, handle: Any) -> None:
        self._id = provider_id
        self._handle = handle
        self._chat = HandleMethod(handle, "chat")
        self._stream = HandleMethod(handle, "chat_stream", stream=True)
        self._embed = HandleMethod(handle, "embed", large_answers=True)
        self._health = HandleMethod(handle, "health")
        self._waking: asyncio.Task[None] | None = None
        self._told_why: type[Exception] | None = None

    async def chat(self, call: Call) -> Answer | UpstreamError:
        return await self._answer(self._chat, call)

    async def embed(self, call: Call) -> Answer | UpstreamError:
        return await self._answer(self._embed, call)

    async def chat_stream(self, call: Call) -> AsyncGenerator[StreamItem, None]:
        stream = None
        limit_s, limit = call.timeout_s, Timeout.FIRST_TOKEN
        try:
            stream = self._stream.remote(len(call.body), call)
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
        except Exception as error:  # noqa: BLE001
            failure = self._translated(error)
            return Health(HealthStatus.UNHEALTHY, None, failure.note or failure.message, (), time.time())
        return health

    def wake(self) -> None:
        """See to it that a replica starts where there is none: what waits for one makes Serve start it."""
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
            if self._told_why is not type(error):  # said once, and not with every request that would wake it
                logger.warning(
                    "provider '%s' did not scale up: %s", self._id, self._translated(error).message
                )
            self._told_why = type(error)
        else:
            self._told_why = None

    async def aclose(self) -> None:
        """Wait for nothing any more; the connections are the deployment's."""
        if self._waking is not None:
            self._waking.cancel()
            await asyncio.gather(self._waking, return_exceptions=True)

    async def _answer(self, method: HandleMethod, call: Call) -> Answer | UpstreamError:
        try:
            response = method.remote(len(call.body), call)
            try:
                answer: Answer | UpstreamError = await within(
                    call.timeout_s + GRACE_S, Timeout.WHOLE, response
                )
            except BaseException:
                response.cancel()  # nobody waits for it any more; nor shall the replica, or the upstream
                raise
        except Exception as error:  # noqa: BLE001
            return self._translated(error, call.request_id)
        return answer

    def _translated(self, error: Exception, request_id: str = "") -> UpstreamError:
        """
        Say in the gateway's words what Ray itself can do to us.

        A replica that is gone has answered nobody, and another may; where there is no deployment, nothing was
        sent. Whatever is not Ray's own is an exception of our code, here or in the replica: a request that
        cannot be sent over, an answer that cannot be read back, a bug.
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
    """The replica that is gone, by the name of its actor; None where Ray does not tell."""
    cause = error.cause if isinstance(error, RayTaskError) else error
    return cause.actor_id if isinstance(cause, RayActorError) else None
