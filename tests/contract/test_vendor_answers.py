"""
What vendors send besides the answer one would like, byte for byte: over the wire and through LiteLLM.

An answer that is not whole never looks like one, one that is gets through under whatever name, and an error
is of the kind the vendor says.
"""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from serve_app.errors import FailureKind, UpstreamError
from serve_app.providers.base import Answer, Provider, StreamEnd, StreamItem
from tests.contract.test_providers import build, call
from tests.support.items import chunks_in, items_of, text_in
from tests.support.raw import Line, RawUpstream, raw_upstream

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.filterwarnings("ignore:Item .* on TypedDict class:UserWarning"),
]

JSON, EVENTS = "application/json", "text/event-stream"
DONE = b"data: [DONE]\n\n"


def sse(*chunks: Any, name: str = "") -> bytes:
    head = f"event: {name}\n".encode() if name else b""
    return b"".join(
        head + b"data: " + json.dumps(chunk, ensure_ascii=False).encode() + b"\n\n" for chunk in chunks
    )


@asynccontextmanager
async def saying(
    type_: str, body: bytes, kind: str = EVENTS, status: str = "200 OK"
) -> AsyncIterator[tuple[Provider, RawUpstream]]:
    """A provider in front of an upstream that answers every request with these bytes."""

    async def talk(line: Line) -> None:
        while True:
            await line.hear()
            await line.say(status, kind, body)

    async with raw_upstream(talk) as upstream:
        provider = build(type_, upstream.url)
        yield provider, upstream
        await provider.aclose()


async def streamed(
    type_: str, body: bytes, kind: str = EVENTS, status: str = "200 OK", **fields: Any
) -> list[StreamItem]:
    async with saying(type_, body, kind, status) as (provider, _):
        return await items_of(provider, call("hi", **fields))


async def whole(
    type_: str, body: bytes, kind: str = JSON, status: str = "200 OK", **fields: Any
) -> Answer | UpstreamError:
    async with saying(type_, body, kind, status) as (provider, _):
        return await provider.chat(call("hi", **fields))


def finish_in(answer: Answer | UpstreamError) -> str:
    assert isinstance(answer, Answer), answer
    return str(json.loads(answer.body)["choices"][0]["finish_reason"])


# OpenAI's words


