"""A chat's answer as the message that a caller gets: whole and as a stream."""

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from serve_app.formats.messages_to_chat.translation import MessagesToChat
from tests.support.event_streams import chat_chunk, frame, payloads, translated

REQUEST = orjson.dumps({
    "model": "m", "max_tokens": 9, "stop_sequences": ["END"], "messages": [{"role": "user", "content": "hi"}],
})  # fmt: skip
USAGE = {
    "prompt_tokens": 332,
    "completion_tokens": 40,
    "total_tokens": 372,
    "prompt_tokens_details": {"cached_tokens": 300, "cache_write_tokens": 20},
    "completion_tokens_details": {"reasoning_tokens": 9},
}
NO_USAGE = {"input_tokens": 0, "output_tokens": 0}


def events(*frames: bytes) -> list[dict[str, Any]]:
    """Return the events that a caller gets for a stream of these frames."""
    return payloads(translated(MessagesToChat(REQUEST).stream(), frames))


def content(*frames: bytes) -> list[dict[str, Any]]:
    """Return the blocks that a client puts together from the events, which must be well formed."""
    blocks: list[dict[str, Any]] = []
    is_open = False
    for event in events(*frames)[1:-2]:
        match event["type"]:
            case "content_block_start":
                assert not is_open
                assert event["index"] == len(blocks)
                is_open = True
                blocks.append({**event["content_block"], "pieces": ""})
            case "content_block_delta":
                assert is_open
                assert event["index"] == len(blocks) - 1
                delta = event["delta"]
                if delta["type"] == "signature_delta":
                    blocks[-1]["signature"] = delta["signature"]
                else:
                    blocks[-1]["pieces"] += delta.get("text", "") + delta.get("thinking", "")
                    blocks[-1]["pieces"] += delta.get("partial_json", "")
            case "content_block_stop":
                assert is_open
                is_open = False
    assert not is_open
    for block in blocks:
        pieces = block.pop("pieces")
        if block["type"] == "tool_use":
            block["input"] = orjson.loads(pieces) if pieces else {}
        elif block["type"] in ("text", "thinking"):
            block[block["type"]] = pieces
    return blocks


def message(said: dict[str, Any], finish_reason: str | None = "stop", **members: Any) -> dict[str, Any]:
    """Return the message for a whole answer."""
    choice = {"index": 0, "message": said, "finish_reason": finish_reason}
    whole = {"id": "chatcmpl-1", "model": "upstream", "choices": [choice], **members}
    found: dict[str, Any] = orjson.loads(MessagesToChat(REQUEST).answer(orjson.dumps(whole)))
    return found


def piece(index: int | None, arguments: str = "", **members: Any) -> dict[str, Any]:
    """Return a delta with a piece of a call."""
    name = {"name": members.pop("name")} if "name" in members else {}
    call = {**members, "function": {**name, "arguments": arguments}}
    return {"tool_calls": [call if index is None else {"index": index, **call}]}


def tool_use(call_id: str, name: str = "f", **arguments: Any) -> dict[str, Any]:
    return {"type": "tool_use", "id": call_id, "name": name, "input": arguments}


def test_thoughts_text_and_two_calls_become_the_events_of_a_message() -> None:
    written = events(
        chat_chunk({"role": "assistant", "content": ""}),
        chat_chunk({"reasoning_content": "Two cities."}),
        chat_chunk({"content": "Checking."}),
        chat_chunk(piece(0, id="call_a", type="function", name="get")),
        chat_chunk(piece(0, '{"c":')),
        chat_chunk(piece(0, '"A"}')),
        chat_chunk(piece(1, id="call_b", type="function", name="now")),
        chat_chunk(piece(1, "{}")),
        chat_chunk({}, "tool_calls"),
        frame({"choices": [], "usage": USAGE}),
    )

    def start(index: int, block: dict[str, Any]) -> dict[str, Any]:
        return {"type": "content_block_start", "index": index, "content_block": block}

    def delta(index: int, kind: str, **members: str) -> dict[str, Any]:
        return {"type": "content_block_delta", "index": index, "delta": {"type": kind, **members}}

    def stop(index: int) -> dict[str, Any]:
        return {"type": "content_block_stop", "index": index}

    assert written == [
        {
            "type": "message_start",
            "message": {
                "id": "msg_1", "type": "message", "role": "assistant", "model": "m", "content": [],
                "stop_reason": None, "stop_sequence": None, "usage": NO_USAGE,
            },
        },
        start(0, {"type": "thinking", "thinking": "", "signature": ""}),
        delta(0, "thinking_delta", thinking="Two cities."),
        stop(0),
        start(1, {"type": "text", "text": ""}),
        delta(1, "text_delta", text="Checking."),
        stop(1),
        start(2, tool_use("call_a", "get")),
        delta(2, "input_json_delta", partial_json='{"c":'),
        delta(2, "input_json_delta", partial_json='"A"}'),
        stop(2),
        start(3, tool_use("call_b", "now")),
        delta(3, "input_json_delta", partial_json="{}"),
        stop(3),
        {
            "type": "message_delta",
            "delta": {"stop_reason": "tool_use", "stop_sequence": None},
            "usage": {
                "input_tokens": 12, "cache_read_input_tokens": 300, "cache_creation_input_tokens": 20,
                "output_tokens": 40, "output_tokens_details": {"thinking_tokens": 9},
            },
        },
        {"type": "message_stop"},
    ]  # fmt: skip


