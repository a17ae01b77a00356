"""
Streams cut anywhere, with any line ends: what goes in as text comes out as text, in whole frames.

`SEKHA_FUZZ_EXAMPLES` says how many are tried.
"""

import json
import os
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from serve_app.formats.openai_chat.chunks import says_something
from serve_app.formats.sse import frames_in
from serve_app.providers.frames import ChatFrames
from serve_app.providers.litellm.captured_response import CapturedResponse

MANY = int(os.environ.get("SEKHA_FUZZ_EXAMPLES", "200"))

OURS = st.sampled_from(["stop", "length", "tool_calls", "content_filter"])
ENDINGS = OURS | st.sampled_from(["eos", "model_length", "STOP", "error", "abort"])
FAILED = ("error", "abort")
NOISE = [b": keep-alive", b"event: x\nid: 7", b"retry: 10", b"data: ping", b"data:", b":"]
TEXTS = st.text(max_size=12) | st.sampled_from(
    ["\u2028", "\u0085x\u2029", '"error"', "[DONE]", "data: {}", "\n\n"]
)


@st.composite
def streams(draw: st.DrawFn) -> tuple[list[bytes], dict[int, str], dict[int, str], int, bool]:
    """Frames without line ends; the text and the ending of each choice; how many were asked for; a [DONE]."""
    choices = draw(st.integers(1, 3))
    told: dict[int, str] = dict.fromkeys(range(choices), "")
    endings = {n: draw(ENDINGS) for n in range(choices) if draw(st.integers(0, 5))}
    frames = []
    for _ in range(draw(st.integers(0, 8))):
        n, text = draw(st.integers(0, choices - 1)), draw(TEXTS)
        told[n] += text
        frames.append(written(draw, {"index": n, "delta": {"content": text}, "finish_reason": None}))
        if not draw(st.integers(0, 3)):
            frames.append(draw(st.sampled_from(NOISE)))
    for n, reason in endings.items():
        frames.append(written(draw, {"index": n, "delta": {}, "finish_reason": reason}))
    if draw(st.booleans()):
        frames.append(b'data: {"choices":[],"usage":{"prompt_tokens":3,"completion_tokens":2}}')
    is_done = draw(st.booleans())
    return [*frames, b"data: [DONE]"] if is_done else frames, told, endings, choices, is_done


def written(draw: st.DrawFn, choice: dict[str, Any]) -> bytes:
    """A chunk as one server or the other writes it."""
    chunk = {"id": "1", "choices": [choice], **draw(st.sampled_from([{}, {"usage": None}, {"x": 1.5}]))}
    separators = draw(st.sampled_from([(",", ":"), (", ", ": ")]))
    text = json.dumps(chunk, ensure_ascii=draw(st.booleans()), separators=separators)
    return draw(st.sampled_from([b"data: ", b"data:"])) + text.encode("utf-8", "surrogatepass")


def sent(draw: st.DrawFn, frames: Sequence[bytes]) -> list[bytes]:
    """The frames with line ends of one kind, cut wherever it pleases."""
    newline = draw(st.sampled_from([b"\n", b"\r\n", b"\r"]))
    data = b"".join(frame.replace(b"\n", newline) + newline * 2 for frame in frames)
    if frames and draw(st.booleans()):
        data = data[: -len(newline)]  # the upstream closes without the last blank line
    cuts = sorted(draw(st.lists(st.integers(0, len(data)), max_size=10)))
    return [data[a:b] for a, b in zip([0, *cuts], [*cuts, len(data)], strict=True)]


@settings(max_examples=MANY, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(stream=streams(), wants_usage=st.booleans(), data=st.data())
def test_text_in_is_text_out_in_whole_frames_and_only_what_is_whole_has_an_end(
    stream: tuple[list[bytes], dict[int, str], dict[int, str], int, bool], wants_usage: bool, data: Any
) -> None:
    frames, told, endings, choices, is_done = stream
    reader = ChatFrames("p", wants_usage, choices)

    blocks = [reader.feed(piece) for piece in sent(data.draw, frames)] + [reader.end()]

    shown = [json.loads(frame.removeprefix(b"data: ")) for frame in whole_frames(blocks)]
    said = dict.fromkeys(range(choices), "")
    for chunk in shown:
        for choice in chunk["choices"]:
            said[choice["index"]] += choice["delta"].get("content") or ""
    has_failed = any(reason in FAILED for reason in endings.values())
    assert said == told
    all_ended = len(endings) == choices or (is_done and set(endings) >= seen_in(frames))
    assert (reader.shortfall is None) is (bool(endings) and all_ended and not has_failed)


def whole_frames(blocks: Sequence[bytes]) -> list[bytes]:
    """Each block on its own is whole frames of one line of data."""
    found = []
    for block in blocks:
        assert block == b"" or block.endswith(b"}\n\n")
        says_something(block)
        for frame in block.split(b"\n\n")[:-1]:
            assert frame.startswith(b"data: {")
            assert b"\n" not in frame
            assert b"\r" not in frame
            found.append(frame)
    return found


def seen_in(frames: Sequence[bytes]) -> set[int]:
    """The choices that these frames speak of."""
    chunks = [json.loads(frame[5:]) for frame in frames if frame[5:].strip().startswith(b"{")]
    return {choice["index"] for chunk in chunks for choice in chunk["choices"]}


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    "choices",
                    "delta",
                    "finish_reason",
                    "index",
                    "usage",
                    "error",
                    "tool_calls",
                    "id",
                    "function",
                ]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=15,
)