def chunk(text: str | None = None, finish: str | None = None, **choice: Any) -> dict[str, Any]:
    delta = {} if text is None else {"content": text}
    choices = [{"index": 0, "delta": delta, "finish_reason": finish, **choice}]
    return {"id": "c1", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": choices}


def completion(text: str = "Hello", finish: str | None = "stop", **choice: Any) -> dict[str, Any]:
    message = {"role": "assistant", "content": text}
    choices = [{"index": 0, "message": message, "finish_reason": finish, **choice}]
    usage = {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}
    return {
        "id": "c1",
        "object": "chat.completion",
        "created": 1,
        "model": "m",
        "choices": choices,
        "usage": usage,
    }


STREAM = sse(chunk("Hel"), chunk("lo"), chunk(finish="stop")) + DONE
WHOLE = json.dumps(completion()).encode()


@pytest.mark.parametrize("kind", [EVENTS, "text/plain", JSON, "application/octet-stream"])
@pytest.mark.parametrize("newline", [b"\n", b"\r\n", b"\r"], ids=["lf", "crlf", "cr"])
async def test_a_stream_is_read_under_any_name_and_with_any_line_ends(kind: str, newline: bytes) -> None:
    items = await streamed("openai", STREAM.replace(b"\n", newline), kind)

    assert isinstance(items[-1], StreamEnd)
    assert text_in(items) == "Hello"


@pytest.mark.parametrize("kind", [JSON, EVENTS, "text/plain"])
async def test_a_whole_answer_for_a_stream_is_made_into_one(kind: str) -> None:
    call_ = {"id": "t1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    message = {"role": "assistant", "content": "Hello", "tool_calls": [call_]}
    body = json.dumps(completion(message=message, finish_reason="tool_calls")).encode()

    items = await streamed("openai", b"\n " + body, kind)

    assert isinstance(items[-1], StreamEnd)
    assert items[-1].usage is not None
    assert items[-1].usage.output_tokens == 2
    assert text_in(items) == "Hello"
    chunks = chunks_in(items)
    assert chunks[0]["choices"][0]["delta"]["tool_calls"] == [{"index": 0, **call_}]
    assert [c["choices"][0]["finish_reason"] for c in chunks] == [None, "tool_calls"]


@pytest.mark.parametrize("kind", [EVENTS, JSON, "text/plain"])
async def test_a_stream_for_a_whole_answer_is_gathered(kind: str) -> None:
    def piece(**function: str) -> list[dict[str, Any]]:
        return [{"id": "t1", "function": function}]

    stream = sse(
        chunk("Hel", logprobs={"content": [{"token": "Hel"}]}),
        chunk("lo", logprobs={"content": [{"token": "lo"}]}),
        chunk(delta={"reasoning_content": "hm", "tool_calls": piece(name="f", arguments='{"a"')}),
        chunk(delta={"tool_calls": piece(arguments=": 1}")}),
        chunk(finish="tool_calls"),
        {**chunk(), "choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}},
    )

    answer = await whole("openai", stream + DONE, kind)

    assert isinstance(answer, Answer)
    assert answer.usage is not None
    assert answer.usage.output_tokens == 2
    body = json.loads(answer.body)
    assert (body["object"], body["id"], body["model"]) == ("chat.completion", "c1", "m")
    (choice,) = body["choices"]
    function = {"name": "f", "arguments": '{"a": 1}'}
    assert choice["message"] == {
        "role": "assistant",
        "content": "Hello",
        "reasoning_content": "hm",
        "tool_calls": [{"type": "function", "id": "t1", "function": function}],
    }
    assert choice["finish_reason"] == "tool_calls"
    assert [entry["token"] for entry in choice["logprobs"]["content"]] == ["Hel", "lo"]


async def test_half_a_stream_for_a_whole_answer_is_none() -> None:
    answer = await whole("openai", sse(chunk("Hel")) + DONE, EVENTS)

    assert isinstance(answer, UpstreamError)
    assert answer.failure is FailureKind.BROKEN


@pytest.mark.parametrize("type_", ["openai", "hosted_vllm"])
@pytest.mark.parametrize("status", ["201 Created", "202 Accepted", "203 Non-Authoritative Information"])
async def test_any_success_with_a_good_body_is_read(type_: str, status: str) -> None:
    assert finish_in(await whole(type_, WHOLE, status=status)) == "stop"
    assert isinstance((await streamed(type_, STREAM, status=status))[-1], StreamEnd)


@pytest.mark.parametrize("kind", [JSON, "text/html", EVENTS])
async def test_a_web_page_is_no_answer_whatever_it_is_called(kind: str) -> None:
    page = b"<!doctype html><html><body>data: {}</body></html>"

    for failure in (await whole("openai", page, kind), (await streamed("openai", page, kind))[-1]):
        assert isinstance(failure, UpstreamError)
        assert failure.failure is FailureKind.BROKEN


async def test_numbers_that_are_none_are_null_in_a_whole_answer_and_in_a_stream() -> None:
    logprobs = {"content": [{"token": "x", "logprob": float("nan"), "top": [float("inf"), -1.5]}]}

    answer = await whole("openai", json.dumps(completion(logprobs=logprobs)).encode())
    items = await streamed("openai", sse(chunk("Hello", logprobs=logprobs), chunk(finish="stop")) + DONE)

    read = {"content": [{"token": "x", "logprob": None, "top": [None, -1.5]}]}
    assert isinstance(answer, Answer)
    assert json.loads(answer.body)["choices"][0]["logprobs"] == read
    assert b"NaN" not in answer.body
    assert isinstance(items[-1], StreamEnd)
    assert chunks_in(items)[0]["choices"][0]["logprobs"] == read


async def test_a_vector_with_a_number_that_is_none_is_no_vector() -> None:
    body = b'{"object":"list","data":[{"index":0,"embedding":[NaN,1.0]}],"model":"m"}'

    async with saying("openai", body, JSON) as (provider, _):
        answer = await provider.embed(call("hi")._replace(body=b'{"input":"a cat"}'))

    assert isinstance(answer, UpstreamError)
    assert answer.failure is FailureKind.BROKEN


# Anthropic's words, and Gemini's


def anthropic(text: str = "Hello", reason: str | None = "end_turn", error: Any = None) -> bytes:
    """Its stream, up to the reason why it ended, or an error, or the end of the connection."""
    usage = {"input_tokens": 3, "output_tokens": 2}
    message = {"id": "m1", "type": "message", "role": "assistant", "model": "m", "content": []}
    events = [{"type": "message_start", "message": {**message, "stop_reason": None, "usage": usage}}]
    if text:
        events.append(
            {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}
        )
        delta = {"type": "text_delta", "text": text}
        events.append({"type": "content_block_delta", "index": 0, "delta": delta})
    if error is not None:
        events.append({"type": "error", "error": error})
    elif reason is not None:
        events.append({"type": "content_block_stop", "index": 0})
        events.append({"type": "message_delta", "delta": {"stop_reason": reason}, "usage": usage})
        events.append({"type": "message_stop"})
    return b"".join(sse(event, name=event["type"]) for event in events)


def message(reason: str | None) -> bytes:
    body = {"id": "m1", "type": "message", "role": "assistant", "model": "m", "stop_reason": reason}
    content = [{"type": "text", "text": "Hello"}]
    return json.dumps({**body, "content": content, "usage": {"input_tokens": 3, "output_tokens": 2}}).encode()


def gemini(reason: str | None, text: str = "Hello") -> dict[str, Any]:
    candidate: dict[str, Any] = {"index": 0, "content": {"role": "model", "parts": [{"text": text}]}}
    if reason is not None:
        candidate["finishReason"] = reason
    usage = {"promptTokenCount": 3, "candidatesTokenCount": 2, "totalTokenCount": 5}
    return {"candidates": [candidate], "usageMetadata": usage, "modelVersion": "m"}


def ended(type_: str, reason: str | None) -> tuple[bytes, bytes]:
    """A stream and a whole answer of this vendor that ended with that reason."""
    match type_:
        case "anthropic":
            return anthropic(reason=reason), message(reason)
        case "gemini":
            stream = sse(gemini(None, "Hel"), gemini(reason, "lo"))
            return stream, json.dumps(gemini(reason)).encode()
        case _:
            stream = sse(chunk("Hel"), chunk("lo"), chunk(finish=reason)) + DONE
            return stream, json.dumps(completion(finish=reason)).encode()


@pytest.mark.parametrize("type_", ["openai", "hosted_vllm", "anthropic", "gemini"])
async def test_an_answer_that_does_not_say_why_it_ended_is_not_whole(type_: str) -> None:
    stream, body = ended(type_, None)

    items, answer = await streamed(type_, stream), await whole(type_, body)

    assert text_in(items) == "Hello"
    for failure in (items[-1], answer):
        assert isinstance(failure, UpstreamError)
        assert failure.failure is FailureKind.BROKEN
    assert all(choice.get("finish_reason") is None for c in chunks_in(items) for choice in c["choices"])


@pytest.mark.parametrize(
    ("type_", "reason", "word"),
    [
        ("anthropic", "end_turn", "stop"),
        ("anthropic", "max_tokens", "length"),
        ("anthropic", "refusal", "content_filter"),
        ("anthropic", "model_context_window_exceeded", "length"),
        ("anthropic", "pause_turn", "pause_turn"),
        ("anthropic", "something_new", "something_new"),
        ("gemini", "STOP", "stop"),
        ("gemini", "MAX_TOKENS", "length"),
        ("gemini", "SAFETY", "content_filter"),
        ("gemini", "SOMETHING_NEW", "SOMETHING_NEW"),
        ("openai", "model_length", "length"),
        ("openai", "eos", "eos"),
    ],
)
async def test_why_an_answer_ended_is_told_in_openais_word_or_else_as_it_is(
    type_: str, reason: str, word: str
) -> None:
    stream, body = ended(type_, reason)

    items = await streamed(type_, stream)

    assert isinstance(items[-1], StreamEnd)
    assert text_in(items) == "Hello"
    told = [choice["finish_reason"] for c in chunks_in(items) for choice in c["choices"]]
    assert [reason for reason in told if reason] == [word]
    assert finish_in(await whole(type_, body)) == word


@pytest.mark.parametrize(
    ("type_", "reason"),
    [
        ("openai", "error"),
        ("openai", "abort"),
        ("hosted_vllm", "error"),
        ("gemini", "MALFORMED_FUNCTION_CALL"),
        ("gemini", "FINISH_REASON_UNSPECIFIED"),
    ],
)
async def test_an_answer_that_failed_is_no_answer(type_: str, reason: str) -> None:
    stream, body = ended(type_, reason)

    items, answer = await streamed(type_, stream), await whole(type_, body)

    for failure in (items[-1], answer):
        assert isinstance(failure, UpstreamError)
        assert failure.failure is FailureKind.BROKEN
    assert all(choice.get("finish_reason") is None for c in chunks_in(items) for choice in c["choices"])


@pytest.mark.parametrize("separator", ["\u2028", "\u2029", "\u0085"])
@pytest.mark.parametrize("type_", ["openai", "anthropic", "gemini"])
async def test_a_separator_in_a_text_is_a_part_of_it(type_: str, separator: str) -> None:
    text = f"a{separator}b"
    stream = {
        "openai": sse(chunk(text), chunk(finish="stop")) + DONE,
        "anthropic": anthropic(text),
        "gemini": sse(gemini("STOP", text)),
    }[type_]

    items = await streamed(type_, stream)

    assert isinstance(items[-1], StreamEnd)
    assert text_in(items) == text


@pytest.mark.parametrize("text", ["", "Hello"], ids=["first", "in the middle"])
@pytest.mark.parametrize(
    ("type_", "error", "kind"),
    [
        ("anthropic", {"type": "overloaded_error", "message": "busy"}, FailureKind.OVERLOADED),
        ("anthropic", {"type": "rate_limit_error", "message": "busy"}, FailureKind.RATE_LIMITED),
        ("anthropic", {"type": "api_error", "message": "busy"}, FailureKind.BROKEN),
        ("gemini", {"code": 503, "message": "busy", "status": "UNAVAILABLE"}, FailureKind.OVERLOADED),
        (
            "gemini",
            {"code": 429, "message": "busy", "status": "RESOURCE_EXHAUSTED"},
            FailureKind.RATE_LIMITED,
        ),
        ("openai", {"type": "overloaded_error", "message": "busy"}, FailureKind.OVERLOADED),
        ("openai", {"type": "rate_limit_error", "message": "busy"}, FailureKind.RATE_LIMITED),
        ("hosted_vllm", {"type": "overloaded_error", "message": "busy"}, FailureKind.OVERLOADED),
    ],
)
async def test_an_error_within_a_stream_is_of_the_kind_it_says_and_keeps_its_words(
    type_: str, error: dict[str, Any], kind: FailureKind, text: str
) -> None:
    begun = {
        "anthropic": anthropic(text, error=error),
        "gemini": (sse(gemini(None, text)) if text else b"") + sse({"error": error}),
    }
    other = (sse(chunk(text)) if text else b"") + sse({"error": error})

    items = await streamed(type_, begun.get(type_, other))

    assert text_in(items) == text
    assert isinstance(items[-1], UpstreamError)
    assert (items[-1].failure, items[-1].message) == (kind, "busy")


# What LiteLLM would not read, or would read as something else

OTHERS = ["anthropic", "gemini", "hosted_vllm"]
GOOD = {"anthropic": "end_turn", "gemini": "STOP"}
KINDS = [JSON, EVENTS, "text/plain", "application/octet-stream"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("type_", OTHERS)
async def test_either_form_is_read_for_the_other_through_litellm_under_any_name(
    type_: str, kind: str
) -> None:
    stream, body = ended(type_, GOOD.get(type_, "stop"))
    async with saying(type_, body, kind) as (provider, upstream):
        items = await items_of(provider, call("hi", wants_usage=True))
    answer = await whole(type_, stream, kind)

    assert upstream.seen == 1
    assert isinstance(items[-1], StreamEnd), items[-1]
    assert items[-1].usage is not None
    assert items[-1].usage.output_tokens == 2
    assert text_in(items) == "Hello"
    told = [choice["finish_reason"] for c in chunks_in(items) for choice in c["choices"]]
    assert [reason for reason in told if reason] == ["stop"]
    assert isinstance(answer, Answer), answer
    assert finish_in(answer) == "stop"
    assert json.loads(answer.body)["choices"][0]["message"]["content"] == "Hello"
    assert json.loads(answer.body)["object"] == "chat.completion"


@pytest.mark.parametrize("type_", OTHERS)
async def test_the_other_form_must_be_whole_too(type_: str) -> None:
    stream, body = ended(type_, None)

    for failure in (await whole(type_, stream), (await streamed(type_, body, JSON))[-1]):
        assert isinstance(failure, UpstreamError)
        assert failure.failure is FailureKind.BROKEN


async def test_a_call_of_a_tool_survives_the_change_of_form() -> None:
    block = {"type": "tool_use", "id": "t1", "name": "f", "input": {"a": 1}}
    body = json.dumps({**json.loads(message("tool_use")), "content": [block]}).encode()

    items = await streamed("anthropic", body, JSON, tools=[FUNCTION])

    assert isinstance(items[-1], StreamEnd)
    chunks = [chunk for chunk in chunks_in(items) if chunk["choices"]]
    found = [c for chunk in chunks for c in chunk["choices"][0]["delta"].get("tool_calls", ())]
    assert (found[0]["index"], found[0]["id"], found[0]["function"]["name"]) == (0, "t1", "f")
    assert json.loads("".join(part["function"]["arguments"] for part in found)) == {"a": 1}


SECRET = "sk-proj-abcdefghijklmnopqrstuvwxyz0123456789"


@pytest.mark.parametrize(
    ("said", "kind", "words"),
    [
        ({"detail": f"on fire, {SECRET}"}, FailureKind.BROKEN, "on fire, ***"),
        ({"message": "odd", "code": "weird"}, FailureKind.BROKEN, "odd"),
        ({"error": "odd"}, FailureKind.BROKEN, "odd"),
        ({"error": {"type": "overloaded_error", "message": "busy"}}, FailureKind.OVERLOADED, "busy"),
        ([{"error": {"code": 429, "message": "slow"}}], FailureKind.RATE_LIMITED, "slow"),
        (
            {"success": False, "errors": [{"code": 7000, "message": "no route"}]},
            FailureKind.BROKEN,
            "no route",
        ),
        ({"base_resp": {"status_code": 1002, "status_msg": "slow"}}, FailureKind.RATE_LIMITED, "slow"),
        ({"base_resp": {"status_code": 2013, "status_msg": "no"}}, FailureKind.REJECTED, "no"),
        (
            {"choices": None, "base_resp": {"status_code": 1027, "status_msg": "no"}},
            FailureKind.CONTENT_FILTER,
            "no",
        ),
        (
            {"base_resp": {"status_code": 1008, "status_msg": "insufficient balance"}},
            FailureKind.OUT_OF_CREDIT,
            "Provider 'p' refused: the gateway's account there is out of credit (HTTP 200)",
        ),
    ],
)
@pytest.mark.parametrize("type_", ["openai", *OTHERS])
async def test_an_error_of_any_shape_in_place_of_an_answer_keeps_its_words_and_its_kind(
    type_: str, said: Any, kind: FailureKind, words: str
) -> None:
    body = json.dumps(said).encode()

    for failure in (
        await whole(type_, body),
        (await streamed(type_, body, JSON))[-1],
        (await streamed(type_, sse(said)))[-1],
    ):
        assert isinstance(failure, UpstreamError)
        assert (failure.failure, failure.message) == (
            kind,
            words.removesuffix(" (HTTP 200)") if type_ in ("openai", "anthropic") else words,
        )


@pytest.mark.parametrize("type_", ["openai", *OTHERS])
async def test_a_status_of_minimax_that_says_good_is_no_error(type_: str) -> None:
    stream, body = ended(type_, GOOD.get(type_, "stop"))
    good = {"base_resp": {"status_code": 0, "status_msg": ""}}

    assert finish_in(await whole(type_, json.dumps({**json.loads(body), **good}).encode())) == "stop"
    assert isinstance((await streamed(type_, stream))[-1], StreamEnd)


@pytest.mark.parametrize("usage", [None, "x", [], 5, {}, {"input_tokens": None}], ids=repr)
@pytest.mark.parametrize("place", ["message_start", "message_delta", "message"])
async def test_a_usage_of_anthropics_that_is_none_costs_no_answer(usage: Any, place: str) -> None:
    if place == "message":
        answer = await whole(
            "anthropic", json.dumps({**json.loads(message("end_turn")), "usage": usage}).encode()
        )
        assert finish_in(answer) == "stop"
        return
    events = [json.loads(frame.partition(b"data: ")[2]) for frame in anthropic().split(b"\n\n") if frame]
    for event in events:
        if event["type"] == place:
            (event["message"] if place == "message_start" else event)["usage"] = usage

    items = await streamed("anthropic", b"".join(sse(event, name=event["type"]) for event in events))

    assert text_in(items) == "Hello"
    assert isinstance(items[-1], StreamEnd), items[-1]


@pytest.mark.parametrize("usage", [None, "x", [], {}, {"promptTokenCount": None}, "absent"], ids=repr)
async def test_a_usage_of_geminis_that_is_none_costs_no_answer(usage: Any) -> None:
    said = {**gemini("STOP"), "usageMetadata": usage}
    if usage == "absent":
        del said["usageMetadata"]

    items = await streamed("gemini", sse(said))

    assert text_in(items) == "Hello"
    assert isinstance(items[-1], StreamEnd), items[-1]
    assert finish_in(await whole("gemini", json.dumps(said).encode())) == "stop"


@pytest.mark.parametrize("type_", ["openai", *OTHERS])
async def test_a_frame_that_cannot_be_read_leaves_the_answer_without_an_end(type_: str) -> None:
    stream, _ = ended(type_, GOOD.get(type_, "stop"))

    items = await streamed(type_, stream.replace(b'"Hel', b"Hel"))

    assert isinstance(items[-1], UpstreamError)
    assert items[-1].failure is FailureKind.BROKEN
    assert "cannot be read" in items[-1].message
    assert all(choice.get("finish_reason") is None for c in chunks_in(items) for choice in c["choices"])


@pytest.mark.parametrize("type_", ["openai", *OTHERS])
async def test_a_text_that_is_cut_over_two_lines_of_data_has_a_line_break_there(type_: str) -> None:
    stream, _ = ended(type_, GOOD.get(type_, "stop"))

    items = await streamed(type_, stream.replace(b'"Hel', b'"H\ndata: el').replace(b', "', b',\ndata: "'))

    assert isinstance(items[-1], StreamEnd), items[-1]
    assert text_in(items) == "H\nello"


@pytest.mark.parametrize("type_", ["openai", *OTHERS])
@pytest.mark.parametrize("number", [b"NaN", b"Infinity", b"-Infinity"])
async def test_a_number_that_is_none_costs_no_answer(type_: str, number: bytes) -> None:
    stream, body = ended(type_, GOOD.get(type_, "stop"))

    items = await streamed(type_, stream.replace(b'"m"', b'"m", "x": ' + number))

    assert text_in(items) == "Hello"
    assert isinstance(items[-1], StreamEnd), items[-1]
    assert finish_in(await whole(type_, body.replace(b'"m"', b'"m", "x": ' + number))) == "stop"


@pytest.mark.parametrize("type_", OTHERS)
@pytest.mark.parametrize(
    "status", ["201 Created", "203 Non-Authoritative Information", "206 Partial Content"]
)
async def test_any_success_is_read_through_litellm(type_: str, status: str) -> None:
    stream, body = ended(type_, GOOD.get(type_, "stop"))

    assert finish_in(await whole(type_, body, status=status)) == "stop"
    assert isinstance((await streamed(type_, stream, status=status))[-1], StreamEnd)


@pytest.mark.parametrize("type_", OTHERS)
async def test_a_refusal_without_words_does_not_repeat_its_body(type_: str) -> None:
    body = b'{"choices": "a secret plan"}'

    for failure in (
        await whole(type_, body, status="400 No"),
        (await streamed(type_, body, JSON, "400 No"))[-1],
    ):
        assert isinstance(failure, UpstreamError)
        assert (failure.failure, failure.upstream_status) == (FailureKind.REJECTED, 400)
        assert failure.message in ("Provider 'p' rejected the request", "Provider 'p' answered HTTP 400")


@pytest.mark.parametrize(
    ("type_", "body"),
    [
        (
            "hosted_vllm",
            '{"object":"list","model":"m","data":[{"object":"embedding","index":0,"embedding":[%s]}]}',
        ),
        ("gemini", '{"embeddings":[{"values":[%s]}]}'),
    ],
)
async def test_the_numbers_of_a_vector_keep_their_form_and_must_be_numbers(type_: str, body: str) -> None:
    async def embedded(numbers: str) -> Answer | UpstreamError:
        async with saying(type_, (body % numbers).encode(), JSON) as (provider, _):
            asked = call("hi")._replace(model="embedder", body=b'{"input":["a cat"]}')
            return await provider.embed(asked)

    answer, failure = await embedded("5.0,5,-0.0,0.1"), await embedded("1.0,NaN")

    assert isinstance(answer, Answer)
    assert b'"embedding":[5.0,5,-0.0,0.1]' in answer.body
    assert isinstance(failure, UpstreamError)
    assert failure.message == "Provider 'p' sent a vector with an invalid number"


# Who is to blame

USER = [{"role": "user", "content": "hi"}]
FUNCTION = {"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": {}}}}
UNFIT = {
    "a tool without a function": {"tools": [{"type": "function"}]},
    "a choice of no tool": {"tools": [FUNCTION], "tool_choice": {"type": "function"}},
    "a format without a schema": {"response_format": {"type": "json_schema"}},
    "an unknown part": {
        "messages": [{"role": "user", "content": [{"type": "hologram", "x": "a secret plan"}]}]
    },
    "an unknown role": {"messages": [{"role": "alien", "content": "a secret plan"}]},
}


@pytest.mark.parametrize("name", UNFIT)
async def test_what_cannot_be_translated_is_the_requests_fault_and_is_not_repeated(
    name: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with saying("anthropic", message("end_turn"), JSON) as (provider, upstream):
        asked = call("hi", **UNFIT[name])
        failures = [await provider.chat(asked), (await items_of(provider, asked))[-1]]

    for failure in failures:
        assert isinstance(failure, UpstreamError), failure
        assert (failure.status, failure.failure) == (400, FailureKind.UNSUPPORTED)
        assert failure.param
        assert failure.callers_fault
        assert not failure.retryable
        assert "secret plan" not in failure.message
    assert upstream.seen == 0
    assert "secret plan" not in caplog.text


async def test_what_litellm_stumbles_over_in_an_answer_is_the_vendors_fault() -> None:
    for body in (b'{"type":"message","content":7}', b'{"content":[{"type":"text"}]}', b'"ok"', b"[]"):
        failure = await whole("anthropic", body)

        assert isinstance(failure, UpstreamError)
        assert failure.failure is FailureKind.BROKEN


@pytest.mark.parametrize(
    ("type_", "status", "error", "kind"),
    [
        ("anthropic", 400, {"message": "messages: roles must alternate"}, FailureKind.REJECTED),
        ("gemini", 400, {"code": 400, "message": "no such field"}, FailureKind.REJECTED),
        (
            "anthropic",
            400,
            {"message": "Output blocked by content filtering policy"},
            FailureKind.CONTENT_FILTER,
        ),
        ("anthropic", 529, {"type": "overloaded_error", "message": "Overloaded"}, FailureKind.OVERLOADED),
        (
            "hosted_vllm",
            422,
            {"message": {"detail": [{"loc": ["n"], "msg": "too many"}]}},
            FailureKind.REJECTED,
        ),
    ],
)
async def test_a_refusal_reaches_the_caller_in_the_vendors_words_through_litellm(
    type_: str, status: int, error: dict[str, Any], kind: FailureKind
) -> None:
    said = json.dumps([{"error": error}] if type_ == "gemini" else {"error": error}).encode()
    words = error["message"] if isinstance(error["message"], str) else "n: too many"
    for failure in (
        await whole(type_, said, status=f"{status} No"),
        (await streamed(type_, said, JSON, f"{status} No"))[-1],
    ):
        assert isinstance(failure, UpstreamError)
        assert (failure.failure, failure.message, failure.upstream_status) == (kind, words, status)
