"""What a caller sees when a stream breaks off: an error, another target that goes on, or nothing of it."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import suppress

import orjson
import pytest

from serve_app.config.routing import OnStreamFailure
from serve_app.errors import FailureKind, GatewayError, UpstreamError, upstream_error
from serve_app.events import AttemptFailed, RequestAbandoned, RequestFailed, RequestServed
from serve_app.formats.chat_request import ChatRequest
from serve_app.formats.openai_chat.request import read_chat
from serve_app.gateway.response import ResponseStream
from serve_app.gateway.streaming.buffered import COMMENT
from serve_app.pricing.usage import Usage
from serve_app.providers.base import Call, StreamEnd, StreamHead, StreamItem
from tests.support.clock import FakeClock
from tests.support.harness import Harness, ListedProvider
from tests.support.settings import two_providers
from tests.unit.gateway.streaming.test_resume import frame, frames, text_of

pytestmark = pytest.mark.anyio

USAGE = Usage(10, 4)
TEXTS = ["One ", "two ", "three ", "four"]
RESUME, HOLD = OnStreamFailure.RESUME, OnStreamFailure.HOLD


def cut(provider_id: str = "first") -> UpstreamError:
    return upstream_error("was cut off", provider_id, FailureKind.BROKEN)


def whole(texts: Sequence[str] = TEXTS, chunk_id: str = "b", usage: Usage | None = USAGE) -> list[StreamItem]:
    blocks = [*frames(texts, chunk_id), frame({}, chunk_id, "stop")]
    return [StreamHead(0.1), *blocks, StreamEnd(usage, 0.3, 16)]


def broken(texts: Sequence[str] = TEXTS[:2], provider_id: str = "first") -> list[StreamItem]:
    return [StreamHead(0.1), *frames(texts), cut(provider_id)]


def request(**fields: object) -> ChatRequest:
    messages = [{"role": "user", "content": "hi"}]
    return read_chat(orjson.dumps({"messages": messages, "stream": True, **fields}))


async def harness(first: Sequence[object], second: Sequence[object] = ()) -> Harness:
    providers = {"first": ListedProvider(*first), "second": ListedProvider(*(second or [whole()]))}
    return await Harness(two_providers(), providers, FakeClock()).open()


async def read(stream: ResponseStream) -> tuple[str, list[object]]:
    """The text a caller has in the end, and what is not text."""
    items = [item async for item in stream]
    blocks = b"".join(item for item in items if isinstance(item, bytes) and item != COMMENT)
    return text_of(blocks), [item for item in items if not isinstance(item, bytes)]


def events(made: Harness, kind: type) -> list[object]:
    return [event for event in made.events if isinstance(event, kind)]


async def test_by_default_a_stream_that_breaks_off_ends_with_its_error() -> None:
    made = await harness([broken()])

    text, [error] = await read(await made.chat_stream(request(), "r1"))

    assert text == "One two "
    assert isinstance(error, UpstreamError)
    assert made.providers["second"].calls == []


@pytest.mark.parametrize("policy", OnStreamFailure)
@pytest.mark.parametrize(("counted", "shown"), [(True, [10, 4]), (False, [])])
async def test_a_usage_that_we_counted_is_shown_to_a_caller_who_asked_as_the_upstream_cannot(
    policy: OnStreamFailure, counted: bool, shown: list[int]
) -> None:
    made = await harness([whole(usage=USAGE._replace(estimated=counted))])
    asked = request(stream_options={"include_usage": True})

    items = [item async for item in await made.chat_stream(asked, "r1", on_failure=policy)]

    chunks = [
        orjson.loads(frame[6:]) for item in items[:-1] for frame in item.split(b"\n\n") if frame[:1] == b"d"
    ]
    usages = [chunk["usage"] for chunk in chunks if chunk.get("usage")]
    assert [count for u in usages for count in (u["prompt_tokens"], u["completion_tokens"])] == shown


async def test_a_part_of_an_answer_is_paid_for_though_nobody_gets_the_rest() -> None:
    made = await harness([broken()])

    await read(await made.chat_stream(request(), "r1"))

    [failed] = events(made, AttemptFailed)
    assert failed.usage == Usage(1, 3, estimated=True)  # three frames, a token each
    assert len(events(made, RequestFailed)) == 1


async def test_a_part_that_came_in_sentences_is_paid_for_by_its_length() -> None:
    made = await harness([broken(["A whole sentence of forty characters is. "])])

    await read(await made.chat_stream(request(), "r1"))

    [failed] = events(made, AttemptFailed)
    assert failed.usage == Usage(1, 41 // 4, estimated=True)


async def test_a_part_that_repeats_itself_in_every_frame_costs_no_more_than_an_answer_may() -> None:
    made = await harness([broken(["so far " * n for n in range(1, 40)])])

    await read(await made.chat_stream(request(max_tokens=50), "r1"))

    [failed] = events(made, AttemptFailed)
    assert failed.usage == Usage(1, 50, estimated=True)


async def test_a_resumed_stream_goes_on_where_the_first_one_broke_off() -> None:
    made = await harness([broken()])

    text, [end] = await read(await made.chat_stream(request(), "r1", on_failure=RESUME))

    assert text == "".join(TEXTS)
    assert isinstance(end, StreamEnd)
    [served] = events(made, RequestServed)
    assert (served.provider_id, served.usage, served.fell_back) == ("second", USAGE, True)
    assert [event.provider_id for event in events(made, AttemptFailed)] == ["first"]
    assert set(made.control.gauges.values()) == {0}


async def test_a_stream_is_resumed_however_long_it_had_run_by_then() -> None:
    made = await harness([])
    slow = made.providers["first"] = Gated(broken())

    stream = await made.chat_stream(request(), "r1", timeout_s=5, on_failure=RESUME)
    made.clock.advance(60)
    slow.gate.set()
    text, [end] = await read(stream)

    assert text == "".join(TEXTS)
    assert isinstance(end, StreamEnd)
    assert [call.timeout_s for call in made.providers["second"].calls] == [5]


async def test_a_resumed_stream_that_begins_otherwise_is_the_first_error() -> None:
    made = await harness([broken()], [whole(["Something ", "else"])])

    text, [error] = await read(await made.chat_stream(request(), "r1", on_failure=RESUME))

    assert text == "One two "
    assert isinstance(error, UpstreamError)
    assert error.provider_id == "first"
    assert made.control.breakers.of("second").failure_count == 0
    assert made.providers["second"].closed_streams == 1


async def test_a_resumed_stream_that_ends_too_early_is_the_first_error() -> None:
    short = [StreamHead(0.1), *frames(["One "]), StreamEnd(None, 0.3, 4)]
    made = await harness([broken()], [short])

    _, [error] = await read(await made.chat_stream(request(), "r1", on_failure=RESUME))

    assert isinstance(error, UpstreamError)
    assert error.provider_id == "first"


async def test_when_nobody_can_go_on_the_caller_hears_why_it_broke_off() -> None:
    refused = upstream_error("no prefill here", "second", FailureKind.REJECTED)
    made = await harness([broken()], [refused])

    _, [error] = await read(await made.chat_stream(request(), "r1", on_failure=RESUME))

    assert error.provider_id == "first"
    assert len(events(made, RequestFailed)) == 1


@pytest.mark.parametrize("passes", [False, True])
async def test_what_one_vendor_flags_in_the_middle_is_shown_to_another_only_where_that_is_wished(
    passes: bool,
) -> None:
    flagged = upstream_error("flagged", "first", FailureKind.CONTENT_FILTER)
    providers = {
        "first": ListedProvider([StreamHead(0.1), *frames(TEXTS[:2]), flagged]),
        "second": ListedProvider(whole()),
    }
    configured = two_providers(routing={"fallback_on_content_filter": passes})
    made = await Harness(configured, providers, FakeClock()).open()

    text, [end] = await read(await made.chat_stream(request(), "r1", on_failure=RESUME))

    assert len(providers["second"].calls) == passes
    assert text == "".join(TEXTS if passes else TEXTS[:2])
    assert isinstance(end, StreamEnd if passes else UpstreamError)


async def test_half_a_tool_call_is_not_carried_on() -> None:
    call = frame({"tool_calls": [{"index": 0, "function": {"name": "f", "arguments": '{"a'}}]})
    made = await harness([[StreamHead(0.1), call, cut()]])

    _, [error] = await read(await made.chat_stream(request(), "r1", on_failure=RESUME))

    assert isinstance(error, UpstreamError)
    assert made.providers["second"].calls == []


async def test_a_held_stream_hides_a_failure_in_the_middle_altogether() -> None:
    made = await harness([broken()], [whole(["Something ", "else"])])

    stream = await made.chat_stream(request(), "r1", on_failure=HOLD)
    text, [end] = await read(stream)

    assert text == "Something else"
    assert isinstance(end, StreamEnd)
    assert stream.routed.target.provider_id == "second"
    assert [event.usage.output_tokens for event in events(made, AttemptFailed)] == [3]


async def test_a_held_stream_that_nobody_can_serve_is_an_error_like_any_other() -> None:
    made = await harness([cut()], [cut("second")])

    with pytest.raises(UpstreamError):
        await made.chat_stream(request(), "r1", on_failure=HOLD)


class Gated(ListedProvider):
    """Says its first words and waits to be let on."""

    def __init__(self, *answers: Sequence[StreamItem]) -> None:
        super().__init__(*answers)
        self.gate = asyncio.Event()
        self.begun = asyncio.Event()
        self.left = asyncio.Event()

    async def chat_stream(self, call: Call) -> AsyncGenerator[StreamItem, None]:
        head, *rest = self._next(call)
        self.begun.set()
        try:
            yield head
            await self.gate.wait()
            for item in rest:
                yield item
        finally:
            self.left.set()


async def test_comments_keep_the_caller_of_a_held_stream_waiting() -> None:
    made = await harness([])
    slow = made.providers["first"] = Gated(whole())

    stream = await made.chat_stream(request(), "r1", on_failure=HOLD)
    items = aiter(stream)
    assert [await anext(items) for _ in range(3)] == [COMMENT] * 3
    assert stream.routed is None
    slow.gate.set()
    text, [end] = await read(stream)

    assert text == "".join(TEXTS)
    assert isinstance(end, StreamEnd)
    assert stream.routed.target.provider_id == "first"


async def test_a_held_stream_that_fails_late_ends_with_its_error() -> None:
    made = await harness([], [cut("second")])
    slow = made.providers["first"] = Gated(broken())

    stream = await made.chat_stream(request(), "r1", on_failure=HOLD)
    assert await anext(aiter(stream)) == COMMENT
    slow.gate.set()
    text, [error] = await read(stream)

    assert text == ""
    assert isinstance(error, GatewayError)


@pytest.mark.parametrize("begun", [True, False])
async def test_who_leaves_a_held_stream_leaves_the_provider_as_well(begun: bool) -> None:
    made = await harness([])
    slow = made.providers["first"] = Gated(whole())

    stream = await made.chat_stream(request(), "r1", on_failure=HOLD)
    if begun:
        await anext(aiter(stream))
    await stream.aclose()

    assert slow.left.is_set()
    assert len(events(made, RequestAbandoned)) == 1
    assert set(made.control.gauges.values()) == {0}


class Still(FakeClock):
    """A clock that stands still: nothing that is waited for by time ever comes."""

    async def sleep(self, seconds: float) -> None:
        await asyncio.Event().wait()


async def test_who_leaves_a_held_stream_before_its_first_comment_leaves_the_provider_as_well() -> None:
    slow = Gated(whole())
    providers = {"first": slow, "second": ListedProvider(whole())}
    made = await Harness(two_providers(), providers, Still()).open()

    asking = asyncio.create_task(made.chat_stream(request(), "r1", on_failure=HOLD))
    await slow.begun.wait()
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking

    assert slow.left.is_set()
    assert len(events(made, RequestAbandoned)) == 1
    assert set(made.control.gauges.values()) == {0}


@pytest.mark.parametrize("policy", OnStreamFailure)
@pytest.mark.parametrize(
    ("first", "second"),
    [
        (whole(), whole()),
        (broken(), whole()),
        (broken(), broken(provider_id="second")),
        (cut(), cut("second")),
    ],
    ids=["well", "broken", "both broken", "both refused"],
)
async def test_a_request_ends_exactly_once(
    first: Sequence[StreamItem], second: Sequence[StreamItem], policy: OnStreamFailure
) -> None:
    made = await harness([first], [second])

    with suppress(GatewayError):
        await read(await made.chat_stream(request(), "r1", on_failure=policy))

    endings = (RequestServed, RequestFailed, RequestAbandoned)
    assert sum(isinstance(event, endings) for event in made.events) == 1


async def test_a_held_stream_that_was_cut_is_not_asked_for_at_the_same_target_again() -> None:
    providers = {"first": ListedProvider(broken()), "second": ListedProvider(whole())}
    config = two_providers({"retry": {"max_retries": 3}})
    made = await Harness(config, providers, FakeClock()).open()

    stream = await made.chat_stream(request(), "r1", on_failure=HOLD)

    assert stream.routed.target.provider_id == "second"
    assert len(providers["first"].calls) == 1


async def test_a_usage_that_was_asked_for_and_not_told_is_added_at_the_end() -> None:
    made = await harness([whole(usage=None)])
    wants = request(stream_options={"include_usage": True})

    for policy in (OnStreamFailure.ERROR, HOLD):
        stream = await made.chat_stream(wants, "r1", on_failure=policy)
        *_, last, _ = [item async for item in stream]
        assert orjson.loads(last[6:])["usage"]["completion_tokens"] == 4


async def test_who_leaves_in_the_middle_is_reckoned_for_what_had_come() -> None:
    made = await harness([whole()])

    stream = await made.chat_stream(request(), "r1")
    items = aiter(stream)
    for _ in range(3):
        await anext(items)
    await stream.aclose()

    [gone] = events(made, RequestAbandoned)
    assert gone.usage == Usage(1, 3, estimated=True)
    assert gone.model_id == "first-chat"


async def test_a_held_stream_for_which_the_time_was_too_short_says_nothing_about_the_provider() -> None:
    class Endless(ListedProvider):
        async def chat_stream(self, call: Call) -> AsyncGenerator[StreamItem, None]:
            yield StreamHead(0.1)
            while True:
                await asyncio.sleep(0.01)
                yield frame({"content": "on and "})

    made = await harness([], [cut("second")])
    made.providers["first"] = Endless()

    stream = await made.chat_stream(request(), "r1", timeout_s=0.1, on_failure=HOLD)
    _, [error] = await read(stream)

    assert isinstance(error, GatewayError)
    assert made.control.breakers.of("first").failure_count == 0


async def test_a_held_stream_is_bounded_by_what_an_answer_may_have() -> None:
    long = [StreamHead(0.1), *[frame({"content": "x" * 1000})] * 3, StreamEnd(USAGE, 0.3, 16)]
    providers = {"first": ListedProvider(long), "second": ListedProvider(whole())}
    made = await Harness(two_providers({"max_answer_mb": 0.002}), providers, FakeClock()).open()

    stream = await made.chat_stream(request(), "r1", on_failure=HOLD)

    assert stream.routed.target.provider_id == "second"
    assert providers["first"].closed_streams == 1


async def test_the_usage_that_is_added_to_a_resumed_stream_names_who_went_on() -> None:
    made = await harness([broken()], [whole(usage=None)])
    wants = request(stream_options={"include_usage": True})

    stream = await made.chat_stream(wants, "r1", on_failure=RESUME)
    *_, last, _ = [item async for item in stream]

    chunk = orjson.loads(last[6:])
    assert (chunk["id"], chunk["model"]) == ("a", "b")


class Clinging(ListedProvider):
    """A provider whose streams cannot be closed without trouble."""

    async def chat_stream(self, call: Call) -> AsyncGenerator[StreamItem, None]:
        try:
            yield StreamHead(0.1)
            yield b""
        finally:
            raise RuntimeError("cannot be closed")


async def test_a_stream_that_cannot_be_closed_is_settled_all_the_same() -> None:
    made = Harness(two_providers(), {"first": Clinging(), "second": ListedProvider(whole())}, FakeClock())
    await made.open()
    stream = await made.chat_stream(request(), "r1")

    with pytest.raises(RuntimeError):
        await stream.aclose()

    assert len(events(made, RequestAbandoned)) == 1