def test_a_whole_answer_holds_the_same() -> None:
    calls = [
        {"id": "call_a", "type": "function", "function": {"name": "get", "arguments": '{"c":"A"}'}},
        {"id": "call_b", "type": "function", "function": {"name": "now", "arguments": ""}},
    ]
    said = {"role": "assistant", "content": "Checking.", "reasoning_content": "Two.", "tool_calls": calls}

    assert message(said, "tool_calls", usage=USAGE) == {
        "id": "msg_1", "type": "message", "role": "assistant", "model": "m",
        "content": [
            {"type": "thinking", "thinking": "Two.", "signature": ""},
            {"type": "text", "text": "Checking."},
            tool_use("call_a", "get", c="A"),
            tool_use("call_b", "now"),
        ],
        "stop_reason": "tool_use", "stop_sequence": None,
        "usage": {
            "input_tokens": 12, "cache_read_input_tokens": 300, "cache_creation_input_tokens": 20,
            "output_tokens": 40, "output_tokens_details": {"thinking_tokens": 9},
        },
    }  # fmt: skip


@pytest.mark.parametrize(
    ("finish_reason", "said", "stop_reason"),
    [
        ("stop", {"content": "a"}, "end_turn"),
        ("length", {"content": "a"}, "max_tokens"),
        ("tool_calls", piece(None, "{}", id="a", name="f"), "tool_use"),
        ("function_call", {"function_call": {"name": "f", "arguments": "{}"}}, "tool_use"),
        ("stop", piece(None, "{}", id="a", name="f"), "tool_use"),
        (None, piece(None, "{}", id="a", name="f"), "tool_use"),
        ("length", piece(None, '{"a', id="a", name="f"), "max_tokens"),
        ("tool_calls", {"content": "a"}, "end_turn"),
        (None, {"content": "a"}, "end_turn"),
        ("eos", {"content": "a"}, "end_turn"),
        ("content_filter", {"content": "a"}, "refusal"),
        ("stop", {"content": None, "refusal": "I cannot."}, "refusal"),
        ("stop", {"content": "Yes.", "refusal": "But."}, "end_turn"),
    ],
)
def test_why_an_answer_ended_is_told_in_the_words_of_a_message(
    finish_reason: str | None, said: dict[str, Any], stop_reason: str
) -> None:
    streamed = events(chat_chunk(said), chat_chunk({}, finish_reason))[-2]["delta"]

    assert message(said, finish_reason)["stop_reason"] == stop_reason
    assert streamed["stop_reason"] == stop_reason
    assert (streamed.get("stop_details") is not None) == (stop_reason == "refusal")


def test_a_stop_sequence_is_told_where_the_upstream_names_one_that_was_asked_for() -> None:
    choice = {"index": 0, "delta": {"content": "a"}, "finish_reason": "stop"}

    met = events(frame({"choices": [{**choice, "stop_reason": "END"}]}))[-2]["delta"]
    other = events(frame({"choices": [{**choice, "stop_reason": 128001}]}))[-2]["delta"]

    assert met == {"stop_reason": "stop_sequence", "stop_sequence": "END"}
    assert other == {"stop_reason": "end_turn", "stop_sequence": None}


