"""The events of a Responses stream: read, written, and made of a whole response and back."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serve_app.formats.openai_responses.events import (
    event_of,
    events_in,
    frames_of,
    next_number,
    usage_in,
    usage_told,
    whole_of,
)
from serve_app.formats.openai_responses.format import OPENAI_RESPONSES
from serve_app.pricing.usage import Usage

REASONING = {
    "type": "reasoning",
    "id": "rs_1",
    "summary": [{"type": "summary_text", "text": "Two cities."}],
    "encrypted_content": "gw1.c2ln",
}
MESSAGE = {
    "type": "message",
    "id": "msg_1",
    "role": "assistant",
    "status": "completed",
    "content": [
        {"type": "output_text", "text": "Checking.", "annotations": []},
        {"type": "refusal", "refusal": "No."},
    ],
}
CALL = {
    "type": "function_call",
    "id": "fc_a",
    "call_id": "a",
    "name": "get",
    "arguments": '{"c":"A"}',
    "status": "completed",
}
CUSTOM = {"type": "custom_tool_call", "id": "ctc_a", "call_id": "b", "name": "p", "input": "*** Begin"}
SEARCH = {"type": "web_search_call", "id": "ws_1", "status": "completed", "action": {"query": "x"}}
WHOLE = {
    "id": "resp_1",
    "object": "response",
    "status": "completed",
    "output": [REASONING, MESSAGE, CALL, CUSTOM, SEARCH],
    "usage": {"input_tokens": 3, "output_tokens": 2},
}


def test_a_whole_response_becomes_a_stream_in_the_order_of_the_vendor() -> None:
    events = list(events_in(frames_of(WHOLE)))

    assert [event["sequence_number"] for event in events] == list(range(len(events)))
    assert [event["type"].removeprefix("response.") for event in events] == [
        "created", "in_progress",
        "output_item.added", "reasoning_summary_part.added", "reasoning_summary_text.delta",
        "reasoning_summary_text.done", "reasoning_summary_part.done", "output_item.done",
        "output_item.added",
        "content_part.added", "output_text.delta", "output_text.done", "content_part.done",
        "content_part.added", "refusal.delta", "refusal.done", "content_part.done",
        "output_item.done",
        "output_item.added", "function_call_arguments.delta", "function_call_arguments.done",
        "output_item.done",
        "output_item.added", "custom_tool_call_input.delta", "custom_tool_call_input.done",
        "output_item.done",
        "output_item.added", "output_item.done",
        "completed",
    ]  # fmt: skip
    assert events[0]["response"]["output"] == []
    assert events[-1]["response"] == WHOLE


def test_a_stream_becomes_the_response_of_its_last_event() -> None:
    assert whole_of(frames_of(WHOLE)) == WHOLE


def test_an_output_that_the_last_event_lacks_is_gathered_from_its_items() -> None:
    bare = frames_of(WHOLE).replace(frames_of(WHOLE).split(b"event: response.completed")[1], b"")
    last = event_of({"type": "response.completed", "response": {**WHOLE, "output": []}})

    assert whole_of(bare.removesuffix(b"event: response.completed") + last) == WHOLE


@pytest.mark.parametrize(
    "stream", [b"", b"data: {}\n\n", event_of({"type": "response.created", "response": WHOLE})]
)
def test_a_stream_without_a_last_event_is_no_response(stream: bytes) -> None:
    assert whole_of(stream) is None


def test_the_number_of_the_last_event_counts() -> None:
    assert next_number(frames_of(WHOLE)) == len(list(events_in(frames_of(WHOLE))))
    assert next_number(b"data: {}\n\n") == 0


COUNTS = st.integers(0, 10**6)


@given(COUNTS, COUNTS, COUNTS, COUNTS, COUNTS)
def test_a_usage_is_told_as_it_is_read(
    read: int, written: int, cached: int, stored: int, thought: int
) -> None:
    usage = Usage(read, written, cached, stored, reasoning=thought)

    again = usage_in({"usage": usage_told(usage)})

    assert again == (usage if usage.total_tokens else None)


FLOATS = st.floats(allow_nan=False, allow_infinity=False)
JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | FLOATS | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(
        st.sampled_from([
            "type", "response", "output", "item", "output_index", "delta", "text", "usage", "id", "content",
            "summary", "status", "arguments", "sequence_number", "tool_usage", "web_search", "num_requests",
        ])
        | st.text(max_size=3),
        inner
        | st.sampled_from([
            "response.completed", "response.output_item.done", "response.output_text.delta", "output_text",
            "function_call", "failed",
        ]),
        max_size=5,
    ),
    max_leaves=15,
)  # fmt: skip


@given(st.lists(JSON, max_size=4), st.binary(max_size=40))
def test_whatever_an_upstream_sends_is_read_without_an_error(payloads: list[Any], noise: bytes) -> None:
    frames = [event_of(payload) for payload in payloads if isinstance(payload, dict)]
    stream = b"".join(frames) + noise + b"\n\n" + b"".join(frames)

    list(OPENAI_RESPONSES.chunks(stream))
    OPENAI_RESPONSES.count_chars(stream)
    OPENAI_RESPONSES.first_block(stream, {"x": 1})
    next_number(stream)
    whole = whole_of(stream)
    if whole is not None:
        assert frames_of(whole)


@given(st.dictionaries(st.sampled_from(["id", "status", "output", "usage"]), JSON))
def test_any_object_becomes_a_stream_that_ends(response: dict[str, Any]) -> None:
    found = whole_of(frames_of(response))

    assert found == response if response else found is None or found == {}
