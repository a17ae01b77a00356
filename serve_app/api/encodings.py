"""Compressed request bodies: gzip and zstd, unpacked within a limit."""

import zlib
from io import BytesIO

import zstandard

from serve_app.api.asgi import Scope, header, printable, too_large
from serve_app.errors import InvalidRequest

WIDEST_WINDOW = 1 << 23  # bytes; the most that RFC 9659 allows for zstd on the web
MOST_MEMBERS = 16  # of one gzip body

_PIECE = 1 << 18
_GZIP = frozenset({"gzip", "x-gzip"})


def encoding_of(scope: Scope) -> str | None:
    """
    Return the name of the body's encoding; None for a plain one.

    It may be a list, in which `identity` has no effect.

    Raises:
        InvalidRequest: 415, the encoding is not supported, or there are several.
    """
    named = [name.strip().lower() for name in (header(scope, b"content-encoding") or "").split(",")]
    given = [name for name in named if name not in ("", "identity")]
    if not given:
        return None
    if len(given) > 1 or (given[0] not in _GZIP and given[0] != "zstd"):
        shown = printable(", ".join(given), 40)
        raise InvalidRequest(
            f"Content-Encoding '{shown}' is not supported; send gzip or zstd alone, or no encoding",
            code="unsupported_encoding",
            status=415,
        )
    return given[0]


def unpacked(raw: bytes, encoding: str, most: int) -> bytes:
    """
    Return the body without its encoding.

    Raises:
        InvalidRequest: 413 as soon as it is over `most` bytes, 400 if it is damaged.
    """
    try:
        return _ungzipped(raw, most) if encoding in _GZIP else _unzstded(raw, most)
    except (zlib.error, zstandard.ZstdError) as error:
        raise _damaged(encoding, str(error)) from None


def _ungzipped(raw: bytes, most: int) -> bytes:
    whole = b""
    for _ in range(MOST_MEMBERS):
        member = zlib.decompressobj(wbits=31)
        piece = member.decompress(raw, most - len(whole) + 1)
        if len(whole) + len(piece) > most:
            raise too_large(most)
        if not member.eof:
            raise _damaged("gzip", "it ends too early")
        whole = whole + piece if whole else piece
        raw = member.unused_data.lstrip(b"\0")
        if not raw:
            return whole
    raise _damaged("gzip", f"it has more than {MOST_MEMBERS} members")


def _unzstded(raw: bytes, most: int) -> bytes:
    frames = zstandard.ZstdDecompressor(max_window_size=WIDEST_WINDOW).stream_reader(
        raw, read_across_frames=True
    )
    whole = BytesIO()
    while piece := frames.read(_PIECE):
        if whole.tell() + len(piece) > most:
            raise too_large(most)
        whole.write(piece)
    return whole.getvalue()


def _damaged(encoding: str, why: str) -> InvalidRequest:
    return InvalidRequest(f"The body is not valid {encoding}: {why}", code="invalid_encoding")
