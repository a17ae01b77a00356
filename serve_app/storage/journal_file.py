"""
A router's journal on its own disk: what it has to account for, until the ledger has it.

    <folder>/<name>.lock            held (flock) as long as the router lives; the kernel lets go of it
    <folder>/<name>.000001.jsonl    segments: one line for what happened, in order
    <folder>/<name>.000002.jsonl

    {"head": {"safe": 118, "last": 204}}      a segment begins: the ledger has up to 118, 204 came last
    {"opened": 77, "request_id": …}           an attempt is under way, and may cost so much
    {"entry": 77, "number": 205, …}           it ended, and that is its line of the ledger
    {"closed": 78}                            it ended, and there is nothing to account
    {"safe": 205}                             the ledger has everything up to here

A line is one `write` of the kernel's, so the death of the process loses nothing. Nothing waits for the disk
(no fsync): a machine that loses its power loses the lines of the last seconds (docs/decisions/0010).
"""

import errno
import os
import re
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from serve_app.ledger.entry import Entry
from serve_app.ledger.journal import Begun, JournalFull
from serve_app.storage.folder import own_folder
from serve_app.storage.lines import MOST, clean, entry_fields, entry_of, usage_fields
from serve_app.storage.locked import locked

SEGMENT_BYTES = 4 * 2**20

_NAME = re.compile(r"[A-Za-z0-9_-]+")
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_ENTRY = b'{"entry":'


@dataclass(slots=True)
class _Segment:
    """A file of the journal; `last` is the highest number of an entry in it, 0 without any."""

    path: Path
    last: int = 0
    size: int = 0


