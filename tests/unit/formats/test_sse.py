"""Server-sent events: cut, read, written, and added to without parsing their JSON."""

from collections.abc import Sequence

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from serve_app.formats.sse import (
    FrameCutter,
    data_in,
    event,
    frames_in,
    plain_data,
    spliced,
    whole_frames,
    with_member,
)

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
OBJECTS = st.dictionaries(st.text(), JSON, max_size=4)


@given(OBJECTS, JSON)
def test_a_member_joins_any_object(body: dict[str, object], value: object) -> None:
    body.pop("sekha", None)

    assert orjson.loads(spliced(orjson.dumps(body), "sekha", value)) == {**body, "sekha": value}


@given(OBJECTS, st.lists(OBJECTS, max_size=3))
def test_a_member_joins_the_first_frame_and_no_other(
    first: dict[str, object], others: list[dict[str, object]]
) -> None:
    first.pop("sekha", None)
    block = b"".join(event(orjson.dumps(frame)) for frame in (first, *others))

    frames = with_member(block, "sekha", {"a": 1}).split(b"\n\n")

    assert orjson.loads(frames[0][6:]) == {**first, "sekha": {"a": 1}}
    assert [orjson.loads(frame[6:]) for frame in frames[1:-1]] == others


@pytest.mark.parametrize("block", [b": keep-alive\n\n", b"data: [1]\n\n", b""])
def test_a_block_without_an_object_stays_as_it_is(block: bytes) -> None:
    assert with_member(block, "sekha", 1) == block


def test_a_frame_with_windows_line_ends_is_spliced_too() -> None:
    assert with_member(b'data: {"a":1}\r\n\r\n', "b", 2) == b'data: {"a":1,"b":2}\r\n\r\n'


BOM = b"\xef\xbb\xbf"
VALUES = st.text(max_size=8).map(lambda text: text.replace("\r", "").replace("\n", "").encode())
LINES = st.one_of(
    VALUES.map(lambda value: b"data: " + value),
    VALUES.map(lambda value: b"data:" + value),
    VALUES.map(lambda value: b"event: " + value),
    VALUES.map(lambda value: b": " + value),
    VALUES,
    st.sampled_from([b"data", b"event", b"id: 7", b"retry: 10", b"", b'data: {"a":1}', b"data: {}"]),
)


@st.composite
def event_streams(draw: st.DrawFn) -> bytes:
    """Draw a stream with line ends of any kind, which may be mixed."""
    ends = st.sampled_from([b"\n", b"\r\n", b"\r"])
    end = ends if draw(st.booleans()) else st.just(draw(ends))
    lines = draw(st.lists(LINES, max_size=12))
    return draw(st.sampled_from([b"", BOM])) + b"".join(line + draw(end) for line in lines)


def read(pieces: Sequence[bytes]) -> list[tuple[bytes, bytes]]:
    """Return the name and the data of every frame that has data, as the pieces come."""
    cutter = FrameCutter()
    blocks = [*(cutter.feed(piece) for piece in pieces), cutter.end()]
    return [(frame.name, frame.data) for block in blocks for frame in frames_in(block) if frame.data]


@given(event_streams())
def test_wherever_a_stream_is_cut_its_frames_are_the_same(stream: bytes) -> None:
    whole = read([stream])

    assert [read([stream[:cut], stream[cut:]]) for cut in range(len(stream) + 1)] == [whole] * (
        len(stream) + 1
    )
    assert read([stream[at : at + 1] for at in range(len(stream))]) == whole
    assert [(frame.name, frame.data) for frame in whole_frames(stream) if frame.data] == whole


@given(st.lists(st.tuples(VALUES, st.lists(VALUES, min_size=1, max_size=3))))
def test_every_frame_that_is_written_is_read_back(written: list[tuple[bytes, list[bytes]]]) -> None:
    named = [(name, b"\n".join(lines)) for name, lines in written]
    block = b"".join(event(data, name) for name, data in named)

    assert [(frame.name, frame.data) for frame in frames_in(block)] == named


@pytest.mark.parametrize("line_end", [b"\r\n", b"\r"])
def test_a_line_end_of_any_kind_in_the_data_is_written_as_one_more_line(line_end: bytes) -> None:
    assert event(b"a" + line_end + b"b") == b"data: a\ndata: b\n\n"


@given(event_streams(), st.lists(OBJECTS, max_size=3))
def test_a_block_is_read_the_same_at_once_and_frame_by_frame(
    stream: bytes, objects: list[dict[str, object]]
) -> None:
    plain = b"".join(event(orjson.dumps(o)) for o in objects)
    for block in (plain, FrameCutter().feed(stream), FrameCutter().feed(stream) + plain):
        slowly = [frame.data for frame in frames_in(block) if frame.data]
        assert data_in(block) == slowly
        assert plain_data(block) in (None, slowly)


def test_a_block_with_a_frame_of_several_lines_is_read_line_by_line() -> None:
    block = b'data: {"a":1}\nevent: x\ndata: {}\n\n'

    assert plain_data(block) is None
    assert data_in(block) == [b'{"a":1}\n{}']


@pytest.mark.parametrize(
    ("stream", "name", "data"),
    [
        (b'data: {"a":1}\n\n', b"", b'{"a":1}'),
        (b"data:a\ndata:  b\n\n", b"", b"a\n b"),
        (b"event: error\ndata: a\n\n", b"error", b"a"),
        (b"data: a\nevent: one\nevent:two\n\n", b"two", b"a"),
        (b"id: 7\nretry: 3\n: word\ndata\ndata: a\nother: b\n\n", b"", b"\na"),
        (BOM + b"data: a\n\n", b"", b"a"),
        (b"\n\n\ndata: a\n\n", b"", b"a"),
        (b"data: a", b"", b"a"),
        ("data: a\u2028b\u0085c\n\n".encode(), b"", "a\u2028b\u0085c".encode()),
    ],
)
def test_a_frame_is_read_as_the_standard_says(stream: bytes, name: bytes, data: bytes) -> None:
    [frame] = [frame for frame in whole_frames(stream) if frame.data]

    assert (frame.name, frame.data) == (name, data)


def test_a_comment_is_a_frame_without_data() -> None:
    [frame] = whole_frames(b": keep-alive\n\n")

    assert (frame.data, frame.name, frame.raw) == (b"", b"", b": keep-alive")


def test_a_frame_that_has_not_ended_is_pending() -> None:
    cutter = FrameCutter()

    assert cutter.feed(b"data: a\n\ndata: b") == b"data: a\n\n"
    assert cutter.pending == len(b"data: b")
    assert cutter.end() == b"data: b\n\n"
    assert (cutter.pending, cutter.end()) == (0, b"")
