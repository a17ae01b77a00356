"""Frames on their way through: however the network cuts them, the caller sees the same."""

import json
from typing import Any

import orjson
import pytest

from serve_app.errors import FailureKind
from serve_app.formats.openai_chat.chunks import frame_of, says_something
from serve_app.pricing.usage import Usage
from serve_app.providers.frames import FRAME_LIMIT, ChatFrames

RATE_LIMITED = FailureKind.RATE_LIMITED
USAGE = {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}
DONE = b"data: [DONE]\n\n"


def chunk(text: str | None, finish: str | None = None, **more: Any) -> dict[str, Any]:
    delta = {"content": text} if text is not None else {}
    return {"id": "1", "choices": [{"index": 0, "delta": delta, "finish_reason": finish}], **more}


HELLO = frame_of(chunk("Hel")) + frame_of(chunk("lo"))
END = frame_of(chunk(None, "stop"))
OTHER_CHOICE = frame_of({"id": "1", "choices": [{"index": 1, "delta": {"content": "Hi"}}]})
OTHER_END = frame_of({"id": "1", "choices": [{"index": 1, "delta": {}, "finish_reason": "length"}]})
LAST_USAGE_WITH_ITS_END = frame_of(chunk(None, "stop", usage={"prompt_tokens": 3, "completion_tokens": 2}))
LAST_USAGE = frame_of({"id": "1", "choices": [], "usage": USAGE})


def passed(*data: bytes, wants_usage: bool = False, choices: int = 1) -> tuple[bytes, ChatFrames]:
    frames = ChatFrames("p", wants_usage, choices)
    shown = b"".join(frames.feed(piece) for piece in data)
    return shown + frames.end(), frames


def test_ordinary_frames_go_through_as_they_are() -> None:
    shown, frames = passed(HELLO)

    assert shown == HELLO
    assert frames.count == 2


@pytest.mark.parametrize("newline", [b"\n", b"\r\n", b"\r"], ids=["lf", "crlf", "cr"])
def test_wherever_the_network_cuts_the_caller_sees_the_same(newline: bytes) -> None:
    comment = b": keep-alive\n\n"
    stream = (comment + HELLO + b"event: x\nid: 7\n" + END + LAST_USAGE + DONE).replace(b"\n", newline)

    for cut in range(len(stream)):
        shown, frames = passed(stream[:cut], stream[cut:])
        assert shown == HELLO + END
        assert frames.is_done
        assert frames.usage == Usage(3, 2)


def test_one_byte_at_a_time_is_the_same_stream() -> None:
    stream = HELLO + END + LAST_USAGE + DONE

    shown, frames = passed(*(stream[i : i + 1] for i in range(len(stream))))

    assert shown == HELLO + END
    assert frames.is_complete


def test_the_usage_is_shown_to_a_caller_who_asked() -> None:
    null = frame_of(chunk("x", usage=None))

    shown, frames = passed(null + LAST_USAGE, wants_usage=True)

    assert shown == null + LAST_USAGE
    assert frames.usage == Usage(3, 2)


@pytest.mark.parametrize(
    "written",
    [
        b'{"usage":null,"choices":[{"delta":{"content":"x"}}]}',
        b'{"choices":[{"delta":{"content":"x"}}],"usage":null}',
        b'{"choices":[{"delta":{"content":"x"}}], "usage": null, "id":"1"}',
    ],
)
def test_an_empty_usage_is_taken_out_wherever_it_stands(written: bytes) -> None:
    shown, _ = passed(b"data: " + written + b"\n\n")

    seen = json.loads(shown.removeprefix(b"data: "))
    assert "usage" not in seen
    assert seen["choices"] == [{"delta": {"content": "x"}}]


def test_a_usage_on_the_last_choice_is_kept_for_us_and_taken_out_for_the_caller() -> None:
    shown, frames = passed(frame_of(chunk("x", "stop", usage=USAGE)))

    assert json.loads(shown.removeprefix(b"data: ")) == chunk("x", "stop")
    assert frames.usage == Usage(3, 2)


