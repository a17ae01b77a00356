"""What can happen on the way to an upstream: the same for the wire and for LiteLLM."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from serve_app.errors import FailureKind, ProviderTimeoutError, UpstreamError
from serve_app.providers import health_check, reading
from serve_app.providers.base import Answer, Provider, StreamEnd, StreamHead
from serve_app.providers.http import provider as wire
from serve_app.providers.litellm import provider as litellm_provider
from tests.contract.test_providers import KEY, build, call, chunks_in, items_of, orders, text_in, until
from tests.support.raw import Line, RawUpstream, Talk, deaf_address, raw_upstream
from tests.support.upstream import ScriptedUpstream

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.filterwarnings("ignore:Item .* on TypedDict class:UserWarning"),
]

BOTH = pytest.mark.parametrize("type_", ["openai", "anthropic"])
JSON = "application/json"
EVENTS = "text/event-stream"
ENVELOPE = b'data: {"id":"x","object":"chat.completion.chunk","created":1,"model":"m",'
ROLE = (
    ENVELOPE + b'"choices":[{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":null}]}\n\n'
)
CHUNK = ENVELOPE + b'"choices":[{"index":0,"delta":{"content":"x"},"finish_reason":null}]}\n\n'


@asynccontextmanager
async def talking(type_: str, talk: Talk, **fields: Any) -> AsyncIterator[tuple[Provider, RawUpstream]]:
    """A provider in front of an upstream that talks like this."""
    async with raw_upstream(talk) as upstream:
        provider = build(type_, upstream.url, **fields)
        yield provider, upstream
        await provider.aclose()


def kind_of(failure: object) -> FailureKind:
    assert isinstance(failure, UpstreamError), failure
    return failure.failure


# Connections that break


@BOTH
@pytest.mark.parametrize("rudely", [False, True], ids=["closed", "reset"])
async def test_a_kept_connection_that_closes_as_the_next_request_comes_is_unreachable(
    type_: str, rudely: bool
) -> None:
    """The upstream's keep-alive is shorter than ours: the request was not heard, and can be sent again."""
    heard = 0

    async def talk(line: Line) -> None:
        nonlocal heard
        await line.hear()
        heard += 1
        await line.say("500 Oops", JSON, b"{}")
        await line.reader.readexactly(1)
        heard += 1
        if rudely:
            line.writer.transport.abort()

    async with talking(type_, talk) as (provider, upstream):
        first, second = await provider.chat(call("hi")), await provider.chat(call("hi"))

        assert kind_of(first) is FailureKind.BROKEN
        assert kind_of(second) is FailureKind.UNREACHABLE
        assert isinstance(second, UpstreamError)
        assert second.upstream_status is None
        assert (heard, upstream.seen) == (2, 1)


@BOTH
async def test_an_answer_that_breaks_off_is_broken(type_: str) -> None:
    async def talk(line: Line) -> None:
        await line.hear()
        await line.say("200 OK", JSON, b'{"choices":', length=1000)

    async with talking(type_, talk) as (provider, upstream):
        failure = await provider.chat(call("hi"))

        assert kind_of(failure) is FailureKind.BROKEN
        assert upstream.seen == 1


@BOTH
async def test_a_connection_that_cannot_be_opened_names_its_limit(type_: str) -> None:
    with deaf_address() as url:
        provider = build(type_, url, connect_timeout_s=0.2)
        whole = await provider.chat(call("hi"))
        (streamed,) = await items_of(provider, call("hi"))
        await provider.aclose()

    for failure in (whole, streamed):
        assert isinstance(failure, ProviderTimeoutError)
        assert failure.message == ("Provider 'p' could not be connected to within 0.2 s (connect_timeout_s)")


# Answers that never end


@BOTH
@pytest.mark.parametrize("announced", [True, False])
async def test_an_answer_that_is_too_large_is_not_read_to_its_end(type_: str, announced: bool) -> None:
    async def talk(line: Line) -> None:
        await line.hear()
        if announced:
            await line.say("200 OK", JSON, b"[" * 200_000, length=10**9)
            await line.until_closed()
        await line.begin(JSON)
        while not announced:
            await line.add(b"[" * 1000)

    async with talking(type_, talk, max_answer_mb=0.1) as (provider, upstream):
        failure = await provider.chat(call("hi"))

        assert kind_of(failure) is FailureKind.BROKEN
        assert "more than 0.1 MB" in str(failure)
        await until(lambda: upstream.open == 0)


