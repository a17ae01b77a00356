"""A provider behind a handle: whatever Ray does to a call, the gateway hears it as a failure, and in time."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from grpc import RpcError
from ray.exceptions import ActorDiedError, ActorUnavailableError, RayTaskError
from ray.serve.exceptions import (
    BackPressureError,
    DeploymentUnavailableError,
    RayServeException,
    RequestCancelledError,
)

from serve_app.deployments import provider_handle
from serve_app.deployments.provider_handle import HandleProvider
from serve_app.errors import FailureKind, ProviderTimeoutError, ReplicaLost, UpstreamError
from serve_app.providers.base import Answer, Call, StreamEnd, StreamHead, StreamItem

pytestmark = pytest.mark.anyio

HEAD, END = StreamHead(0.1), StreamEnd(None, 0.2, 3)
ANSWER = Answer(b"{}", None, 0.1)
CALL = Call("m", b"{}", timeout_s=0.1, idle_s=0.1)


class Response:
    """What a handle gives for one call: to be awaited, or gone through."""

    def __init__(self, does: Callable[[], Any]) -> None:
        self._does = does
        self.cancelled = False

    def __await__(self) -> Any:
        return self._does().__await__()

    def __aiter__(self) -> AsyncIterator[StreamItem]:
        return self

    async def __anext__(self) -> StreamItem:
        self._items = getattr(self, "_items", None) or self._does()
        return await anext(self._items)

    def cancel(self) -> None:
        self.cancelled = True


class Handle:
    """A handle whose deployment does this with every call."""

    def __init__(self, does: Callable[[], Any]) -> None:
        self._does = does
        self.responses: list[Response] = []

    def running_replicas_populated(self) -> bool:
        return True

    def options(self, **_: Any) -> "Handle":
        return self

    @property
    def wake(self) -> "Handle":
        return self

    def remote(self, *_: Any) -> Response:
        self.responses.append(Response(self._does))
        return self.responses[-1]


def raising(error: BaseException) -> Callable[[], Awaitable[Any]]:
    async def fails() -> Any:
        raise error

    return fails


async def hangs() -> Any:
    await asyncio.sleep(3600)


async def answers() -> Answer:
    return ANSWER


async def items_of(handle: Handle) -> list[StreamItem]:
    return [item async for item in HandleProvider("p", handle).chat_stream(CALL)]


@pytest.fixture(autouse=True)
def _no_grace(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(provider_handle, "GRACE_S", 0.0)


TROUBLES = [
    (ActorDiedError(), FailureKind.UNREACHABLE),
    (ActorUnavailableError("gone", b"x" * 16), FailureKind.UNREACHABLE),
    (RpcError(), FailureKind.UNREACHABLE),
    (DeploymentUnavailableError(None), FailureKind.UNREACHABLE),
    (RequestCancelledError("being replaced"), FailureKind.UNREACHABLE),
    (RayTaskError("chat", "trace", ActorDiedError()), FailureKind.UNREACHABLE),
    (RayTaskError("chat", "trace", KeyError("bug")), FailureKind.INTERNAL),
    (KeyError("a bug, as it comes over gRPC"), FailureKind.INTERNAL),
    (RecursionError("too deep to be pickled"), FailureKind.INTERNAL),
    (TimeoutError("the replica's own"), FailureKind.INTERNAL),
    (BackPressureError(5, 5), FailureKind.SATURATED),
]


@pytest.mark.parametrize(("error", "kind"), TROUBLES, ids=lambda value: type(value).__name__)
async def test_rays_troubles_are_failures(error: Exception, kind: FailureKind) -> None:
    async def breaks() -> AsyncIterator[StreamItem]:
        yield HEAD
        raise error

    whole = await HandleProvider("p", Handle(raising(error))).chat(CALL)
    head, streamed = await items_of(Handle(breaks))

    assert head is HEAD
    for failure in (whole, streamed):
        assert isinstance(failure, UpstreamError)
        assert (failure.failure, failure.upstream_status) == (kind, None)
        assert failure.retry_after_s == (1.0 if kind is FailureKind.SATURATED else None)
        assert "trace" not in failure.message


@pytest.mark.parametrize(
    ("error", "replica"),
    [
        (ActorUnavailableError("gone", b"x" * 16), (b"x" * 16).hex()),
        (RayTaskError("chat", "trace", ActorUnavailableError("gone", b"x" * 16)), (b"x" * 16).hex()),
        (ActorDiedError(), None),
        (RequestCancelledError("being replaced"), None),
    ],
    ids=repr,
)
async def test_a_lost_call_tells_which_replica_it_was_lost_with(
    error: Exception, replica: str | None
) -> None:
    lost = await HandleProvider("p", Handle(raising(error))).chat(CALL)

    assert isinstance(lost, ReplicaLost)
    assert lost.replica == replica


async def test_where_there_is_no_deployment_nothing_was_lost() -> None:
    failure = await HandleProvider("p", Handle(raising(DeploymentUnavailableError(None)))).chat(CALL)

    assert isinstance(failure, UpstreamError)
    assert not isinstance(failure, ReplicaLost)


async def test_an_answer_comes_through_and_nothing_is_cancelled() -> None:
    handle = Handle(answers)

    assert await HandleProvider("p", handle).chat(CALL) is ANSWER
    assert [response.cancelled for response in handle.responses] == [False]


async def test_a_count_of_tokens_comes_through_and_one_that_fails_is_a_failure() -> None:
    assert await HandleProvider("p", Handle(answers)).count_tokens(CALL) is ANSWER
    lost = await HandleProvider("p", Handle(raising(RpcError()))).count_tokens(CALL)
    assert isinstance(lost, UpstreamError)


async def test_a_stream_comes_through() -> None:
    async def streams() -> AsyncIterator[StreamItem]:
        for item in (HEAD, b"data: {}\n\n", END):
            yield item

    assert await items_of(Handle(streams)) == [HEAD, b"data: {}\n\n", END]


async def test_a_replica_that_hangs_is_given_up_and_told_to_stop() -> None:
    handle = Handle(hangs)

    failure = await HandleProvider("p", handle).chat(CALL)

    assert isinstance(failure, ProviderTimeoutError)
    assert failure.message == "Provider 'p' did not finish its answer within 0.1 s (timeout or the deadline)"
    assert [response.cancelled for response in handle.responses] == [True]


@pytest.mark.parametrize(
    ("before", "setting"),
    [([], "first_token_timeout_s"), ([HEAD, b"data: {}\n\n"], "stream_idle_timeout_s")],
    ids=["at once", "midway"],
)
async def test_a_stream_whose_replica_hangs_is_given_up(before: list[StreamItem], setting: str) -> None:
    async def stops() -> AsyncIterator[StreamItem]:
        for item in before:
            yield item
        await hangs()

    handle = Handle(stops)
    *items, failure = await items_of(handle)

    assert items == before
    assert isinstance(failure, ProviderTimeoutError)
    assert setting in failure.message
    assert [response.cancelled for response in handle.responses] == [True]


async def test_a_caller_who_leaves_cancels_the_call() -> None:
    handle = Handle(hangs)
    asked = Call("m", b"{}", timeout_s=60)
    waiting = asyncio.create_task(HandleProvider("p", handle).chat(asked))
    while not handle.responses:  # noqa: ASYNC110
        await asyncio.sleep(0)

    waiting.cancel()
    await asyncio.wait([waiting])

    assert waiting.cancelled()
    assert [response.cancelled for response in handle.responses] == [True]


@pytest.mark.parametrize("error", [ActorDiedError(), KeyError("a bug, as it comes over gRPC")], ids=repr)
async def test_a_replica_that_fails_is_unhealthy(error: Exception) -> None:
    health = await HandleProvider("p", Handle(raising(error))).health()

    assert health.status == "unhealthy"
    assert type(error).__name__ in str(health.error)


async def test_one_call_to_wake_is_out_at_a_time() -> None:
    started = asyncio.Event()
    handle = Handle(started.wait)
    provider = HandleProvider("p", handle)

    for _ in range(5):
        provider.wake()
        await asyncio.sleep(0)
    assert len(handle.responses) == 1

    started.set()
    await asyncio.sleep(0.01)
    provider.wake()
    await asyncio.sleep(0.01)
    assert len(handle.responses) == 2
    assert not any(response.cancelled for response in handle.responses)


async def test_a_provider_that_does_not_wake_is_called_again_hurts_nobody_and_is_told_of_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    awake = iter([False, False, True, False])

    async def wakes() -> None:
        if not next(awake):
            raise DeploymentUnavailableError(None)

    handle = Handle(wakes)
    provider = HandleProvider("p", handle)

    for _ in range(4):
        provider.wake()
        await asyncio.sleep(0.01)

    assert len(handle.responses) == 4
    assert (
        caplog.text.count("provider 'p' did not scale up") == 2
    )  # at first, and when it had been well again


async def test_a_handle_that_takes_no_call_any_more_hurts_nobody_who_wakes(
    caplog: pytest.LogCaptureFixture,
) -> None:
    class Closed(Handle):
        def remote(self, *_: Any) -> Response:
            raise RayServeException("the application is being deleted")

    provider = HandleProvider("p", Closed(hangs))
    provider.wake()
    await asyncio.sleep(0.01)

    await provider.aclose()
    assert "provider 'p' did not scale up" in caplog.text


async def test_who_closes_a_provider_waits_for_no_machine() -> None:
    handle = Handle(hangs)
    provider = HandleProvider("p", handle)
    provider.wake()
    await asyncio.sleep(0)

    await provider.aclose()

    assert [response.cancelled for response in handle.responses] == [True]
