"""A form with files, as `multipart/form-data` brings it."""

import os
import tempfile
from collections.abc import Callable, Iterator
from typing import BinaryIO, NamedTuple
from weakref import finalize

_PIECE = 1 << 20


class SpooledFile:
    """
    A file on disk without a name, which several readers may read at once.

    Pickled, as for a provider in another process, it is its content.
    """

    def __init__(self) -> None:
        with tempfile.TemporaryFile(buffering=0) as made:  # 0600, and unlinked already
            self._fd = os.dup(made.fileno())
        self._close = finalize(self, os.close, self._fd)
        self.size = 0

    @classmethod
    def holding(cls, content: bytes) -> "SpooledFile":
        """Return a file with this content."""
        file = cls()
        file.write(content)
        return file

    def write(self, piece: bytes) -> None:
        """Write a piece at the end."""
        rest = memoryview(piece)
        while rest:
            rest = rest[os.write(self._fd, rest) :]
        self.size += len(piece)

    def open(self) -> BinaryIO:
        """Return a reader with a position of its own, at the beginning; close it."""
        return open(f"/proc/self/fd/{self._fd}", "rb")

    def pieces(self) -> Iterator[bytes]:
        """Yield the content from the beginning, at most a megabyte at once."""
        at = 0
        while piece := os.pread(self._fd, _PIECE, at):
            yield piece
            at += len(piece)

    def read(self) -> bytes:
        """Return the whole content."""
        return b"".join(self.pieces())

    def close(self) -> None:
        """Give the disk space back; may be called again."""
        self._close()

    def __reduce__(self) -> tuple[Callable[[bytes], "SpooledFile"], tuple[bytes]]:
        return SpooledFile.holding, (self.read(),)


class Upload(NamedTuple):
    """
    A file that a caller has sent.

    Fields:
        field: the name of its field.
        filename: its name, as the caller gave it.
        content_type: its type, as the caller gave it; None: the caller gave none.
        file: its content.
    """

    field: str
    filename: str
    content_type: str | None
    file: SpooledFile


class Form(NamedTuple):
    """The fields of a form in their order, and its files."""

    fields: tuple[tuple[str, str], ...]
    files: tuple[Upload, ...]
