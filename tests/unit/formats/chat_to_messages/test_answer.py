"""A message as the answer of a chat that a caller gets: whole and as a stream."""

import json
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from serve_app.formats.chat_to_messages.translation import ChatToMessages
from serve_app.formats.sse import event, frames_in
from tests.support.event_streams import named_frame, payloads, translated

CUSTOM = {"type": "custom", "custom": {"name": "patch"}}
CHAT: dict[str, Any] = {
    "model": "m", "stream_options": {"include_usage": True}, "messages": [{"role": "user", "content": "hi"}],
    "tools": [CUSTOM],
}  # fmt: skip
REQUEST = orjson.dumps(CHAT)
USAGE = {
    "input_tokens": 12, "cache_read_input_tokens": 300, "cache_creation_input_tokens": 20, "output_tokens": 1,
}  # fmt: skip
CHAT_USAGE = {
    "prompt_tokens": 332,
    "completion_tokens": 40,
    "total_tokens": 372,
    "prompt_tokens_details": {"cached_tokens": 300, "cache_write_tokens": 20},
    "completion_tokens_details": {"reasoning_tokens": 9},
}
SIGNED = {"type": "thinking", "thinking": "Two cities.", "signature": "c2ln"}
START: dict[str, Any] = {
    "type": "message_start",
    "message": {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "up",
        "content": [],
        "usage": USAGE,
    },
}


def start(index: int, **block: Any) -> dict[str, Any]:
    return {"type": "content_block_start", "index": index, "content_block": block}


def delta(index: int, kind: str, **members: Any) -> dict[str, Any]:
    return {"type": "content_block_delta", "index": index, "delta": {"type": kind, **members}}


def stop(index: int) -> dict[str, Any]:
    return {"type": "content_block_stop", "index": index}


def ended(stop_reason: str | None, **members: Any) -> dict[str, Any]:
    return {
        "type": "message_delta",
        "delta": {"stop_reason": stop_reason, **members},
        "usage": {"output_tokens": 4},
    }


def chunks(*events: dict[str, Any], request: bytes = REQUEST) -> list[dict[str, Any]]:
    return payloads(translated(ChatToMessages(request, created=7).stream(), map(named_frame, events)))