class Journal:
    """
    The journal of one living router, which alone writes to it. Not for several threads.

    `name` is new for every process: it is the `journal` of its entries. Making one raises JournalFull,
    OSError when the folder cannot be used, ValueError for a name that is more than letters, digits, `-`, `_`.
    """

    def __init__(self, folder: Path, name: str, segment_bytes: int = SEGMENT_BYTES) -> None:
        if _NAME.fullmatch(name) is None:
            raise ValueError(f"a journal's name may have letters, digits, '-' and '_', not {name!r}")
        self.name = name
        self.safe = 0
        self.last = 0
        self._folder = folder
        self._segment_bytes = segment_bytes
        self._segments: list[_Segment] = []
        self._begun = 0
        self._count = 0
        self._open: dict[int, bytes] = {}
        self._read: tuple[int, Path, int] | None = None
        self._file = -1
        own_folder(folder)
        self._lock = locked(folder / f"{name}.lock")
        try:
            self._rotate()
        except BaseException:  # else nobody could try again under this name, not even we
            os.close(self._lock)
            raise

    @property
    def next_number(self) -> int:
        """The number that the next entry has to have."""
        return self.last + 1

    @property
    def under_way(self) -> int:
        """How many attempts were opened and have not ended."""
        return len(self._open)

    def opened(self, begun: Begun) -> int:
        """An attempt begins: its ticket, to be given back when it ends. Raises JournalFull, OSError."""
        ticket = self._count + 1
        line = _line({"opened": ticket} | _begun_fields(begun))
        self._write(line)
        self._count = ticket
        self._open[ticket] = line
        return ticket

    def closed(self, ticket: int) -> None:
        """The attempt ended, and there is nothing to account. Raises JournalFull, OSError."""
        if self._open.pop(ticket, None) is not None:
            self._write(b'{"closed":%d}\n' % ticket)

    def append(self, entry: Entry, ticket: int = 0) -> None:
        """
        What an attempt came to; with its ticket, which ends it. Without, it never was opened.

        Raises JournalFull and OSError: then neither was taken, the number is free again, and the ledger must
        not get the entry before this succeeds. ValueError when it is of another journal, or not next in line.
        """
        if entry.journal != self.name or entry.number != self.last + 1:
            raise ValueError(
                f"entry {entry.number} of {entry.journal} cannot follow {self.last} of {self.name}"
            )
        self._write(_line({"entry": ticket} | entry_fields(entry)))
        self.last = self._segments[-1].last = entry.number
        self._open.pop(ticket, None)

    def written(self, number: int) -> None:
        """Everything up to this number is in the ledger: what only holds such entries is removed."""
        if number <= self.safe:
            return
        self.safe = min(number, self.last)
        while len(self._segments) > 1 and self._segments[0].last <= self.safe:
            self._segments[0].path.unlink(missing_ok=True)
            del self._segments[0]
        with suppress(JournalFull):  # then an heir sends some entries again, and the ledger passes over them
            self._write(b'{"safe":%d}\n' % self.safe)

    def pending(self, after: int = 0, limit: int = 1000) -> list[Entry]:
        """
        The first entries after this number that are not known to be safe, in order, read from disk.

        Raises OSError.
        """
        after = max(after, self.safe)
        found: list[Entry] = []
        for segment in self._segments:
            if segment.last <= after or len(found) == limit:
                continue
            place = 0
            if self._read is not None and self._read[:2] == (after, segment.path):
                place = self._read[2]  # where the last call left off
            with segment.path.open("rb") as file:
                file.seek(place)
                for line in file:
                    place += len(line)
                    if not line.startswith(_ENTRY):
                        continue
                    entry = entry_of(orjson.loads(line))
                    if entry.number > after:
                        found.append(entry)
                    if len(found) == limit:
                        break
            if found:
                self._read = (found[-1].number, segment.path, place)
        return found

    def close(self) -> None:
        """Let go of it; where the ledger has everything, nothing is left behind. An heir takes the rest."""
        if self._file < 0:
            return
        if not self._open and self.safe == self.last:
            for segment in self._segments:
                segment.path.unlink(missing_ok=True)
            (self._folder / f"{self.name}.lock").unlink(missing_ok=True)
        os.close(self._file)
        os.close(self._lock)
        self._file = -1

    def _write(self, line: bytes) -> None:
        segment = self._segments[-1]
        if segment.size >= self._segment_bytes:
            self._rotate()
            segment = self._segments[-1]
        _write_whole(self._file, line, segment.size)
        segment.size += len(line)

    def _rotate(self) -> None:
        """A new segment, begun with what is under way: the old one can go as soon as its entries are safe."""
        number = self._begun + 1
        path = _segment(self._folder, self.name, number)
        start = _line({"head": {"safe": self.safe, "last": self.last}}) + b"".join(self._open.values())
        file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        try:
            _write_whole(file, start, 0)
        except BaseException:
            os.close(file)
            path.unlink(missing_ok=True)
            raise
        if self._file >= 0:
            os.close(self._file)
        self._file = file
        self._begun = number
        self._segments.append(_Segment(path, size=len(start)))


def _segment(folder: Path, name: str, number: int) -> Path:
    return folder / f"{name}.{number:06d}.jsonl"


def _write_whole(file: int, line: bytes, size: int) -> None:
    """All of it or nothing; `size` is how long the file is."""
    try:
        taken = os.write(file, line)
        while taken < len(line):
            taken += os.write(file, line[taken:])
    except OSError as error:
        os.ftruncate(file, size)
        if error.errno in _FULL:
            raise JournalFull(f"the journal cannot be written: {error.strerror}") from error
        raise


def _begun_fields(begun: Begun) -> dict[str, Any]:
    said = begun._asdict()
    said["usage"] = usage_fields(begun.usage)
    if begun.cost is not None:
        said["cost"] = min(begun.cost, MOST)
    return said


def _line(said: dict[str, Any]) -> bytes:
    try:
        return orjson.dumps(said, option=orjson.OPT_APPEND_NEWLINE)
    except TypeError:  # half a surrogate pair in a text
        whole = {name: clean(value) if isinstance(value, str) else value for name, value in said.items()}
        return orjson.dumps(whole, option=orjson.OPT_APPEND_NEWLINE)
