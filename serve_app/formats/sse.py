"""
Server-sent events: the one place that cuts, reads and writes them.

A stream arrives in pieces. `FrameCutter` makes blocks of whole frames of them, `frames_in` and `data_in` read
a block, `event` writes a frame. The rules are those of the HTML standard, section 9.2.6, "Interpreting an
event stream".
"""

from collections.abc import Iterator
from typing import NamedTuple

import orjson

from serve_app.formats.json_objects import one_line

_BOM = b"\xef\xbb\xbf"


class Frame(NamedTuple):
    """
    One frame of a stream.

    Fields:
        data: its `data` lines, joined with line feeds; empty for a comment.
        name: its `event` field; empty without one.
        raw: the frame as it was cut, without the blank line that ends it.
    """

    data: bytes
    name: bytes
    raw: bytes

    @property
    def json(self) -> bytes:
        """The data as JSON on one line."""
        data = self.data.strip()
        return one_line(data) if b"\n" in data else data


class FrameCutter:
    """
    Cuts a stream into blocks of whole frames, wherever the network split it.

    Lines end with LF, CRLF or CR and with nothing else; in the blocks they end with LF. Every byte is looked
    at once, however small the pieces of a large frame are.
    """

    def __init__(self) -> None:
        self._rest = bytearray()
        self._after_return = False  # the last piece ended with CR: an LF that follows belongs to it

    def feed(self, data: bytes) -> bytes:
        """Return all frames that are whole by now; empty when none is."""
        if self._after_return and data:
            self._after_return = False
            if data[:1] == b"\n":
                data = data[1:]
        if b"\r" in data:
            self._after_return = data.endswith(b"\r")
            data = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        end = data.rfind(b"\n\n") + 2
        if end == 1 and not (self._rest.endswith(b"\n") and data.startswith(b"\n")):
            self._rest += data
            return b""
        whole = data[:end]
        if self._rest:
            whole = bytes(self._rest) + whole
            self._rest.clear()
        if end < len(data):
            self._rest += data[end:]
        return whole

    def end(self) -> bytes:
        """Return the last frame, where the stream ended without the blank line that ends a frame."""
        rest = bytes(self._rest).strip()
        self._rest.clear()
        return rest + b"\n\n" if rest else b""

    @property
    def pending(self) -> int:
        """Bytes of the frame that has not ended yet."""
        return len(self._rest)


def frames_in(block: bytes) -> Iterator[Frame]:
    """Yield the frames of a block as a FrameCutter returns it, comments included."""
    for raw in block.split(b"\n\n"):
        if raw[:6] == b"data: " and b"\n" not in raw:
            yield Frame(raw[6:], b"", raw)
        elif raw:
            yield _frame(raw.removeprefix(_BOM))


def plain_data(block: bytes) -> list[bytes] | None:
    """
    Return the data of each frame where every frame is one line `data: {…}`; None for any other block.

    Nearly every block of a stream of JSON is like this, and then no frame needs to be read line by line.
    """
    frames = block.count(b"\n\n")
    if (
        block.startswith(b"data: {")
        and block.endswith(b"}\n\n")
        and block.count(b"\n") == 2 * frames
        and block.count(b"}\n\ndata: {") == frames - 1
    ):
        return block[6:-2].split(b"\n\ndata: ")
    return None


def data_in(block: bytes) -> list[bytes]:
    """Return the data of each frame of a block that has any."""
    plain = plain_data(block)
    return [frame.data for frame in frames_in(block) if frame.data] if plain is None else plain


def whole_frames(stream: bytes) -> Iterator[Frame]:
    """Yield the frames of a stream that is there as a whole."""
    cutter = FrameCutter()
    yield from frames_in(cutter.feed(stream) + cutter.end())


def event(data: bytes, name: bytes = b"") -> bytes:
    """
    Return a frame.

    Args:
        data: the payload; several lines are written as several `data` lines.
        name: the `event` field, on one line; empty: without one.
    """
    if b"\n" in data or b"\r" in data:
        data = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n").replace(b"\n", b"\ndata: ")
    head = b"event: " + name + b"\n" if name else b""
    return head + b"data: " + data + b"\n\n"


def named_event(data: bytes, name: str) -> bytes:
    """Return a frame whose name is a word of somebody else's: what cannot stand on its line is left out."""
    return event(data, b" ".join(name.encode("utf-8", "replace").split()))


def is_plain_event(frame: Frame) -> bool:
    """Tell whether a frame was written as `event` writes one with a name and an object."""
    head = b"event: " + frame.name + b"\ndata: {"
    return (
        frame.raw.startswith(head)
        and len(frame.raw) == len(head) - 1 + len(frame.data)
        and (frame.data.endswith(b"}"))
    )


def with_member(block: bytes, name: str, value: object) -> bytes:
    """
    Add a member to the JSON object of the first data frame in a block.

    A line break inside a JSON text is always escaped, so the first `}` before a real one closes the object.
    """
    for end in (b"}\n\n", b"}\r\n\r\n"):
        at = block.find(end)
        if at > 0:
            return block[:at] + _comma(block[:at]) + _member(name, value) + block[at:]
    return block


def spliced(body: bytes, name: str, value: object) -> bytes:
    """Add a member at the end of a JSON object without parsing it."""
    end = body.rfind(b"}")
    if end < 0:
        return body
    return body[:end] + _comma(body[:end]) + _member(name, value) + body[end:]


def _frame(raw: bytes) -> Frame:
    data: list[bytes] = []
    name = b""
    for line in raw.split(b"\n"):
        field, _, value = line.partition(b":")
        if field == b"data":
            data.append(value.removeprefix(b" "))
        elif field == b"event":
            name = value.removeprefix(b" ")
    return Frame(b"\n".join(data), name, raw)


def _comma(before: bytes) -> bytes:
    """Return what stands between the members so far and a further one."""
    return b"" if before.rstrip().endswith(b"{") else b","


def _member(name: str, value: object) -> bytes:
    return orjson.dumps(name) + b":" + orjson.dumps(value)
