"""A provider that speaks another format than the caller."""

import threading
from collections.abc import AsyncGenerator, Sequence

import pytest

from serve_app.errors import FailureKind, InvalidRequest, UpstreamError, upstream_error
from serve_app.providers.base import Answer, Call, Health, HealthStatus, StreamEnd, StreamHead, StreamItem
from serve_app.providers.catalogue.wire_format import WireFormat
from serve_app.providers.translating import LARGE, TranslatingProvider
from tests.support.clock import FakeClock

pytestmark = pytest.mark.anyio

CHAT = WireFormat.OPENAI_CHAT
END = StreamEnd(None, 1.0, 3)


class Shouting:
    """A translation into capitals, and back; digits cannot be carried."""

    def __init__(self, body: bytes, created: int = 0) -> None:
        if body.isdigit():
            raise InvalidRequest("digits cannot be sent", param="input", code="no_digits")
        self.body = body.upper()
        self.dropped = ("top_k",)
        self.ended = 0

    def answer(self, body: bytes) -> bytes:
        return body.lower()

    def stream(self) -> "Shouting":
        return self

    def feed(self, block: bytes) -> bytes:
        return block.lower().replace(b"nothing", b"")

    def end(self) -> bytes:
        self.ended += 1
        return b"bye"


class Upstream:
    """Answers what it is told to, and keeps the calls."""

    def __init__(
        self, items: Sequence[StreamItem] = (), answer: Answer | UpstreamError | None = None
    ) -> None:
        self.items = items
        self.reply = answer or Answer(b"HELLO", None, 1.0, dropped=("seed",))
        self.calls: list[Call] = []
        self.closed = False

    async def chat(self, call: Call) -> Answer | UpstreamError:
        self.calls.append(call)
        return self.reply

    async def chat_stream(self, call: Call) -> AsyncGenerator[StreamItem, None]:
        self.calls.append(call)
        try:
            for item in self.items:
                yield item
        finally:
            self.closed = True

    async def embed(self, call: Call) -> Answer | UpstreamError:
        return self.reply

    async def health(self) -> Health:
        return Health(HealthStatus.UNKNOWN, None, None, (), 0.0)

    async def aclose(self) -> None:
        self.closed = True


class Threaded(Shouting):
    """Tells in which thread it began."""

    def __init__(self, body: bytes, created: int = 0) -> None:
        super().__init__(body, created)
        self.dropped = (threading.current_thread().name,)


@pytest.mark.parametrize(("size", "elsewhere"), [(LARGE, False), (LARGE + 1, True)])
async def test_a_large_request_is_translated_where_it_delays_nobody(size: int, elsewhere: bool) -> None:
    provider = TranslatingProvider(Upstream(), "p", CHAT, Threaded, FakeClock())

    answer = await provider.chat(call(b"x" * size))

    assert isinstance(answer, Answer)
    assert any(name.startswith("translations") for name in answer.dropped) is elsewhere


def call(body: bytes = b"hi") -> Call:
    return Call("m", body, 5.0)


def translating(upstream: Upstream) -> TranslatingProvider:
    return TranslatingProvider(upstream, "p", CHAT, Shouting, FakeClock())


async def items_of(upstream: Upstream, body: bytes = b"hi") -> list[StreamItem]:
    return [item async for item in translating(upstream).chat_stream(call(body))]


async def test_a_request_goes_out_translated_and_its_answer_comes_back_so() -> None:
    upstream = Upstream()

    answer = await translating(upstream).chat(call())

    assert isinstance(answer, Answer)
    assert (upstream.calls[0].body, upstream.calls[0].format) == (b"HI", CHAT)
    assert (answer.body, answer.dropped) == (b"hello", ("seed", "top_k"))


async def test_the_end_of_a_translated_stream_comes_before_its_ending() -> None:
    upstream = Upstream([StreamHead(0.1, ("seed",)), b"A", b"NOTHING", b"B", END])

    items = await items_of(upstream)

    assert items == [StreamHead(0.1, ("seed", "top_k")), b"a", b"b", b"bye", END]
    assert upstream.calls[0].wants_usage, "an end needs the usage, whoever asked for it"


async def test_a_stream_that_breaks_off_gets_no_end() -> None:
    failure = upstream_error("gone", "p", FailureKind.BROKEN)

    assert await items_of(Upstream([StreamHead(0.1), b"A", failure])) == [
        StreamHead(0.1, ("top_k",)),
        b"a",
        failure,
    ]


async def test_what_cannot_be_carried_fails_this_target_and_nothing_is_sent() -> None:
    upstream = Upstream()

    whole = await translating(upstream).chat(call(b"123"))
    streamed = await items_of(upstream, b"123")

    assert upstream.calls == []
    for failure in (whole, *streamed):
        assert isinstance(failure, UpstreamError)
        assert failure.failure is FailureKind.UNSUPPORTED
        assert (failure.message, failure.code, failure.param) == (
            "digits cannot be sent",
            "no_digits",
            "input",
        )


async def test_a_failure_comes_back_as_it_is() -> None:
    failure = upstream_error("gone", "p", FailureKind.BROKEN)

    assert await translating(Upstream(answer=failure)).chat(call()) is failure


async def test_whoever_closes_the_translated_stream_closes_the_providers() -> None:
    upstream = Upstream([StreamHead(0.1), b"A", b"B", END])
    stream = translating(upstream).chat_stream(call())

    assert isinstance(await anext(stream), StreamHead)
    await stream.aclose()

    assert upstream.closed