@pytest.mark.parametrize(
    "text", ['"usage":null', '"error":{"message":"x"}', "[DONE]", '"finish_reason":"stop"']
)
def test_what_a_model_says_is_never_mistaken_for_what_a_frame_says(text: str) -> None:
    frame = frame_of(chunk(text))

    shown, frames = passed(frame)

    assert shown == frame
    assert not frames.is_complete
    assert frames.failure is None


@pytest.mark.parametrize(
    "broken",
    [
        b'data: {"choices": [{"del\n\n',
        b"data: {not json}\n\n",
        b'data: {"usage": }\n\n',
        b'data: {"choices":[{"index":0,"delta":{"content":"x"}]}\n\n',
        b'data: {"choices":[{"delta":{"content":"x"}}],"usage":null,}\n\n',
        b'data: {"choices":[{"delta":{"content":"\\ud83d"}}]\n\n',
        b'data: {"choices":[{"delta":{"content":"\xff"}}]}\n\n',
        b'data: {"choices":[{"delta":["content"]}]}\n\n',
        b'data: {"choices":{"delta":{"content":"x"}}}\n\n',
        b'data: lta":{"content":"x"}}]}\n\n',
        b'{"choices":[{"delta":{"content":"x"}}]}\n\n',
    ],
)
def test_behind_a_frame_that_cannot_be_read_the_rest_arrives_but_the_answer_has_no_end(broken: bytes) -> None:
    shown, frames = passed(frame_of(chunk("a")) + broken + frame_of(chunk("b")), END + DONE)

    assert shown == frame_of(chunk("a")) + frame_of(chunk("b")) + frame_of(chunk(None))
    assert (frames.dropped, frames.lost) == (1, 1)
    assert frames.shortfall is not None
    assert frames.shortfall.failure is FailureKind.BROKEN
    assert frames.shortfall.details == {"dropped_frames": 1}


@pytest.mark.parametrize("noise", [b"data: ping\n\n", b"data: [1]\n\n", b'data: "x"\n\n', b"data: 7\n\n"])
def test_noise_between_the_pieces_of_an_answer_is_left_out_and_costs_it_nothing(noise: bytes) -> None:
    shown, frames = passed(HELLO + noise, END + DONE)

    assert shown == HELLO + END
    assert (frames.dropped, frames.lost) == (1, 0)
    assert frames.shortfall is None


@pytest.mark.parametrize(
    ("written", "read"),
    [
        (b'"logprob":NaN', b'"logprob":null'),
        (b'"logprob": -Infinity', b'"logprob":null'),
        (b'"logprob":Infinity,"top":[NaN,1.5]', b'"logprob":null,"top":[null,1.5]'),
        (b'"logprob":NaN,"content":"\\ud83d"', b'"logprob":null,"content":"\\ud83d"'),
        (b'"logprob":NaN,"content":"NaN, Infinity"', b'"logprob":null,"content":"NaN, Infinity"'),
    ],
)
@pytest.mark.parametrize("beside", [b"", b',"usage":null'])
def test_a_number_that_is_none_is_read_as_null(written: bytes, read: bytes, beside: bytes) -> None:
    """NaN stands in the frames of servers written in Python; it is no JSON to anybody else."""

    def frame(logprobs: bytes, more: bytes = b"") -> bytes:
        return b'data: {"id":"1","choices":[{"index":0,"delta":{"content":"x"},"logprobs":{' + (
            logprobs + b'},"finish_reason":null}]' + more + b"}\n\n"
        )

    shown, frames = passed(HELLO + frame(written, beside) + HELLO, END)

    assert shown == HELLO + frame(read) + HELLO + END
    assert (frames.dropped, frames.shortfall) == (0, None)


