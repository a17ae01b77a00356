"""The client of a running gateway, against a handle that is a plain object."""

import asyncio
from collections.abc import AsyncIterator, Generator, Iterator, Sequence
from typing import Any

import orjson
import pytest
from ray.exceptions import ActorDiedError
from ray.serve.exceptions import BackPressureError, DeploymentUnavailableError

from serve_app.caller import NOBODY
from serve_app.clients.gateway import GRACE_S, GatewayClient
from serve_app.config.routing import OnStreamFailure
from serve_app.deployments.handle_method import LARGE_BODY
from serve_app.errors import FailureKind, GatewayError, GatewayUnavailable, ModelNotFound, upstream_error

pytestmark = pytest.mark.anyio

ANSWER = {"object": "chat.completion", "choices": [{"message": {"content": "hello"}}]}
FRAMES = b'data: {"n": 1}\n\ndata: {"n": 2}\n\n'

Said = bytes | GatewayError | Exception


class Response:
    """One answer, to be awaited or waited for; one that is None never comes."""

    def __init__(self, said: Said | None) -> None:
        self._said = said
        self.cancelled = False

    def __await__(self) -> Generator[Any, None, Said]:
        if self._said is None:
            yield from asyncio.Event().wait().__await__()
        return self._answer()

    def result(self, timeout_s: float) -> Said:
        if self._said is None:
            raise TimeoutError
        return self._answer()

    def cancel(self) -> None:
        self.cancelled = True

    def _answer(self) -> Said:
        if isinstance(self._said, Exception) and not isinstance(self._said, GatewayError):
            raise self._said
        assert self._said is not None
        return self._said


class Stream:
    """Several answers in a row, for loops of both kinds."""

    def __init__(self, said: Sequence[Said]) -> None:
        self._said = iter([Response(item) for item in said])
        self.cancelled = False

    def __aiter__(self) -> AsyncIterator[Said]:
        return self

    async def __anext__(self) -> Said:
        for response in self._said:
            return await response
        raise StopAsyncIteration

    def __iter__(self) -> Iterator[Said]:
        return (response.result(0) for response in self._said)

    def cancel(self) -> None:
        self.cancelled = True


class Handle:
    """A router's handle that gives these answers and remembers how it was asked."""

    def __init__(self, *said: Said | None, stream: Sequence[Said] | None = None, initialized: bool = False):
        self.is_initialized = initialized
        self.init: dict[str, Any] | None = None
        self.calls: list[tuple[dict[str, Any], dict[str, Any], str]] = []
        self.terms: list[tuple[object, ...]] = []
        self.responses: list[Response | Stream] = [Stream(stream)] if stream is not None else []
        self.responses += [Response(item) for item in said]
        self._answers = iter(self.responses)
        self._options: dict[str, Any] = {}
        self._root = self

    def _init(self, **options: Any) -> None:
        assert not self.is_initialized
        self.is_initialized = True
        self.init = options

    def options(self, **options: Any) -> "Handle":
        assert self.is_initialized
        chosen = Handle(initialized=True)
        chosen._options, chosen._root = options, self
        return chosen

    def remote(self, body: bytes, request_id: str, *terms: object) -> Response | Stream:
        self._root.terms.append(terms)
        self._root.calls.append((self._options, orjson.loads(body), request_id))
        return next(self._root._answers)


def client(handle: Handle, timeout_s: float = 5) -> GatewayClient:
    return GatewayClient(handle=handle, timeout_s=timeout_s)


async def test_a_text_is_one_message_of_the_users() -> None:
    handle = Handle(orjson.dumps(ANSWER))

    assert await client(handle).chat("Hello!", model="chat_smart", max_cost=0.01) == ANSWER

    [(options, body, request_id)] = handle.calls
    assert options["method_name"] == "chat"
    assert body == {
        "messages": [{"role": "user", "content": "Hello!"}],
        "model": "chat_smart",
        "max_cost": 0.01,
    }
    assert len(request_id) == 32


async def test_the_deadline_and_the_policy_for_broken_streams_travel_along() -> None:
    handle = Handle(orjson.dumps(ANSWER), stream=[FRAMES])
    gateway = GatewayClient(handle=handle, timeout_s=7, on_stream_failure="hold")

    _ = [chunk async for chunk in gateway.chat_stream("hi")]
    await gateway.chat("hi")

    assert handle.terms == [(7, NOBODY, OnStreamFailure.HOLD), (7, NOBODY)]


def test_a_policy_that_does_not_exist_is_said_at_once() -> None:
    with pytest.raises(ValueError, match="hope"):
        GatewayClient(on_stream_failure="hope")


async def test_a_whole_body_can_be_given_as_it_is() -> None:
    handle = Handle(orjson.dumps(ANSWER))
    body = {"messages": [{"role": "user", "content": "hi"}], "temperature": 0, "unheard_of": [1]}

    await client(handle).chat(**body)

    assert handle.calls[0][1] == body


async def test_a_stream_comes_in_chunks_whatever_blocks_they_travel_in() -> None:
    handle = Handle(stream=[FRAMES, b'data: {"n": 3}\n\n'])

    assert [chunk async for chunk in client(handle).chat_stream("hi")] == [{"n": 1}, {"n": 2}, {"n": 3}]

    options, body, _ = handle.calls[0]
    assert (options["method_name"], options["stream"], body["stream"]) == ("chat_stream", True, True)


