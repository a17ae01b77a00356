"""
Streams in Anthropic's format and of Responses: whatever an upstream sends, wherever the network cuts it.

What comes out is whole frames, always the same ones, and an answer of which a part was lost never shows an
end. `SEKHA_FUZZ_EXAMPLES` says how many are tried.
"""

import json
import os
from collections.abc import Callable
from typing import Any, NamedTuple

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from serve_app.formats.openai_responses.events import TERMINAL, frames_of
from serve_app.formats.sse import frames_in
from serve_app.providers.anthropic.frames import MessageFrames
from serve_app.providers.frame_reader import FrameReader
from serve_app.providers.openai_compatible.response_frames import ResponseFrames
from tests.support.event_streams import payloads
from tests.unit.formats.anthropic_messages.samples import EVENTS
from tests.unit.providers.openai_compatible.test_response_frames import RESPONSE

EXAMPLES = int(os.environ.get("SEKHA_FUZZ_EXAMPLES", "200"))


class Subject(NamedTuple):
    """A reader, the events of an answer that it reads, and how to tell its end."""

    reader: Callable[[str], FrameReader]
    events: list[dict[str, Any]]
    is_end: Callable[[dict[str, Any]], bool]


def ends_message(payload: dict[str, Any]) -> bool:
    delta = payload.get("delta")
    has_reason = isinstance(delta, dict) and bool(delta.get("stop_reason"))
    return payload["type"] == "message_stop" or (payload["type"] == "message_delta" and has_reason)


def ends_response(payload: dict[str, Any]) -> bool:
    return payload["type"] in TERMINAL


SUBJECTS = {
    "messages": Subject(MessageFrames, EVENTS, ends_message),
    "responses": Subject(
        ResponseFrames, payloads(frames_of(RESPONSE)), lambda payload: payload["type"] in TERMINAL
    ),
}
WORDS = sorted({word for subject in SUBJECTS.values() for word in (each["type"] for each in subject.events)})
MEMBERS = [
    "type", "delta", "content_block", "item", "part", "response", "message", "usage", "error", "object",
    "stop_reason", "text", "output", "status", "base_resp", "status_code",
]  # fmt: skip

scalars = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.sampled_from(WORDS)
)
anything = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(MEMBERS), inner, max_size=4),
    max_leaves=12,
)
names = st.sampled_from([*WORDS, "error", "ping", "odd", ""]) | st.text(max_size=4)
noise = st.sampled_from([
    b": keep-alive", b"data: ping", b"data:", b"id: 7\nretry: 3", b"data: [DONE]", b"\xef\xbb\xbfdata: {}",
    b'event: x\ndata: {"type":"\\ud83d"}', b'data: {"type":"a\\n\\ndata: {}"}', b"event: content_block_delta",
])  # fmt: skip


@st.composite
def odd_frames(draw: st.DrawFn) -> bytes:
    """A frame without its blank line: any bytes, any JSON under any name, or noise."""
    if draw(st.booleans()):
        return draw(noise | st.binary(max_size=30))
    written = json.dumps(draw(anything), indent=draw(st.sampled_from([None, 1])))
    lines = b"\n".join(b"data: " + line.encode() for line in written.split("\n"))
    name = draw(names).encode("utf-8", "replace").replace(b"\n", b" ").replace(b"\r", b" ")
    return b"event: " + name + b"\n" + lines if draw(st.booleans()) else lines


def frame_of(payload: dict[str, Any]) -> bytes:
    return f"event: {payload['type']}\ndata: {json.dumps(payload)}".encode()


