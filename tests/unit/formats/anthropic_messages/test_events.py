"""Events of a message's stream: read, written, counted, and gathered into a message."""

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from serve_app.formats.anthropic_messages.events import (
    chars_said,
    event_of,
    events_in,
    message_in,
    usage_of_message,
    with_members,
)
from serve_app.formats.anthropic_messages.stream_conversion import answer_of, events_of
from serve_app.formats.sse import event, whole_frames
from serve_app.pricing.usage import Tier, Usage
from tests.unit.formats.anthropic_messages.samples import (
    EVENTS,
    MESSAGE,
    START,
    STOP,
    block_start,
    block_stop,
    delta,
    end,
    stream_of,
)


def test_an_event_names_its_type_in_both_places() -> None:
    [frame] = whole_frames(event_of("message_stop", {"type": "other", "x": 1}))

    assert (frame.name, orjson.loads(frame.data)) == (b"message_stop", {"type": "message_stop", "x": 1})


def test_events_are_read_as_they_were_written() -> None:
    assert list(events_in(stream_of(*EVENTS))) == EVENTS


@pytest.mark.parametrize(
    ("block", "types"),
    [
        (b'event: ping\ndata: {"type":"ping"}\n\n', ["ping"]),
        (b"event: ping\ndata: {}\n\n", ["ping"]),
        (b'data: {"x":1}\n\n', [""]),
        (b": comment\n\nevent: ping\n\n", []),
        (b"data: [1]\n\ndata: nonsense\n\ndata: [DONE]\n\n", []),
        (b"data: " + b'{"a":' * 200 + b"1" + b"}" * 200 + b"\n\n", []),
    ],
    ids=["usual", "the name alone", "neither", "no data", "no object", "too deep"],
)
def test_a_frame_that_cannot_be_read_is_left_out(block: bytes, types: list[str]) -> None:
    assert [payload["type"] for payload in events_in(block)] == types


def test_a_stream_makes_up_a_message() -> None:
    assert answer_of(EVENTS) == MESSAGE


def test_a_message_makes_up_a_stream() -> None:
    made = list(events_in(events_of(MESSAGE)))

    assert [payload["type"] for payload in made] == [
        "message_start",
        *("content_block_start", "content_block_delta", "content_block_delta", "content_block_stop"),
        *("content_block_start", "content_block_delta", "content_block_stop"),
        *("content_block_start", "content_block_delta", "content_block_stop"),
        *("content_block_start", "content_block_stop"),
        "message_delta",
        "message_stop",
    ]
    assert made[0]["message"]["content"] == []
    assert made[0]["message"]["stop_reason"] is None
    assert made[-2]["delta"] == {"stop_reason": "tool_use", "stop_sequence": None}
    assert answer_of(made) == MESSAGE


def text_block(text: str) -> dict[str, Any]:
    return {"type": "text", "text": text}


TEXT = st.text(st.characters(codec="utf-8"), max_size=8)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=6,
)
CITATION = st.fixed_dictionaries({"type": st.just("char_location"), "cited_text": TEXT})
BLOCK = (
    st.builds(lambda text: {"type": "text", "text": text}, TEXT)
    | st.builds(
        lambda text, cited: {"type": "text", "text": text, "citations": cited},
        TEXT,
        st.lists(CITATION, min_size=1, max_size=2),
    )
    | st.builds(lambda text, sign: {"type": "thinking", "thinking": text, "signature": sign}, TEXT, TEXT)
    | st.builds(lambda data: {"type": "redacted_thinking", "data": data}, TEXT)
    | st.builds(
        lambda kind, given: {"type": kind, "id": "t1", "name": "f", "input": given},
        st.sampled_from(["tool_use", "server_tool_use"]),
        st.dictionaries(TEXT, JSON, max_size=3),
    )
    | st.builds(
        lambda found: {"type": "web_search_tool_result", "content": found}, st.lists(JSON, max_size=2)
    )
)
COUNT = st.integers(0, 9)
ANSWER = st.fixed_dictionaries(
    {
        "id": TEXT, "type": st.just("message"), "role": st.just("assistant"), "model": TEXT,
        "content": st.lists(BLOCK, max_size=4),
        "stop_reason": st.sampled_from(["end_turn", "refusal"]), "stop_sequence": st.none() | TEXT,
        "usage": st.fixed_dictionaries({"input_tokens": COUNT, "output_tokens": COUNT}),
    },
    optional={"stop_details": JSON, "container": JSON, "context_management": JSON, "sekha_metadata": JSON},
)  # fmt: skip


