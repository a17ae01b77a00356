"""A Responses request for an upstream that speaks Anthropic Messages, by way of chat completions."""

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from serve_app.errors import InvalidRequest
from serve_app.formats.openai_responses.events import event_of, events_in, whole_of
from serve_app.formats.responses_to_chat.reasoning import unsealed
from serve_app.formats.responses_to_messages import responses_to_messages

TOOLS = [
    {"type": "function", "name": "get", "parameters": {"type": "object", "properties": {}}},
    {"type": "custom", "name": "now"},
]
ASKED = {"model": "m", "input": "Weather?", "tools": TOOLS, "max_output_tokens": 100, "stream": True}


def delta(index: int, kind: str, **text: str) -> dict[str, Any]:
    return {"type": "content_block_delta", "index": index, "delta": {"type": kind, **text}}


# Thinking, a text, and two calls at once.
EVENTS: list[dict[str, Any]] = [
    {"type": "message_start", "message": {
        "id": "msg_1", "type": "message", "role": "assistant", "model": "m", "content": [],
        "stop_reason": None, "stop_sequence": None, "usage": {
            "input_tokens": 12, "cache_read_input_tokens": 300, "cache_creation_input_tokens": 20,
            "output_tokens": 1,
        },
    }},
    {"type": "content_block_start", "index": 0, "content_block": {
        "type": "thinking", "thinking": "", "signature": "",
    }},
    delta(0, "thinking_delta", thinking="Two cities."),
    delta(0, "signature_delta", signature="c2ln"),
    {"type": "content_block_stop", "index": 0},
    {"type": "content_block_start", "index": 1, "content_block": {"type": "text", "text": ""}},
    {"type": "ping"},
    delta(1, "text_delta", text="Checking."),
    {"type": "content_block_stop", "index": 1},
    {"type": "content_block_start", "index": 2, "content_block": {
        "type": "tool_use", "id": "toolu_a", "name": "get", "input": {},
    }},
    delta(2, "input_json_delta", partial_json='{"c":'),
    delta(2, "input_json_delta", partial_json='"A"}'),
    {"type": "content_block_stop", "index": 2},
    {"type": "content_block_start", "index": 3, "content_block": {
        "type": "tool_use", "id": "toolu_b", "name": "now", "input": {"input": "x"},
    }},
    {"type": "content_block_stop", "index": 3},
    {"type": "message_delta", "delta": {"stop_reason": "tool_use", "stop_sequence": None}, "usage": {
        "output_tokens": 40, "output_tokens_details": {"thinking_tokens": 9},
    }},
    {"type": "message_stop"},
]  # fmt: skip
BLOCKS = [{"type": "thinking", "thinking": "Two cities.", "signature": "c2ln"}]


def response_to(events: list[dict[str, Any]]) -> dict[str, Any]:
    stream = responses_to_messages(orjson.dumps(ASKED)).stream()
    blocks = b"".join(stream.feed(event_of(event)) for event in events) + stream.end()
    numbers = [event["sequence_number"] for event in events_in(blocks)]
    assert numbers == list(range(len(numbers)))
    response = whole_of(blocks)
    assert response is not None
    return response


def test_thinking_a_text_and_two_calls_arrive_with_their_usage() -> None:
    response = response_to(EVENTS)

    reasoning, message, get, now = response["output"]
    assert reasoning["summary"] == [{"type": "summary_text", "text": "Two cities."}]
    assert unsealed(reasoning["encrypted_content"]) == BLOCKS
    assert message["content"][0]["text"] == "Checking."
    assert (get["call_id"], get["name"], get["arguments"]) == ("toolu_a", "get", '{"c":"A"}')
    assert (now["type"], now["call_id"], now["input"]) == ("custom_tool_call", "toolu_b", "x")
    assert response["status"] == "completed"
    assert response["usage"] == {
        "input_tokens": 332,
        "input_tokens_details": {"cached_tokens": 300, "cache_write_tokens": 20},
        "output_tokens": 40,
        "output_tokens_details": {"reasoning_tokens": 9},
        "total_tokens": 372,
    }


def test_what_was_answered_goes_back_with_its_signature_before_the_calls() -> None:
    outputs = [
        {"type": "function_call_output", "call_id": "toolu_a", "output": "sun"},
        {"type": "custom_tool_call_output", "call_id": "toolu_b", "output": "noon"},
    ]
    items = [{"role": "user", "content": "Weather?"}, *response_to(EVENTS)["output"], *outputs]

    made = responses_to_messages(orjson.dumps({**ASKED, "instructions": "Be brief.", "input": items}))

    asked = orjson.loads(made.body)
    user, assistant, results = asked["messages"]
    assert user["role"] == results["role"] == "user"
    assert [block["type"] for block in assistant["content"]] == ["thinking", "text", "tool_use", "tool_use"]
    assert assistant["content"][0] == BLOCKS[0]
    assert [block["tool_use_id"] for block in results["content"]] == ["toolu_a", "toolu_b"]
    assert asked["max_tokens"] == 100


def test_what_either_way_loses_is_told_by_the_callers_name() -> None:
    made = responses_to_messages(orjson.dumps({**ASKED, "truncation": "auto", "text": {"verbosity": "low"}}))

    assert {"truncation", "text.verbosity"} <= set(made.dropped)


def test_what_a_message_cannot_carry_is_refused() -> None:
    audio = {"type": "input_audio", "input_audio": {"data": "AA", "format": "wav"}}

    with pytest.raises(InvalidRequest):
        responses_to_messages(orjson.dumps({**ASKED, "input": [{"role": "user", "content": [audio]}]}))


@given(st.lists(st.sampled_from(EVENTS), max_size=12), st.binary(max_size=30))
def test_whatever_an_upstream_sends_becomes_a_response(events: list[dict[str, Any]], noise: bytes) -> None:
    assert response_to(events)["object"] == "response"
    assert orjson.loads(responses_to_messages(orjson.dumps(ASKED)).answer(noise))["object"] == "response"