async def test_a_stream_that_is_left_early_is_cancelled() -> None:
    handle = Handle(stream=[FRAMES, FRAMES])

    chunks = client(handle).chat_stream("hi")
    await anext(chunks)
    await chunks.aclose()

    assert handle.responses[0].cancelled


async def test_vectors_are_asked_for_in_openais_words() -> None:
    handle = Handle(b'{"object": "list", "data": []}')

    assert (await client(handle).embed(["a", "b"], model="sim-embed"))["object"] == "list"

    options, body, _ = handle.calls[0]
    assert (options["method_name"], body) == ("embed", {"input": ["a", "b"], "model": "sim-embed"})


async def test_what_the_gateway_refuses_is_raised_as_it_is() -> None:
    with pytest.raises(ModelNotFound, match=r"'nope' does not exist\. Available: gpt-4o"):
        await client(Handle(ModelNotFound("nope", ["gpt-4o"]))).chat("hi", model="nope")


async def test_an_error_in_the_middle_of_a_stream_is_raised_after_what_came_before() -> None:
    cut = upstream_error("cut off", "p", FailureKind.BROKEN)
    chunks = client(Handle(stream=[FRAMES, cut])).chat_stream("hi")

    assert [await anext(chunks), await anext(chunks)] == [{"n": 1}, {"n": 2}]
    with pytest.raises(GatewayError, match="cut off"):
        await anext(chunks)


@pytest.mark.parametrize(
    ("trouble", "words"),
    [
        (BackPressureError(1, 2), "is too busy"),
        (DeploymentUnavailableError("router"), "failed: DeploymentUnavailableError"),
        (ActorDiedError(), "failed: ActorDiedError"),
    ],
    ids=["queue full", "not deployed", "died"],
)
async def test_rays_troubles_come_in_the_gateways_words(trouble: Exception, words: str) -> None:
    with pytest.raises(GatewayUnavailable, match=f"The gateway 'sekha' {words}"):
        await client(Handle(trouble)).chat("hi")
    with pytest.raises(GatewayUnavailable, match=words):
        await anext(client(Handle(stream=[trouble])).chat_stream("hi"))


async def test_an_answer_that_does_not_come_in_time_is_cancelled() -> None:
    handle = Handle(None)

    with pytest.raises(GatewayUnavailable, match="did not answer within 0 s"):
        await client(handle, timeout_s=-GRACE_S).chat("hi")

    assert handle.responses[0].cancelled


async def test_a_caller_who_gives_up_cancels_the_call() -> None:
    handle = Handle(None)
    call = asyncio.create_task(client(handle).chat("hi"))
    while not handle.calls:  # noqa: ASYNC110 (a thread looks for the handle)
        await asyncio.sleep(0)
    await asyncio.sleep(0)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call

    assert handle.responses[0].cancelled


@pytest.mark.parametrize(("size", "by_reference"), [(10, False), (LARGE_BODY, True)], ids=["small", "large"])
async def test_a_large_body_goes_by_reference_and_a_small_one_over_grpc(
    size: int, by_reference: bool
) -> None:
    handle = Handle(orjson.dumps(ANSWER))

    await client(handle).chat("x" * size)

    assert handle.calls[0][0]["_by_reference"] is by_reference


async def test_vectors_come_by_reference_because_nobody_knows_how_many() -> None:
    handle = Handle(b"{}")

    await client(handle).embed("short")

    assert handle.calls[0][0]["_by_reference"] is True


def test_hazard_1_a_handles_router_gets_a_loop_of_its_own() -> None:
    handle = Handle(orjson.dumps(ANSWER), orjson.dumps(ANSWER))
    gateway = client(handle)

    gateway.chat_sync("one")
    gateway.chat_sync("two")

    assert handle.init == {"_run_router_in_separate_loop": True}


def test_hazard_1_a_handle_in_use_already_is_left_as_it_is() -> None:
    handle = Handle(orjson.dumps(ANSWER), initialized=True)

    client(handle).chat_sync("hi")

    assert handle.init is None


def test_the_twins_without_a_loop_do_the_same() -> None:
    gateway = client(Handle(orjson.dumps(ANSWER), b'{"data": []}'))
    assert gateway.chat_sync("hi") == ANSWER
    assert gateway.embed_sync("hi") == {"data": []}

    handle = Handle(stream=[FRAMES])
    assert list(client(handle).chat_stream_sync("hi")) == [{"n": 1}, {"n": 2}]
    assert handle.responses[0].cancelled


def test_the_twins_without_a_loop_raise_the_same() -> None:
    with pytest.raises(ModelNotFound):
        client(Handle(ModelNotFound("nope", []))).chat_sync("hi")
    with pytest.raises(GatewayUnavailable, match="did not answer"):
        client(Handle(None)).embed_sync("hi")
    with pytest.raises(GatewayUnavailable, match="failed: ActorDiedError"):
        list(client(Handle(stream=[ActorDiedError()])).chat_stream_sync("hi"))