@given(ANSWER)
def test_a_message_is_the_same_after_a_stream(message: dict[str, Any]) -> None:
    assert answer_of(events_in(events_of(message))) == message


@pytest.mark.parametrize(
    ("events", "content"),
    [
        (
            [delta(0, "text_delta", text="a"), delta(0, "text_delta", text="b")],
            [text_block("ab")],
        ),
        (
            [delta(0, "thinking_delta", thinking="a"), delta(0, "signature_delta", signature="s")],
            [{"type": "thinking", "thinking": "a", "signature": "s"}],
        ),
        ([delta(5, "unknown_delta", x=1)], []),
        (
            [block_start(7, type="text", text="b"), block_start(2, type="text", text="a")],
            [text_block("a"), text_block("b")],
        ),
        ([block_start(0, type="text", text="a"), delta(0, "text_delta", text="b")], [text_block("ab")]),
        (
            [block_start(0, type="compaction", content=None), delta(0, "compaction_delta", content="short")],
            [{"type": "compaction", "content": "short"}],
        ),
        (
            [block_start(0, type="tool_use", id="1", name="f", input={"a": 1})],
            [{"type": "tool_use", "id": "1", "name": "f", "input": {"a": 1}}],
        ),
        (
            [block_start(0, type="text", text=""), delta(0, "citations_delta", citation={"a": 1})],
            [{"type": "text", "text": "", "citations": [{"a": 1}]}],
        ),
    ],
)
def test_whatever_is_told_of_a_block_is_in_the_message(
    events: list[dict[str, Any]], content: list[Any]
) -> None:
    assert answer_of([START, *events, end(), STOP])["content"] == content


def test_the_first_of_two_starts_counts() -> None:
    again = {"type": "message_start", "message": {"id": "msg_2", "content": []}}

    assert answer_of([START, again, delta(0, "text_delta", text="a")])["id"] == "msg_1"


def test_a_usage_keeps_what_a_later_report_leaves_out() -> None:
    found = answer_of([START, end(output_tokens=7, cache_read_input_tokens=None, input_tokens=13)])

    assert found["usage"] == {**START["message"]["usage"], "output_tokens": 7, "input_tokens": 13}


def test_an_input_that_was_cut_is_kept_as_its_text() -> None:
    begun = block_start(0, type="tool_use", id="1", name="f", input={})
    cut = delta(0, "input_json_delta", partial_json='{"a":')

    assert answer_of([begun, cut])["content"][0]["input"] == {"_raw": '{"a":'}


@pytest.mark.parametrize(
    ("payloads", "chars"),
    [
        ([delta(0, "text_delta", text="abc")], 3),
        ([delta(0, "thinking_delta", thinking='a"}\n')], 4),
        ([delta(0, "input_json_delta", partial_json='{"text":"')], 9),
        ([delta(0, "text_delta", text="\U0001f600é")], 2),
        ([delta(0, "text_delta", text="a"), delta(0, "text_delta", text="b"), block_stop(0)], 2),
        ([delta(0, "signature_delta", signature="x" * 50)], 0),
        ([delta(0, "text_delta", text='"type":"text_delta","text":"more"')], 33),
        ([block_start(0, type="web_fetch_tool_result", content={"type": "text", "text": "x" * 50})], 0),
        ([{"type": "content_block_delta", "delta": {"text": "abc", "type": "text_delta"}}], 3),
        ([{"type": "content_block_delta", "delta": {"type": "text_delta", "text": 5}}], 0),
        ([START, end(output_tokens=5), STOP], 0),
    ],
)
def test_characters_are_those_that_the_model_wrote(payloads: list[dict[str, Any]], chars: int) -> None:
    assert chars_said(stream_of(*payloads)) == chars