@settings(max_examples=MANY, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    chunks=st.lists(anything | st.binary(max_size=30), max_size=6), choices=st.integers(1, 2), data=st.data()
)
def test_whatever_an_upstream_sends_comes_out_as_whole_frames_that_can_be_read(
    chunks: list[Any], choices: int, data: Any
) -> None:
    frames = [b"data: " + (c if isinstance(c, bytes) else json.dumps(c).encode()) for c in chunks]
    reader = ChatFrames("p", wants_usage=False, choices=choices)

    blocks = [reader.feed(piece) for piece in sent(data.draw, frames)] + [reader.end()]

    for frame in whole_frames(blocks):
        chunk = json.loads(frame.removeprefix(b"data: "), parse_constant=lambda name: 1 / 0)
        for choice in chunk.get("choices") or ():
            assert isinstance(choice.get("delta") or {}, dict)
            for call in (choice.get("delta") or {}).get("tool_calls") or ():
                assert isinstance(call["index"], int)


@settings(max_examples=MANY, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(texts=st.lists(TEXTS, max_size=6), data=st.data())
def test_a_translator_reads_every_text_wherever_it_is_cut_and_however_it_splits_lines(
    texts: list[str], data: Any
) -> None:
    frames = [
        b"event: x\ndata: " + json.dumps({"t": text}, ensure_ascii=False).encode("utf-8", "replace")
        for text in texts
    ]
    heard = CapturedResponse(is_refusal=False, asks_stream=True)

    pieces = [heard.feed(piece) for piece in sent(data.draw, frames)]
    shown = (b"".join(pieces) + heard.end()).decode()

    lines = [line for line in shown.splitlines() if line.startswith("data: ")]
    read = [json.loads(line.removeprefix("data: "))["t"] for line in lines]
    assert read == [json.loads(next(frames_in(frame)).json)["t"] for frame in frames]
    assert shown.count("event: x\n") == len(frames)
    assert heard.lost == 0
    assert heard.pending == 0


@settings(max_examples=MANY, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(text=st.text(alphabet=st.sampled_from('ab\n"\\ {}'), max_size=12), data=st.data())
def test_both_readers_join_the_lines_of_a_frame_alike(text: str, data: Any) -> None:
    chunk = {"choices": [{"index": 0, "delta": {"content": text}, "finish_reason": None}]}
    raw = json.dumps(chunk, indent=data.draw(st.sampled_from([None, 0, 2]))).replace("\\n", "\n")
    frame = b"\n".join(b"data: " + line.encode() for line in raw.split("\n"))
    reader, heard = ChatFrames("p", wants_usage=True), CapturedResponse(is_refusal=False, asks_stream=True)

    shown = reader.feed(frame + b"\n\n")
    read = heard.feed(frame + b"\n\n")

    assert shown == read
    if "\\" not in text:  # else a line break may stand behind a backslash, where there is nothing to be read
        (said,) = whole_frames([shown])
        assert json.loads(said[6:]) == chunk
    assert bool(reader.lost) == bool(heard.lost)


PARTS = {"a": 1, "b": [1, 2], "stop_reason": "end_turn", "type": "message"}


@pytest.mark.parametrize("asks_stream", [False, True])
@pytest.mark.parametrize("indent", [None, 2])
@given(data=st.data())
def test_an_answer_in_one_piece_is_the_whole_or_another_form(
    asks_stream: bool, indent: int | None, data: Any
) -> None:
    body = (
        b" \n"
        + json.dumps(PARTS, indent=indent).encode()
        + data.draw(st.sampled_from([b"", b"\n", b"\n\n "]))
    )
    heard = CapturedResponse(is_refusal=False, asks_stream=asks_stream)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(body)), max_size=6)))

    shown = b"".join(heard.feed(body[a:b]) for a, b in zip([0, *cuts], [*cuts, len(body)], strict=True))
    shown += heard.end()

    assert heard.finishes == {0: "end_turn"}
    if asks_stream:
        assert (shown, json.loads(heard.other_form)) == (b"", PARTS)
    else:
        assert (json.loads(shown), heard.other_form) == ({**PARTS, "usage": {}}, b"")


@pytest.mark.parametrize("is_lines", [False, True], ids=["not told", "told"])
def test_an_object_in_each_line_is_passed_on_line_by_line(is_lines: bool) -> None:
    heard = CapturedResponse(is_refusal=False, asks_stream=True, is_lines=is_lines)

    shown = [heard.feed(piece) for piece in (b'{"t":1}\n', b'{"t":2}\n{"t"', b':"\xe2\x80\xa8"}\n{"t":4}')]
    shown.append(heard.end())

    first = [b'{"t":1}\n', b'{"t":2}\n'] if is_lines else [b"", b'{"t":1}\n{"t":2}\n']
    assert shown == [*first, b'{"t":"\\u2028"}\n', b'{"t":4}']
    assert heard.other_form == b""


@settings(max_examples=MANY, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(reason=st.sampled_from(["end_turn", "max_tokens"]), noise=st.lists(TEXTS, max_size=5), data=st.data())
def test_why_an_answer_ended_is_heard_wherever_it_is_cut(reason: str, noise: list[str], data: Any) -> None:
    frames = [b'event: message_start\ndata: {"type":"message_start","message":{"stop_reason":null}}']
    for text in noise:
        delta = json.dumps({"type": "content_block_delta", "delta": {"text": f'stop_reason "error" {text}'}})
        frames.append(b"data: " + delta.encode())
    ended = {"type": "message_delta", "delta": {"stop_reason": reason}}
    heard = CapturedResponse(is_refusal=False, asks_stream=True)

    for piece in sent(data.draw, [*frames, b"data: " + json.dumps(ended).encode()]):
        heard.feed(piece)
    heard.end()

    assert heard.finishes == {0: reason}
    assert heard.error is None
    assert heard.tells_finish
