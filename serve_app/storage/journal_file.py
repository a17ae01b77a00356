"""
A router's journal on its own disk, which keeps entries until the ledger has them.

    <folder>/<name>.lock            held (flock) while the router lives; the kernel releases it
    <folder>/<name>.000001.jsonl    segments: one line for each event, in order
    <folder>/<name>.000002.jsonl

    {"head": {"safe": 118, "last": 204}}      a segment begins: the ledger has up to 118, the newest is 204
    {"opened": 77, "request_id": …}           an attempt has begun, with the most that it may cost
    {"entry": 77, "number": 205, …}           it ended, with its entry for the ledger
    {"closed": 78}                            it ended without an entry
    {"safe": 205}                             the ledger has everything up to this number

A line is one `write` system call, so the death of the process loses nothing. Nothing waits for the disk (no
fsync): a machine that loses power loses the lines of the last seconds (docs/decisions/0010).
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
    """A file of the journal; `last` is the highest number of an entry in it, 0 without entries."""

    path: Path
    last: int = 0
    size: int = 0


class Journal:
    """
    The journal of one live router, its only writer. Not thread-safe.

    Args:
        name: new for every process; the `journal` of its entries.
        segment_bytes: the size at which a new segment begins.

    Raises:
        JournalFull: the disk is full.
        OSError: the folder cannot be used.
        ValueError: the name contains more than letters, digits, `-` and `_`.
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
        except BaseException:  # else the name would stay locked
            os.close(self._lock)
            raise

    @property
    def next_number(self) -> int:
        """Return the number that the next entry must have."""
        return self.last + 1

    @property
    def under_way(self) -> int:
        """Return the number of attempts that were opened and have not ended."""
        return len(self._open)

    def opened(self, begun: Begun) -> int:
        """
        Record the beginning of an attempt; return its ticket, which ends it later. Raises JournalFull,
        OSError.
        """
        ticket = self._count + 1
        line = _line({"opened": ticket} | _begun_fields(begun))
        self._write(line)
        self._count = ticket
        self._open[ticket] = line
        return ticket

    def closed(self, ticket: int) -> None:
        """Record that an attempt ended without an entry. Raises JournalFull, OSError."""
        if self._open.pop(ticket, None) is not None:
            self._write(b'{"closed":%d}\n' % ticket)

    def append(self, entry: Entry, ticket: int = 0) -> None:
        """
        Write an entry; its ticket ends the attempt, 0: the attempt was never opened.

        Raises:
            JournalFull, OSError: nothing was written and the number is free again; the ledger must not get
                the entry before this succeeds.
            ValueError: the entry is of another journal, or its number is not the next one.
        """
        if entry.journal != self.name or entry.number != self.last + 1:
            raise ValueError(
                f"entry {entry.number} of {entry.journal} cannot follow {self.last} of {self.name}"
            )
        self._write(_line({"entry": ticket} | entry_fields(entry)))
        self.last = self._segments[-1].last = entry.number
        self._open.pop(ticket, None)

    def written(self, number: int) -> None:
        """Record that the ledger has all entries up to this number, and delete segments with no others."""
        if number <= self.safe:
            return
        self.safe = min(number, self.last)
        while len(self._segments) > 1 and self._segments[0].last <= self.safe:
            self._segments[0].path.unlink(missing_ok=True)
            del self._segments[0]
        with suppress(JournalFull):  # a recovery then sends some entries again, which the ledger skips
            self._write(b'{"safe":%d}\n' % self.safe)

    def pending(self, after: int = 0, limit: int = 1000) -> list[Entry]:
        """
        Return the first entries after this number that may not be in the ledger yet, in order, read from
        disk.

        Raises OSError.
        """
        after = max(after, self.safe)
        found: list[Entry] = []
        for segment in self._segments:
            if segment.last <= after or len(found) == limit:
                continue
            place = 0
            if self._read is not None and self._read[:2] == (after, segment.path):
                place = self._read[2]  # where the last call stopped
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
        """
        Close the journal; delete it if the ledger has everything, else leave it for the journal recovery.
        """
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
        """
        Begin a new segment with the open attempts, so that the old one can be deleted once its entries are
        safe.
        """
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
    """Write all of the line or nothing; `size` is the current size of the file."""
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
    fields = begun._asdict()
    fields["usage"] = usage_fields(begun.usage)
    if begun.cost is not None:
        fields["cost"] = min(begun.cost, MOST)
    return fields


def _line(fields: dict[str, Any]) -> bytes:
    try:
        return orjson.dumps(fields, option=orjson.OPT_APPEND_NEWLINE)
    except TypeError:  # an unpaired surrogate in a text
        whole = {name: clean(value) if isinstance(value, str) else value for name, value in fields.items()}
        return orjson.dumps(whole, option=orjson.OPT_APPEND_NEWLINE)