@BOTH
async def test_a_stream_that_is_one_endless_frame_is_given_up(type_: str) -> None:
    async def talk(line: Line) -> None:
        await line.hear()
        await line.begin(EVENTS)
        await line.add(b"data: {")
        while True:
            await line.add(b"[" * 1000)

    async with talking(type_, talk, max_answer_mb=0.1) as (provider, upstream):
        (failure,) = await items_of(provider, call("hi"))

        assert kind_of(failure) is FailureKind.BROKEN
        assert "more than 0.1 MB" in str(failure)
        await until(lambda: upstream.open == 0)


@BOTH
async def test_a_refusal_that_never_finishes_speaking_is_told_by_its_status(
    type_: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "REFUSAL_S", 0.2)

    async def talk(line: Line) -> None:
        await line.hear()
        await line.say("429 Slow down", JSON, b'{"err', length=1000)
        await line.until_closed()

    async with talking(type_, talk) as (provider, upstream):
        failure = await provider.chat(call("hi", timeout_s=1))

        assert kind_of(failure) is FailureKind.RATE_LIMITED
        await until(lambda: upstream.open == 0)


@pytest.mark.parametrize(
    ("type_", "alive"), [("openai", b": OPENROUTER PROCESSING\n\n"), ("anthropic", b"event: ping\n\n")]
)
async def test_comments_are_no_sign_of_life(type_: str, alive: bytes) -> None:
    async def talk(line: Line) -> None:
        await line.hear()
        await line.begin(EVENTS)
        while True:
            await line.add(alive)
            await asyncio.sleep(0.01)

    async with talking(type_, talk) as (provider, _):
        (failure,) = await items_of(provider, call("hi", timeout_s=0.2))

        assert isinstance(failure, ProviderTimeoutError)
        assert "first_token_timeout_s" in failure.message


STREAMED = pytest.mark.parametrize("type_", ["openai", "groq"])  # the wire, and LiteLLM in OpenAI's words


@STREAMED
async def test_that_an_answer_begins_is_no_first_token(type_: str) -> None:
    async def talk(line: Line) -> None:
        await line.hear()
        await line.begin(EVENTS)
        await line.add(ROLE)
        await line.until_closed()

    async with talking(type_, talk) as (provider, upstream):
        (failure,) = await items_of(provider, call("hi", timeout_s=3, idle_s=0.2))

        assert isinstance(failure, ProviderTimeoutError)
        assert "first_token_timeout_s" in failure.message
        await until(lambda: upstream.open == 0)


@STREAMED
async def test_what_came_before_the_first_token_is_shown_with_it(type_: str) -> None:
    async def talk(line: Line) -> None:
        await line.hear()
        await line.begin(EVENTS)
        await line.add(ROLE)
        await asyncio.sleep(0.05)
        await line.add(CHUNK + CHUNK.replace(b"null", b'"stop"') + b"data: [DONE]\n\n")
        line.writer.close()

    async with talking(type_, talk) as (provider, _):
        head, *blocks, end = await items_of(provider, call("hi"))

        assert isinstance(head, StreamHead)
        assert isinstance(end, StreamEnd)
        deltas = [choice["delta"] for chunk in chunks_in(blocks) for choice in chunk["choices"]]
        assert deltas[0]["role"] == "assistant"
        assert text_in(blocks) == "xx"


@STREAMED
async def test_a_stream_that_only_ever_begins_is_given_up(type_: str) -> None:
    async def talk(line: Line) -> None:
        await line.hear()
        await line.begin(EVENTS)
        while True:
            await line.add(ROLE)

    async with talking(type_, talk, max_answer_mb=0.01) as (provider, upstream):
        (failure,) = await items_of(provider, call("hi"))

        assert kind_of(failure) is FailureKind.BROKEN
        assert "more than 0.01 MB before the first token" in str(failure)
        await until(lambda: upstream.open == 0)