@pytest.mark.parametrize("usage", [b"", b',"usage":{"prompt_tokens":3,"completion_tokens":2}'])
def test_half_an_emoji_is_shown_as_it_came(usage: bytes) -> None:
    halves = b"".join(
        b'data: {"choices":[{"delta":{"content":"' + half + b'"}}]' + usage + b"}\n\n"
        for half in (b"\\ud83d", b"\\ude00")
    )

    shown, frames = passed(halves, wants_usage=True)

    assert shown == halves
    assert frames.dropped == 0


def test_frames_that_are_not_json_are_all_counted_but_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    _, frames = passed(b"data: nonsense\n\n" * 3)

    assert frames.dropped == 3
    assert len(caplog.records) == 1


def test_a_choice_without_an_index_is_the_first() -> None:
    _, frames = passed(frame_of({"choices": [{"delta": {}, "finish_reason": "stop"}]}))

    assert frames.is_complete


def test_an_error_event_ends_the_answer_and_what_came_before_is_kept() -> None:
    error = frame_of({"error": {"message": "out of cheese", "code": 503}})

    shown, frames = passed(HELLO + error + HELLO)

    assert shown == HELLO
    assert frames.failure is not None
    assert frames.failure.failure is FailureKind.OVERLOADED
    assert frames.failure.message == "out of cheese"


@pytest.mark.parametrize(
    ("event", "kind"),
    [
        (b'data: {"error":{"type":"overloaded_error","message":"busy"}}\n\n', FailureKind.OVERLOADED),
        (b'data: {"type":"error","error":{"type":"rate_limit_error","message":"busy"}}\n\n', RATE_LIMITED),
        (b'event: error\ndata: {"type":"overloaded_error","message":"busy"}\n\n', FailureKind.OVERLOADED),
        (b'event: error\r\ndata: {"message":"busy","code":"503"}\r\n\r\n', FailureKind.OVERLOADED),
        (b'data: {"object":"error","message":"busy","code":429}\n\n', RATE_LIMITED),
        (b'data: [{"error":{"code":429,"message":"busy","status":"RESOURCE_EXHAUSTED"}}]\n\n', RATE_LIMITED),
        (b'data: {"error":{"message":"busy","status":"UNAVAILABLE"}}\n\n', FailureKind.OVERLOADED),
        (b'{"error":{"message":"busy","code":503}}\n\n', FailureKind.OVERLOADED),
        (b'data: {"code":"engine_overloaded_error","error":"busy"}\n\n', FailureKind.OVERLOADED),
    ],
)
@pytest.mark.parametrize("before", [b"", HELLO], ids=["first", "in the middle"])
def test_an_error_in_a_stream_is_of_the_kind_it_says_however_it_is_written(
    event: bytes, kind: FailureKind, before: bytes
) -> None:
    shown, frames = passed(before, event, HELLO)

    assert shown == before
    assert frames.failure is not None
    assert (frames.failure.failure, frames.failure.message) == (kind, "busy")


@pytest.mark.parametrize(
    ("reason", "kind"),
    [
        ("error", FailureKind.BROKEN),
        ("network_error", FailureKind.BROKEN),
        ("abort", FailureKind.BROKEN),
        ("insufficient_system_resource", FailureKind.OVERLOADED),
    ],
)
def test_an_answer_that_ended_as_failed_did_not_end(reason: str, kind: FailureKind) -> None:
    shown, frames = passed(HELLO, frame_of(chunk(None, reason)) + DONE)

    assert shown == HELLO
    assert frames.shortfall is not None
    assert frames.shortfall.failure is kind


def test_the_error_beside_a_failed_ending_is_told() -> None:
    ended = {"index": 0, "delta": {}, "finish_reason": "error", "error": {"code": 429, "message": "busy"}}

    _, frames = passed(HELLO + frame_of({"id": "1", "choices": [ended]}))

    assert frames.failure is not None
    assert (frames.failure.failure, frames.failure.message) == (FailureKind.RATE_LIMITED, "busy")


@pytest.mark.parametrize("reason", ["model_context_window_exceeded", "model_length", "MAX_TOKENS"])
def test_an_answer_that_was_cut_for_want_of_room_says_so_in_openais_word(reason: str) -> None:
    shown, frames = passed(HELLO, frame_of(chunk(None, reason)))

    assert shown == HELLO + frame_of(chunk(None, "length"))
    assert frames.is_complete


