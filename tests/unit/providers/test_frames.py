"""Frames on their way through: however the network cuts them, the caller sees the same."""

import json
from typing import Any

import orjson
import pytest

from serve_app.accounting.usage import Usage
from serve_app.errors import FailureKind
from serve_app.providers.frames import FRAME_LIMIT, ChatFrames, frame_of, says_something

USAGE = {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}
DONE = b"data: [DONE]\n\n"


def chunk(text: str | None, finish: str | None = None, **more: Any) -> dict[str, Any]:
    delta = {"content": text} if text is not None else {}
    return {"id": "1", "choices": [{"index": 0, "delta": delta, "finish_reason": finish}], **more}


HELLO = frame_of(chunk("Hel")) + frame_of(chunk("lo"))
END = frame_of(chunk(None, "stop"))
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


@pytest.mark.parametrize("newline", [b"\n", b"\r\n"], ids=["lf", "crlf"])
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
        b"data: nonsense\n\n",
        b'data: {"usage": }\n\n',
        b"data: {not json}\n\n",
        b'data: {"choices":[{"index":0,"delta":{"content":"x"}]}\n\n',
        b'data: {"choices":[{"delta":{"content":"x"}}],"usage":null,}\n\n',
        b'data: {"choices":[{"delta":{"content":"\\ud83d"}}]\n\n',
    ],
)
def test_a_frame_that_is_not_json_is_dropped_alone(broken: bytes) -> None:
    shown, frames = passed(frame_of(chunk("a")) + broken + frame_of(chunk("b")))

    assert shown == frame_of(chunk("a")) + frame_of(chunk("b"))
    assert frames.dropped == 1
    assert frames.failure is None


def test_a_frame_that_only_looks_like_an_object_is_dropped_where_it_comes_alone() -> None:
    shown, frames = passed(HELLO, b"data: {not json}\n\n", END)

    assert shown == HELLO + END
    assert frames.dropped == 1


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


def test_an_error_that_is_null_is_no_error() -> None:
    shown, frames = passed(frame_of(chunk("x", error=None)))

    assert shown == frame_of(chunk("x", error=None))
    assert frames.failure is None


@pytest.mark.parametrize(
    ("stream", "choices", "complete"),
    [
        (HELLO, 1, False),
        (HELLO + END, 1, True),
        (HELLO + DONE, 1, True),
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