DELTAS = st.builds(
    lambda kind, words, turned: (
        {kind[1]: words, "type": kind[0]} if turned else {"type": kind[0], kind[1]: words}
    ),
    st.sampled_from(
        [("text_delta", "text"), ("thinking_delta", "thinking"), ("input_json_delta", "partial_json")]
    ),
    TEXT,
    st.booleans(),
)


@given(st.lists(DELTAS, max_size=4))
def test_the_count_is_the_same_in_the_bytes_and_in_what_they_mean(deltas: list[dict[str, Any]]) -> None:
    payloads = [{"type": "content_block_delta", "index": 0, "delta": each} for each in deltas]

    said = sum(len(value) for each in deltas for name, value in each.items() if name != "type")
    assert chars_said(stream_of(*payloads)) == said


def test_members_are_those_of_the_message_that_clients_gather() -> None:
    members = {"x": {"a": 1}, "y": 2}
    rest = stream_of(*EVENTS[1:])

    block = with_members(b": comment\n\n" + stream_of(START) + rest, members)

    assert answer_of(events_in(block)) == {**MESSAGE, **members}
    assert block.endswith(rest)
    assert with_members(stream_of(START), {}) == stream_of(START)


@pytest.mark.parametrize(
    "payload",
    [
        {"type": "ping"},
        {"type": "message_start", "message": None},
        {"type": "message_start", "message": {"id": "1"}, "more": 1},
    ],
)
def test_members_are_not_lost_where_there_is_no_message_for_them(payload: dict[str, Any]) -> None:
    [found] = events_in(with_members(stream_of(payload), {"x": 1}))

    assert found == {**payload, "x": 1}


@pytest.mark.parametrize(
    ("usage", "told"),
    [
        ({"input_tokens": 2, "output_tokens": 5}, Usage(2, 5)),
        (
            {"input_tokens": 2, "output_tokens": 5, "output_tokens_details": {"thinking_tokens": 3}},
            Usage(2, 2, reasoning=3),
        ),
        (
            {"input_tokens": 2, "output_tokens": 5, "output_tokens_details": {"thinking_tokens": 9}},
            Usage(2, 0, reasoning=5),
        ),
        (
            {
                "input_tokens": 1, "output_tokens": 1, "cache_read_input_tokens": 7,
                "cache_creation_input_tokens": 5, "cache_creation": {"ephemeral_1h_input_tokens": 3},
            },
            Usage(1, 1, cached_read=7, cache_write_5m=2, cache_write_1h=3),
        ),
        (
            {"input_tokens": 1, "output_tokens": 1, "server_tool_use": {"web_search_requests": 2}},
            Usage(1, 1, searches=2),
        ),
        ({"input_tokens": 1, "output_tokens": 1, "service_tier": "batch"}, Usage(1, 1, tier=Tier.BATCH)),
        (
            {"input_tokens": 1, "output_tokens": 1, "service_tier": "standard", "speed": "fast"},
            Usage(1, 1, tier=Tier.FAST),
        ),
        ({"input_tokens": 1, "output_tokens": 1, "inference_geo": "us"}, Usage(1, 1, tier=Tier.US)),
        ({"input_tokens": 1, "output_tokens": 1, "inference_geo": "not_available"}, Usage(1, 1)),
        (
            {
                "input_tokens": 10, "output_tokens": 5,
                "iterations": [
                    {"type": "compaction", "input_tokens": 100, "output_tokens": 20},
                    {"type": "message", "input_tokens": 10, "output_tokens": 5},
                    {"type": "compaction", "input_tokens": "many"},
                    7,
                ],
            },
            Usage(110, 25),
        ),
        ({"input_tokens": None, "output_tokens": None}, None),
        ({"input_tokens": "x", "output_tokens": 1}, None),
        ({}, None),
        (None, None),
    ],
)  # fmt: skip
def test_a_usage_has_every_token_in_one_bucket(usage: dict[str, Any] | None, told: Usage | None) -> None:
    assert usage_of_message(usage) == told


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"content":null}', event(b'{"content":[]}')])
def test_what_has_no_content_is_no_message(body: bytes) -> None:
    assert message_in(body) is None
    assert message_in(orjson.dumps(MESSAGE)) == MESSAGE