def test_a_reason_that_nobody_knows_is_passed_on_and_told(caplog: pytest.LogCaptureFixture) -> None:
    shown, frames = passed(HELLO, frame_of(chunk(None, "pause_for_thought")))

    assert shown == HELLO + frame_of(chunk(None, "pause_for_thought"))
    assert frames.is_complete
    assert "pause_for_thought" in caplog.text


def called(*calls: dict[str, Any]) -> bytes:
    delta = {"tool_calls": list(calls)}
    return frame_of({"id": "1", "choices": [{"index": 0, "delta": delta, "finish_reason": None}]})


def call(id_: str | None = None, name: str | None = None, arguments: str = "", **more: Any) -> dict[str, Any]:
    function = {**({"name": name} if name else {}), "arguments": arguments}
    return {**({"id": id_} if id_ is not None else {}), "function": function, **more}


@pytest.mark.parametrize(
    ("pieces", "numbers"),
    [
        ([[call("a", "f", "{")], [call("a", None, "}")], [call("b", "g", "{}")]], [0, 0, 1]),
        (
            [[call("a", "f", "{")], [call(None, None, "}")], [call("b", "g")], [call(None, None, "}")]],
            [0, 0, 1, 1],
        ),
        ([[call("a", "f"), call("b", "g")], [call("a", None, "{}"), call("b", None, "{}")]], [0, 1, 0, 1]),
        ([[call("", "f", "{}"), call("", "g", "{}")]], [0, 1]),
        ([[call(None, "f", "{}")], [call(None, "f", "{}")]], [0, 1]),
        ([[call("a", "f", index=0)], [call("b", "g")], [call("a", None, "{}")]], [0, 1, 0]),
        ([[call("a", "f", index=None)], [call("b", "g", index=None)]], [0, 1]),
        ([[call("a", "f", index=3)], [call(None, None, "{}", index=3)]], [3, 3]),
    ],
    ids=["by id", "follows", "side by side", "empty ids", "no ids", "some have one", "null", "as it came"],
)
def test_tool_calls_without_a_number_are_numbered_one_after_the_other(
    pieces: list[list[dict[str, Any]]], numbers: list[int]
) -> None:
    for data in ([called(*piece) for piece in pieces], [b"".join(called(*piece) for piece in pieces)]):
        shown, _ = passed(*data)

        frames = [json.loads(frame.removeprefix(b"data: ")) for frame in shown.split(b"\n\n") if frame]
        calls = [c for frame in frames for c in frame["choices"][0]["delta"]["tool_calls"]]
        assert [c["index"] for c in calls] == numbers
        assert [{**c, "index": 0} for c in calls] == [{**c, "index": 0} for piece in pieces for c in piece]


@pytest.mark.parametrize("separator", ["\u2028", "\u2029", "\u0085", "\u000b", "\u001c"])
def test_only_line_ends_end_lines(separator: str) -> None:
    raw = {
        "id": "1",
        "choices": [{"index": 0, "delta": {"content": f"a{separator}b"}, "finish_reason": None}],
    }
    frame = b"data: " + orjson.dumps(raw) + b"\n\n"

    shown, frames = passed(frame, END)

    assert shown == frame + END
    assert frames.dropped == 0


def test_a_byte_order_mark_before_the_stream_costs_no_frame() -> None:
    shown, _ = passed(b"\xef\xbb\xbf" + HELLO, END)

    assert shown == HELLO + END


def test_an_error_that_is_null_is_no_error() -> None:
    shown, frames = passed(frame_of(chunk("x", error=None)))

    assert shown == frame_of(chunk("x", error=None))
    assert frames.failure is None