def test_thoughts_end_with_the_signature_of_a_model_that_signs() -> None:
    signed = {"type": "thinking", "thinking": "Two.", "signature": "c2ln"}
    redacted = {"type": "redacted_thinking", "data": "x"}

    piecewise = content(
        chat_chunk({"reasoning_content": "Tw"}),
        chat_chunk({"reasoning_content": "o."}),
        chat_chunk({"thinking_blocks": [signed]}),
        chat_chunk({"thinking_blocks": [redacted]}),
        chat_chunk({"content": "Hi"}),
    )
    whole = message({"content": "Hi", "reasoning_content": "Two.", "thinking_blocks": [signed, redacted]})

    assert piecewise == whole["content"] == [signed, redacted, {"type": "text", "text": "Hi"}]


def test_thoughts_under_several_names_are_told_once() -> None:
    both = {"reasoning_content": "Hm", "reasoning": "Hm", "thinking_blocks": [{"thinking": "Hm"}]}

    assert content(chat_chunk(both)) == [{"type": "thinking", "thinking": "Hm", "signature": ""}]
    assert content(chat_chunk({"thinking_blocks": [{"thinking": "H"}]}), chat_chunk({"reasoning": "m"})) == [
        {"type": "thinking", "thinking": "Hm", "signature": ""}
    ]


def test_contents_in_parts_are_read() -> None:
    parts = [
        {"type": "thinking", "thinking": [{"type": "text", "text": "Hm"}]},
        {"type": "text", "text": "Hi"},
    ]

    assert content(chat_chunk({"content": parts})) == [
        {"type": "thinking", "thinking": "Hm", "signature": ""},
        {"type": "text", "text": "Hi"},
    ]


@pytest.mark.parametrize(
    "pieces",
    [
        [  # as the standard has it
            piece(0, id="a", name="f"), piece(0, '{"x":1}'), piece(1, id="b", name="g"), piece(1, '{"y":2}'),
        ],
        [  # the index is always 0
            piece(0, '{"x":1}', id="a", name="f"), piece(0, id="b", name="g"), piece(0, '{"y":2}'),
        ],
        [  # without an index
            piece(None, id="a", name="f"), piece(None, '{"x":1}'), piece(None, '{"y":2}', id="b", name="g"),
        ],
        [  # interleaved
            piece(0, id="a", name="f"), piece(1, id="b", name="g"), piece(0, '{"x"'), piece(1, '{"y"'),
            piece(0, ":1}"), piece(1, ":2}"),
        ],
        [  # arguments before the name
            piece(0, '{"x"', id="a"), piece(0, ":1}", name="f"), piece(1, '{"y":2}', id="b", name="g"),
        ],
        [  # the id in every piece, arguments as an object
            piece(0, id="a", name="f"), piece(0, '{"x":1}', id="a"),
            {"tool_calls": [{"index": 1, "id": "b", "function": {"name": "g", "arguments": {"y": 2}}}]},
        ],
    ],
)  # fmt: skip
def test_calls_come_whole_and_one_after_the_other(pieces: list[dict[str, Any]]) -> None:
    assert content(*map(chat_chunk, pieces), chat_chunk({}, "tool_calls")) == [
        tool_use("a", x=1),
        tool_use("b", "g", y=2),
    ]


def test_text_after_a_call_is_a_block_of_its_own_and_within_one_waits_for_it() -> None:
    after = content(chat_chunk(piece(0, "{}", id="a", name="f")), chat_chunk({"content": "done"}))
    within = content(
        chat_chunk(piece(0, '{"x":', id="a", name="f")),
        chat_chunk({"content": "do"}),
        chat_chunk(piece(0, "1}")),
        chat_chunk({"content": "ne"}),
    )

    assert after == [tool_use("a"), {"type": "text", "text": "done"}]
    assert within == [tool_use("a", x=1), {"type": "text", "text": "done"}]


def test_an_id_that_is_missing_repeated_or_not_safe_is_replaced() -> None:
    calls = [{"function": {"name": "f"}}, {"id": "x:0", "function": {"name": "f"}}]
    made = [block["id"] for block in message({"tool_calls": [*calls, {**calls[1], "index": 7}]})["content"]]

    assert len(set(made)) == 3
    assert all(call_id.startswith("call_") for call_id in made)
    assert made == [
        block["id"] for block in message({"tool_calls": [*calls, {**calls[1], "index": 7}]})["content"]
    ]


