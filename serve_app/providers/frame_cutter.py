"""Server-sent events cut into blocks of whole frames, and the data of a frame."""

from serve_app.providers.json_objects import one_line

_BOM = b"\xef\xbb\xbf"


def data_of(frame: bytes) -> bytes:
    """Return the data of a frame, on one line; the standard joins its lines by line breaks."""
    if frame[:6] == b"data: " and b"\n" not in frame:
        return frame[6:].strip()
    lines = [
        line[5:].removeprefix(b" ")
        for line in frame.removeprefix(_BOM).split(b"\n")
        if line.startswith(b"data:")
    ]
    data = b"\n".join(lines).strip()
    return one_line(data) if b"\n" in data else data


class FrameCutter:
    """
    Cuts what arrives into blocks of whole frames, wherever the network split them.

    Lines end with LF, CRLF or CR, as the standard has it, and with nothing else. Every byte is looked at
    once, however small the pieces of a large frame are.
    """

    def __init__(self) -> None:
        self._rest = bytearray()
        self._after_return = False  # the last piece ended with CR: an LF that follows belongs to it

    def feed(self, data: bytes) -> bytes:
        """Return all frames that are whole by now, with LF as line end; empty when none is."""
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
        """Return the last frame, where the upstream closed without the blank line that ends it."""
        rest = bytes(self._rest).strip()
        self._rest.clear()
        return rest + b"\n\n" if rest else b""

    @property
    def pending(self) -> int:
        """Bytes of the frame that has not ended yet."""
        return len(self._rest)