@pytest.mark.parametrize(
    ("stream", "choices", "complete"),
    [
        (HELLO, 1, False),
        (HELLO + END, 1, True),
        (HELLO + DONE, 1, False),
        (HELLO + END + DONE, 1, True),
        (HELLO + END + DONE, 2, True),
        (HELLO + OTHER_CHOICE + END + DONE, 2, False),
        (HELLO + END, 2, False),
        (HELLO + END + END, 2, False),
        (HELLO + END + OTHER_END, 2, True),
        (HELLO + END + LAST_USAGE_WITH_ITS_END + OTHER_END, 2, True),
    ],
)
def test_an_answer_is_complete_when_every_choice_has_ended(
    stream: bytes, choices: int, complete: bool
) -> None:
    _, frames = passed(stream, choices=choices)

    assert frames.is_complete is complete


def test_a_last_frame_without_its_blank_line_still_counts() -> None:
    shown, frames = passed(HELLO + END.rstrip())

    assert shown == HELLO + END
    assert frames.is_complete


def test_what_follows_done_is_not_looked_at() -> None:
    shown, _ = passed(HELLO + DONE + HELLO)

    assert shown == HELLO


def test_a_frame_that_never_ends_is_given_up() -> None:
    _, frames = passed(b"data: {" + b"x" * FRAME_LIMIT)

    assert frames.failure is not None
    assert frames.failure.failure is FailureKind.BROKEN


def test_a_large_frame_in_small_pieces_comes_out_whole() -> None:
    large = frame_of(chunk("x" * 32 * 1024**2))
    assert len(large) < FRAME_LIMIT

    shown, frames = passed(*(large[at : at + 1000] for at in range(0, len(large), 1000)))

    assert shown == large
    assert frames.failure is None


def chunk_with(**choice: object) -> bytes:
    return b"data: " + orjson.dumps({"choices": [{"index": 0, "delta": {}, **choice}]}) + b"\n\n"


ROLE = chunk_with(delta={"role": "assistant", "content": ""})


@pytest.mark.parametrize("block", [b"", ROLE, ROLE + ROLE, chunk_with(), chunk_with(delta={"content": None})])
def test_that_an_answer_begins_is_no_token_yet(block: bytes) -> None:
    assert not says_something(block)


@pytest.mark.parametrize(
    "block",
    [
        chunk_with(delta={"content": "a"}),
        ROLE + chunk_with(delta={"content": "a"}),
        chunk_with(delta={"reasoning_content": "hm"}),
        chunk_with(delta={"tool_calls": [{"index": 0}]}),
        chunk_with(finish_reason="stop"),
        b'data: {"choices":[],"usage":{"total_tokens":3}}\n\n',
        b"data: {broken}\n\n",
        b"data: []\n\n",
    ],
)
def test_a_word_a_tool_call_an_end_and_what_is_not_understood_are(block: bytes) -> None:
    assert says_something(block)


@pytest.mark.parametrize(
    "frames",
    [
        b"event: error\ndata: the engine is gone\n\n",
        frame_of({"choices": [{"index": 0, "delta": {}, "error": {"message": "the engine is gone"}}]}),
        frame_of({"choices": [{"index": 0, "finish_reason": "stop", "error": "the engine is gone"}]}),
    ],
    ids=["in plain words", "of a choice", "beside a stop"],
)
def test_an_error_in_any_form_ends_the_stream_and_keeps_its_words(frames: bytes) -> None:
    _, seen = passed(HELLO, frames, END, DONE)

    assert seen.shortfall is not None
    assert seen.shortfall.message == "the engine is gone"


@pytest.mark.parametrize("reason", ["failed", "internal_error", "ERROR_OOM"])
def test_a_reason_that_says_that_the_answer_failed_is_a_failure(reason: str) -> None:
    _, seen = passed(HELLO, frame_of(chunk(None, reason)), DONE)

    assert seen.shortfall is not None


def test_an_incomplete_answer_is_told_as_cut() -> None:
    shown, seen = passed(HELLO, frame_of(chunk(None, "incomplete")), DONE)

    assert seen.shortfall is None
    assert b'"finish_reason":"length"' in shown