async def test_comments_between_chunks_are_no_sign_of_life() -> None:
    async def talk(line: Line) -> None:
        await line.hear()
        await line.begin(EVENTS)
        await line.add(CHUNK)
        while True:
            await line.add(b": OPENROUTER PROCESSING\n\n")
            await asyncio.sleep(0.01)

    async with talking("openai", talk) as (provider, upstream):
        *_, failure = await items_of(provider, call("hi", idle_s=0.2))

        assert isinstance(failure, ProviderTimeoutError)
        assert "stream_idle_timeout_s" in failure.message
        await until(lambda: upstream.open == 0)


@STREAMED
@pytest.mark.parametrize("with_text", [True, False])
async def test_a_stream_that_has_said_all_is_whole_at_once_though_it_never_closes(
    type_: str, with_text: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (wire, litellm_provider):
        monkeypatch.setattr(module, "USAGE_S", 0.2)
    last = CHUNK.replace(b"null", b'"stop"')

    async def talk(line: Line) -> None:
        await line.hear()
        await line.begin(EVENTS)
        await line.add(CHUNK + (last if with_text else last.replace(b'{"content":"x"}', b"{}")))
        await line.until_closed()

    async with talking(type_, talk) as (provider, upstream):
        *items, end = await items_of(provider, call("hi", idle_s=3600))

        assert isinstance(end, StreamEnd)
        assert text_in(items) == ("xx" if with_text else "x")
        assert [c["finish_reason"] for chunk in chunks_in(items) for c in chunk["choices"]][-1] == "stop"
        await until(lambda: upstream.open == 0)


@pytest.mark.parametrize("type_", ["openai", "hosted_vllm"])  # likewise, and both take `n`
async def test_one_of_two_answers_that_has_ended_is_not_the_whole(
    type_: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (wire, litellm_provider):
        monkeypatch.setattr(module, "USAGE_S", 0.1)

    async def talk(line: Line) -> None:
        await line.hear()
        await line.begin(EVENTS)
        await line.add(CHUNK + CHUNK.replace(b"null", b'"stop"'))
        await line.until_closed()

    async with talking(type_, talk) as (provider, _):
        *_, failure = await items_of(provider, call("hi", idle_s=0.5, n=2))

        assert isinstance(failure, ProviderTimeoutError)
        assert "0.5 s" in failure.message


@BOTH
@pytest.mark.parametrize("announced", [True, False])
async def test_a_list_of_models_that_never_ends_is_not_read_to_its_end(
    type_: str, announced: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(health_check, "LIST_LIMIT", 100_000)

    async def talk(line: Line) -> None:
        await line.reader.readuntil(b"\r\n\r\n")
        if announced:
            await line.say("200 OK", JSON, b"[", length=10**9)
            await line.until_closed()
        await line.begin(JSON)
        while not announced:
            await line.add(b"[" * 1000)

    async with talking(type_, talk) as (provider, upstream):
        health = await provider.health()

        assert health.status == "unhealthy"
        assert "a list of models of more than" in str(health.error)
        await until(lambda: upstream.open == 0)


async def test_the_name_of_a_wrong_answers_type_is_short_and_without_our_key() -> None:
    async def talk(line: Line) -> None:
        while True:
            await line.hear()
            await line.say("200 OK", f"text/{KEY} {'x' * 5000}", b"hello")

    async with talking("openai", talk) as (provider, _):
        for failure in (await provider.chat(call("hi")), *await items_of(provider, call("hi"))):
            assert kind_of(failure) is FailureKind.BROKEN
            assert KEY.lower() not in str(failure).lower()
            assert len(str(failure)) < 600


# Answers that are none


@pytest.mark.parametrize(
    "body",
    [b"", b"<html>", b"[]", b"null", b"{}", b'{"data":[]}', b'{"data":[{"embedding":[1]}]}', b'{"data":"x"}'],
)
async def test_vectors_that_are_not_all_there_are_a_failure(body: bytes) -> None:
    async def talk(line: Line) -> None:
        await line.hear()
        await line.say("200 OK", JSON, body)

    async with talking("openai", talk) as (provider, _):
        asked = call("hi")
        two = json.dumps({"input": ["a", "b"]}).encode()
        failure = await provider.embed(type(asked)("embedder", two, 5))

        assert kind_of(failure) is FailureKind.BROKEN


async def test_an_error_instead_of_a_stream_is_believed() -> None:
    async def talk(line: Line) -> None:
        await line.hear()
        await line.say("200 OK", JSON, b'{"error": {"message": "busy", "code": 503}}')

    async with talking("openai", talk) as (provider, _):
        (failure,) = await items_of(provider, call("hi"))

        assert kind_of(failure) is FailureKind.OVERLOADED


@pytest.mark.parametrize(
    ("type_", "status", "error", "kind"),
    [
        ("gemini", 400, {"message": "API key not valid. no", "status": "INVALID_ARGUMENT"}, FailureKind.AUTH),
        ("openai", 400, {"message": "no", "code": "invalid_api_key"}, FailureKind.AUTH),
        ("hosted_vllm", 400, {"message": "no", "code": "invalid_api_key"}, FailureKind.AUTH),
        ("openai", 401, {"message": "no: sk-other1234567890"}, FailureKind.AUTH),
        ("anthropic", 401, {"message": "no: sk-other1234567890"}, FailureKind.AUTH),
        ("openai", 429, {"message": "no", "code": "insufficient_quota"}, FailureKind.OUT_OF_CREDIT),
        ("hosted_vllm", 429, {"message": "no", "code": "insufficient_quota"}, FailureKind.OUT_OF_CREDIT),
        ("anthropic", 400, {"message": "Your credit balance is too low. no"}, FailureKind.OUT_OF_CREDIT),
        ("anthropic", 402, {"message": "no", "type": "billing_error"}, FailureKind.OUT_OF_CREDIT),
    ],
)
async def test_our_key_or_our_account_refused_is_never_the_callers_fault_and_never_quoted_to_them(
    type_: str, status: int, error: dict[str, Any], kind: FailureKind
) -> None:
    async def talk(line: Line) -> None:
        while True:
            await line.hear()
            await line.say(f"{status} No", JSON, json.dumps({"error": error}).encode())

    async with talking(type_, talk) as (provider, _):
        whole = await provider.chat(call("hi"))
        (streamed,) = await items_of(provider, call("hi"))

        for failure in (whole, streamed):
            assert kind_of(failure) is kind
            assert isinstance(failure, UpstreamError)
            assert (failure.retryable, failure.upstream_status) == (False, status)
            assert error["message"] not in failure.message
            assert "no" in failure.note
            assert "sk-other" not in failure.note


# Callers who leave


@BOTH
@pytest.mark.parametrize("told", [{"stall": True}, {"stall_after": 2}], ids=["head", "body"])
async def test_who_leaves_a_stream_takes_the_connection_along(type_: str, told: dict[str, Any]) -> None:
    with ScriptedUpstream() as upstream:
        provider = build(type_, upstream.url)
        reading = asyncio.create_task(items_of(provider, call(orders(**told))))
        await until(lambda: upstream.open_requests == 1)

        reading.cancel()

        await until(lambda: upstream.open_requests == 0)
        await asyncio.wait([reading])
        assert reading.cancelled()
        await provider.aclose()


@BOTH
async def test_who_leaves_in_the_middle_of_an_answer_takes_the_connection_along(type_: str) -> None:
    started = asyncio.Event()

    async def talk(line: Line) -> None:
        await line.hear()
        await line.say("200 OK", JSON, b'{"choices":', length=1000)
        started.set()
        await line.until_closed()

    async with talking(type_, talk) as (provider, upstream):
        waiting = asyncio.create_task(provider.chat(call("hi")))
        await started.wait()
        assert upstream.open == 1

        waiting.cancel()

        await until(lambda: upstream.open == 0)


@BOTH
async def test_who_leaves_while_connecting_is_let_go(type_: str) -> None:
    with deaf_address() as url:
        provider = build(type_, url)
        waiting = asyncio.create_task(provider.chat(call("hi")))
        await asyncio.sleep(0.05)

        waiting.cancel()
        await asyncio.wait([waiting])
        await provider.aclose()

    assert waiting.cancelled()


@BOTH
async def test_an_attempt_that_runs_out_of_time_closes_its_connection(type_: str) -> None:
    with ScriptedUpstream() as upstream:
        provider = build(type_, upstream.url)

        await provider.chat(call(orders(stall=True), timeout_s=0.2))
        await until(lambda: upstream.open_requests == 0)
        items = await items_of(provider, call(orders(stall_after=2), idle_s=0.2))
        await until(lambda: upstream.open_requests == 0)

        assert isinstance(items[0], StreamHead)
        assert isinstance(await provider.chat(call("hi")), Answer)
        await provider.aclose()