def test_arguments_that_are_no_object_are_kept_as_text() -> None:
    calls = [{"id": "a", "function": {"name": "f", "arguments": "[1"}}]

    assert message({"tool_calls": calls})["content"] == [tool_use("a", _raw="[1")]


def test_usage_counts_wherever_it_stands_and_the_last_one_wins() -> None:
    early = chat_chunk({"content": "a"}, usage={"prompt_tokens": 1, "completion_tokens": 1})
    late = frame({"choices": [], "usage": {"prompt_tokens": 5, "completion_tokens": 2}})

    assert events(early, chat_chunk({}, "stop"), late)[-2]["usage"]["output_tokens"] == 2
    assert events(early, chat_chunk({}, "stop"))[-2]["usage"]["output_tokens"] == 1
    assert events(chat_chunk({}, "stop"))[-2]["usage"] == NO_USAGE


def test_other_choices_pings_and_frames_that_cannot_be_read_are_left_out() -> None:
    other = frame({"choices": [{"index": 1, "delta": {"content": "no"}}]})

    assert content(b": ping\n\n", other, b"data: {\n\n", b"data: 7\n\n", chat_chunk({"content": "yes"})) == [
        {"type": "text", "text": "yes"}
    ]


def test_nothing_is_told_before_the_model_says_something() -> None:
    stream = MessagesToChat(REQUEST).stream()

    assert stream.feed(chat_chunk({"role": "assistant", "content": ""})) == b""
    assert [event["type"] for event in payloads(stream.end())] == [
        "message_start",
        "message_delta",
        "message_stop",
    ]


def test_an_answer_without_an_id_gets_one_from_its_first_chunk() -> None:
    first = frame({"choices": [{"index": 0, "delta": {"content": "a"}}]})
    ids = {events(first)[0]["message"]["id"] for _ in range(2)}

    assert len(ids) == 1
    assert ids.pop().startswith("msg_")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=5,
)
NAMES = (
    "content", "reasoning_content", "reasoning_details", "thinking_blocks", "tool_calls", "refusal", "index",
    "function_call", "id", "function", "name", "arguments", "type", "thinking", "signature",
)  # fmt: skip
DELTA = st.recursive(
    JSON,
    lambda inner: st.dictionaries(st.sampled_from(NAMES), inner, max_size=4) | st.lists(inner, max_size=3),
    max_leaves=12,
)
CHUNK = st.fixed_dictionaries(
    {
        "choices": st.lists(
            st.fixed_dictionaries({"delta": DELTA}, optional={"index": JSON, "finish_reason": JSON})
        )
    },
    optional={"id": JSON, "model": JSON, "usage": JSON, "service_tier": JSON},
)


@given(st.lists(st.binary() | CHUNK | JSON, max_size=6))
def test_whatever_an_upstream_sends_the_events_are_well_formed(sent: list[Any]) -> None:
    frames = [each if isinstance(each, bytes) else frame(_writable(each)) for each in sent]

    content(*frames)


@given(
    st.binary() | CHUNK.map(lambda chunk: orjson.dumps(_writable(chunk)).replace(b'"delta"', b'"message"'))
)
def test_whatever_an_upstream_answers_is_a_message(sent: bytes) -> None:
    answer = orjson.loads(MessagesToChat(REQUEST).answer(sent))

    assert answer["type"] == "message"
    assert isinstance(answer["content"], list)


@pytest.mark.parametrize("arguments", ['"\\ud83d"', "[" * 500 + "]" * 500, '"' + '{\\"a\\":' * 400 + '"'])
def test_half_a_character_and_deep_arguments_are_carried(arguments: str) -> None:
    start = '{"choices":[{"delta":{"tool_calls":[{"index":0,"id":"a","function":{"name":"f","arguments":'
    chunk = start + arguments + "}}]}}]}"
    body = chunk.replace('"delta"', '"message"').encode()

    assert b"tool_use" in translated(MessagesToChat(REQUEST).stream(), [b"data: " + chunk.encode() + b"\n\n"])
    assert orjson.loads(MessagesToChat(REQUEST).answer(body).replace(b"\\ud83d", b""))["type"] == "message"


def _writable(value: Any) -> Any:
    """Return the value with every number cut to what orjson writes."""
    if isinstance(value, dict):
        return {name: _writable(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [_writable(inner) for inner in value]
    return value % 2**53 if isinstance(value, int) and not isinstance(value, bool) else value