@st.composite
def streams(draw: st.DrawFn, events: list[dict[str, Any]]) -> bytes:
    """An answer with odd frames in it, or nothing but these, with line ends of one kind."""
    frames = [frame_of(payload) for payload in events[: draw(st.integers(0, len(events)))]]
    for odd in draw(st.lists(odd_frames(), max_size=4)):
        frames.insert(draw(st.integers(0, len(frames))), odd)
    newline = draw(st.sampled_from([b"\n", b"\r\n", b"\r"]))
    data = b"".join(frame.replace(b"\n", newline) + newline * 2 for frame in frames)
    return data[: len(data) - draw(st.integers(0, 3))] if data else data


def cut(draw: Callable[[Any], Any], data: bytes) -> list[bytes]:
    cuts = sorted(draw(st.lists(st.integers(0, len(data)), max_size=10)))
    return [data[a:b] for a, b in zip([0, *cuts], [*cuts, len(data)], strict=True)]


def read(subject: Subject, pieces: list[bytes]) -> tuple[bytes, FrameReader]:
    """What a caller gets of these pieces, each block of it whole frames."""
    reader = subject.reader("p")
    shown = b""
    for block in (*map(reader.feed, pieces), reader.end()):
        assert block == b"" or block.endswith(b"}\n\n")
        reader.has_begun(block)
        shown += block
    return shown + (reader.closing() if reader.shortfall is None else b""), reader


def known(shown: bytes) -> list[dict[str, Any]]:
    """The payload of each frame, which is one JSON object under one name."""
    found = []
    for frame in frames_in(shown):
        assert frame.raw.count(b"\n") == 1
        name, data = frame.raw.split(b"\n")
        assert name.startswith(b"event: ")
        assert data.startswith(b"data: {")
        payload = json.loads(frame.data, parse_constant=lambda name: 1 / 0)
        if not isinstance(payload.get("type"), str):
            payload["type"] = frame.name.decode("utf-8", "replace")
        found.append(payload)
    return found


@pytest.mark.parametrize("subject", SUBJECTS.values(), ids=SUBJECTS)
@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_whatever_is_sent_comes_out_the_same_in_whole_frames_wherever_it_is_cut(
    subject: Subject, data: Any
) -> None:
    stream = data.draw(streams(subject.events))

    shown, reader = read(subject, [stream])
    again, cut_reader = read(subject, cut(data.draw, stream))

    known(shown)
    assert again == shown
    for name in ("usage", "is_done", "is_complete", "dropped", "lost", "count"):
        assert getattr(cut_reader, name) == getattr(reader, name), name
    assert str(cut_reader.shortfall) == str(reader.shortfall)


@pytest.mark.parametrize("subject", SUBJECTS.values(), ids=SUBJECTS)
@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_an_answer_that_lost_a_frame_or_its_end_never_shows_an_end(subject: Subject, data: Any) -> None:
    frames = [frame_of(payload) for payload in subject.events]
    before_end = next(n for n, payload in enumerate(subject.events) if subject.is_end(payload))
    place = data.draw(st.integers(0, before_end - 1))
    broken_at = data.draw(st.integers(frames[place].index(b"{") + 1, len(frames[place]) - 1))
    frames[place] = frames[place][:broken_at]

    shown, reader = read(subject, cut(data.draw, b"".join(frame + b"\n\n" for frame in frames)))

    assert reader.lost >= 1  # arguments of a call whose beginning is lost are lost with it
    assert reader.shortfall is not None
    assert not any(map(subject.is_end, known(shown)))


@pytest.mark.parametrize("subject", SUBJECTS.values(), ids=SUBJECTS)
@settings(max_examples=EXAMPLES, deadline=None)
@given(data=st.data())
def test_an_answer_is_whole_if_and_only_if_its_end_was_shown(subject: Subject, data: Any) -> None:
    stream = b"".join(frame_of(payload) + b"\n\n" for payload in subject.events)
    kept = data.draw(st.integers(0, len(stream)))

    shown, reader = read(subject, cut(data.draw, stream[:kept]))

    has_end = any(map(subject.is_end, known(shown)))
    assert (reader.shortfall is None) is has_end
    if has_end:
        assert known(shown) == subject.events