def deltas(*events: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the deltas of a stream, without the first one and the end."""
    found = [choice["delta"] for chunk in chunks(START, *events) for choice in chunk["choices"]]
    assert found[0] == {"role": "assistant", "content": ""}
    return found[1:-1]


def completion(content: Any, stop_reason: str | None = "end_turn", **members: Any) -> dict[str, Any]:
    message = {
        "id": "msg_1",
        "type": "message",
        "model": "up",
        "content": content,
        "stop_reason": stop_reason,
    }
    body = orjson.dumps({**message, **members})
    found: dict[str, Any] = orjson.loads(ChatToMessages(REQUEST, created=7).answer(body))
    return found


def use(call_id: str, name: str, **arguments: Any) -> dict[str, Any]:
    return {"type": "tool_use", "id": call_id, "name": name, "input": arguments}


def call(call_id: str, name: str, arguments: str) -> dict[str, Any]:
    return {"id": call_id, "type": "function", "function": {"name": name, "arguments": arguments}}


def test_thoughts_text_and_two_calls_become_the_chunks_of_a_chat() -> None:
    written = chunks(
        START,
        start(0, type="thinking", thinking="", signature=""),
        delta(0, "thinking_delta", thinking="Two cities."),
        delta(0, "signature_delta", signature="c2ln"),
        stop(0),
        start(1, type="text", text=""),
        {"type": "ping"},
        delta(1, "text_delta", text="Checking."),
        stop(1),
        start(2, **use("toolu_a", "get")),
        delta(2, "input_json_delta", partial_json='{"c":'),
        delta(2, "input_json_delta", partial_json='"A"}'),
        stop(2),
        start(3, **use("toolu_b", "now")),
        stop(3),
        {
            "type": "message_delta",
            "delta": {"stop_reason": "tool_use", "stop_sequence": None},
            "usage": {"output_tokens": 40, "output_tokens_details": {"thinking_tokens": 9}},
        },
        {"type": "message_stop"},
    )
    envelope = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 7, "model": "up"}

    def piece(index: int, arguments: str) -> dict[str, Any]:
        return {"tool_calls": [{"index": index, "function": {"arguments": arguments}}]}

    said = [
        {"role": "assistant", "content": ""},
        {"reasoning_content": "Two cities."},
        {"thinking_blocks": [SIGNED]},
        {"content": "Checking."},
        {"tool_calls": [{"index": 0, **call("toolu_a", "get", "")}]},
        piece(0, '{"c":'),
        piece(0, '"A"}'),
        {"tool_calls": [{"index": 1, **call("toolu_b", "now", "")}]},
        piece(1, "{}"),
    ]
    assert written == [
        *({**envelope, "choices": [{"index": 0, "delta": each, "finish_reason": None}]} for each in said),
        {**envelope, "choices": [{"index": 0, "delta": {}, "finish_reason": "tool_calls"}]},
        {**envelope, "choices": [], "usage": CHAT_USAGE},
    ]


def test_a_whole_answer_holds_the_same() -> None:
    content = [
        SIGNED,
        {"type": "text", "text": "Checking."},
        use("toolu_a", "get", c="A"),
        use("toolu_b", "now"),
    ]
    usage = {**USAGE, "output_tokens": 40, "output_tokens_details": {"thinking_tokens": 9}}

    assert completion(content, "tool_use", usage=usage) == {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 7,
        "model": "up",
        "choices": [
            {
                "index": 0,
                "message": {
                    "role": "assistant",
                    "content": "Checking.",
                    "reasoning_content": "Two cities.",
                    "thinking_blocks": [SIGNED],
                    "tool_calls": [call("toolu_a", "get", '{"c":"A"}'), call("toolu_b", "now", "{}")],
                },
                "logprobs": None,
                "finish_reason": "tool_calls",
            }
        ],
        "usage": CHAT_USAGE,
    }


@pytest.mark.parametrize(
    ("stop_reason", "finish_reason"),
    [
        ("end_turn", "stop"),
        ("stop_sequence", "stop"),
        ("max_tokens", "length"),
        ("model_context_window_exceeded", "length"),
        ("pause_turn", "pause_turn"),
        ("refusal", "content_filter"),
        ("tool_use", "stop"),
        ("novel", "novel"),
        (None, "stop"),
    ],
)
def test_why_an_answer_ended_is_told_in_the_words_of_a_chat(
    stop_reason: str | None, finish_reason: str
) -> None:
    content = [{"type": "text", "text": "a"}]
    streamed = chunks(START, start(0, type="text", text="a"), stop(0), ended(stop_reason))

    assert completion(content, stop_reason)["choices"][0]["finish_reason"] == finish_reason
    assert streamed[-2]["choices"][0]["finish_reason"] == finish_reason


@pytest.mark.parametrize("word", ['a","b":"c', "\u0000", "\n\n", "\ud800", "\u2028"])
def test_a_reason_of_any_kind_stays_one_word(word: str) -> None:
    ended = b'{"type":"message_delta","delta":{"stop_reason":' + json.dumps(word).encode() + b"}}"
    stream = ChatToMessages(REQUEST, created=7).stream()

    [*_, last] = frames_in(stream.feed(event(ended, b"message_delta")) + stream.end())

    assert json.loads(last.data)["choices"][0]["finish_reason"] == word


@pytest.mark.parametrize("stop_reason", ["end_turn", None, "tool_use"])
def test_an_answer_with_calls_says_so_whatever_the_upstream_says(stop_reason: str | None) -> None:
    block = use("a", "f")

    assert completion([block], stop_reason)["choices"][0]["finish_reason"] == "tool_calls"
    assert chunks(START, start(0, **block), stop(0), ended(stop_reason))[-2]["choices"][0][
        "finish_reason"
    ] == ("tool_calls")


def test_a_refusal_is_told_in_the_upstreams_words() -> None:
    details = {"type": "refusal", "category": "cyber", "explanation": "Not this."}
    whole = completion([], "refusal", stop_details=details)["choices"][0]

    assert whole["message"]["refusal"] == "Not this."
    assert whole["finish_reason"] == "content_filter"
    assert deltas(ended("refusal", stop_details=details)) == [{"refusal": "Not this."}]


def test_usage_is_told_in_a_stream_only_to_callers_that_ask_and_only_if_it_is_known() -> None:
    unasked = orjson.dumps({**CHAT, "stream_options": None})

    assert chunks(START, ended("end_turn"), request=unasked)[-1]["choices"]
    assert chunks(START, ended("end_turn"))[-1]["usage"]["completion_tokens"] == 4
    assert chunks({"type": "message_start", "message": {}})[-1]["choices"]
    assert "usage" not in completion([])


def test_what_a_later_report_of_the_usage_leaves_out_stays_as_it_was() -> None:
    usage = chunks(START, {"type": "message_delta", "usage": {"input_tokens": None, "output_tokens": 8}})[-1][
        "usage"
    ]

    assert (usage["prompt_tokens"], usage["completion_tokens"]) == (332, 8)


def test_what_was_stored_for_an_hour_is_told_as_such() -> None:
    held = {"ephemeral_5m_input_tokens": 5, "ephemeral_1h_input_tokens": 15}
    usage = completion([], usage={**USAGE, "cache_creation": held})["usage"]

    assert usage["prompt_tokens_details"]["cache_creation_token_details"] == held


def test_a_call_with_its_arguments_in_the_start_is_carried() -> None:
    assert deltas(start(0, **use("a", "f", x=1)), stop(0))[1] == {
        "tool_calls": [{"index": 0, "function": {"arguments": '{"x":1}'}}]
    }


def test_redacted_thoughts_are_carried() -> None:
    redacted = {"type": "redacted_thinking", "data": "x"}

    assert deltas(start(0, **redacted), stop(0)) == [{"thinking_blocks": [redacted]}]
    assert completion([redacted])["choices"][0]["message"]["thinking_blocks"] == [redacted]


def test_a_tool_that_takes_text_is_called_with_text() -> None:
    expected = {"id": "a", "type": "custom", "custom": {"name": "patch", "input": "raw"}}

    assert deltas(
        start(0, **use("a", "patch")),
        delta(0, "input_json_delta", partial_json='{"input":'),
        delta(0, "input_json_delta", partial_json='"raw"}'),
        stop(0),
    ) == [{"tool_calls": [{"index": 0, **expected}]}]
    assert completion([use("a", "patch", input="raw")])["choices"][0]["message"]["tool_calls"] == [expected]


def test_a_call_whose_end_did_not_come_is_told_at_the_end_of_the_answer_or_with_the_next_block() -> None:
    begun = [start(0, **use("a", "patch")), delta(0, "input_json_delta", partial_json='{"input":"raw"}')]
    again = [start(0, **use("b", "patch")), delta(0, "input_json_delta", partial_json='{"input":"x"}')]

    told = [d["tool_calls"][0] for d in deltas(*begun, *again) if "tool_calls" in d]

    assert [(call["id"], call["custom"]["input"]) for call in told] == [("a", "raw"), ("b", "x")]


def test_blocks_of_tools_that_the_vendor_runs_and_errors_are_left_out() -> None:
    search = {"type": "server_tool_use", "id": "s", "name": "web_search", "input": {}}
    found = {"type": "web_search_tool_result", "tool_use_id": "s", "content": []}
    error = {"type": "error", "error": {"type": "overloaded_error", "message": "no"}}

    assert completion([search, found])["choices"][0]["message"] == {"role": "assistant", "content": None}
    assert (
        deltas(
            start(0, **search),
            delta(0, "input_json_delta", partial_json='{"query":"x"}'),
            stop(0),
            start(1, **found),
            delta(2, "citations_delta", citation={}),
            error,
        )
        == []
    )


def test_numbers_in_arguments_keep_every_digit() -> None:
    body = b'{"content":[{"type":"tool_use","id":"a","name":"f","input":{"x":12345678901234567890123}}]}'
    answer = orjson.loads(ChatToMessages(REQUEST).answer(body))

    arguments = answer["choices"][0]["message"]["tool_calls"][0]["function"]["arguments"]
    assert arguments == '{"x":12345678901234567890123}'


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(0, 2**53) | st.floats(0, 1) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=5,
)
TYPES = (
    "text", "thinking", "redacted_thinking", "tool_use", "text_delta", "thinking_delta", "input_json_delta",
    "signature_delta", "refusal",
)  # fmt: skip
TYPED = st.dictionaries(
    st.sampled_from(
        ("text", "thinking", "signature", "data", "id", "name", "input", "partial_json", "usage")
    ),
    JSON,
    max_size=4,
).flatmap(lambda members: st.sampled_from(TYPES).map(lambda kind: {**members, "type": kind}))
EVENTS = (
    "message_start",
    "content_block_start",
    "content_block_delta",
    "content_block_stop",
    "message_delta",
)
EVENT = st.fixed_dictionaries(
    {"type": st.sampled_from(EVENTS)},
    optional={
        "index": st.integers(0, 2) | JSON, "message": JSON | TYPED, "content_block": TYPED | JSON,
        "delta": TYPED | JSON, "usage": JSON,
    },
)  # fmt: skip


@given(st.lists(st.binary() | EVENT | JSON, max_size=8))
def test_whatever_an_upstream_sends_every_frame_is_a_chunk(sent: list[Any]) -> None:
    frames = [each if isinstance(each, bytes) else b"data: " + orjson.dumps(each) + b"\n\n" for each in sent]
    found = payloads(translated(ChatToMessages(REQUEST).stream(), frames))

    assert all(chunk["object"] == "chat.completion.chunk" for chunk in found)
    assert [chunk for chunk in found if chunk["choices"] and chunk["choices"][0]["finish_reason"]]


@given(st.binary() | st.fixed_dictionaries(
    {"content": st.lists(TYPED | JSON) | JSON},
    optional={"id": JSON, "model": JSON, "usage": JSON, "stop_reason": JSON, "stop_details": JSON},
).map(orjson.dumps))  # fmt: skip
def test_whatever_an_upstream_answers_is_a_completion(sent: bytes) -> None:
    answer = orjson.loads(ChatToMessages(REQUEST).answer(sent))

    assert answer["object"] == "chat.completion"
    assert answer["choices"][0]["message"]["role"] == "assistant"


@pytest.mark.parametrize("value", ['"\\ud83d"', '{"a":' * 600 + "1" + "}" * 600, "1e999", "NaN"])
def test_half_a_character_deep_arguments_and_numbers_that_are_none_are_no_failure(value: str) -> None:
    block = '{"type":"tool_use","id":"a","name":"f","input":' + value + "}"
    event = '{"type":"content_block_start","index":0,"content_block":' + block + "}"
    frames = [b"data: " + event.encode() + b"\n\n", named_frame(stop(0))]

    assert translated(ChatToMessages(REQUEST).stream(), frames)
    assert ChatToMessages(REQUEST).answer(b'{"content":[' + block.encode() + b"]}")
