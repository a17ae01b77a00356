"""The journal of a router that has died: what it had to account for, and what it was doing."""

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import orjson

from serve_app.ledger.entry import Entry, EntryOutcome
from serve_app.storage.lines import entry_of, usage_of
from serve_app.storage.locked import locked_if_free


def orphans(folder: Path) -> Iterator["OrphanedJournal"]:
    """
    The journals in the folder that nobody holds, each held by us from when it is given out.

    Whoever takes one ends with `discard`, when the ledger has its entries, or with `release`. Raises OSError
    in the end, where one of them could not be read; that one is held by nobody.
    """
    trouble: OSError | None = None
    for path in sorted(folder.glob("*.lock")):
        try:
            if (lock := locked_if_free(path)) is None:
                continue
            orphan = _held(folder, path.stem, lock)
        except OSError as error:
            trouble = error
            continue
        yield orphan
    if trouble is not None:
        raise trouble


class OrphanedJournal:
    """
    A dead router's journal, read only. `torn` counts the lines that make no sense.

    The last line may be torn: its router was killed while it wrote it. Its attempt counts as never ended.
    """

    def __init__(self, folder: Path, name: str, lock: int) -> None:
        self.name = name
        self.safe = 0
        self.last = 0
        self.torn = 0
        self._lock_path = folder / f"{name}.lock"
        self._lock = lock
        self._segments = sorted(folder.glob(f"{name}.*.jsonl"), key=_number)
        self._open: dict[int, Mapping[str, Any]] = {}
        for said in self._lines():
            self._hear(said)

    def entries(self) -> Iterator[Entry]:
        """
        What the ledger may not have yet: the entries, then one for every attempt that never ended.

        The latter are `lost`, of the moment when they began, estimated at what was set aside for them, and
        numbered after the last one: the same each time this is asked, whoever asks. Raises OSError.
        """
        torn = self.torn
        for said in self._lines():
            if "entry" in said and said["number"] > self.safe:
                yield entry_of(said)
        self.torn = torn  # counted before
        for place, (_, said) in enumerate(sorted(self._open.items()), start=1):
            yield _lost(said, self.name, self.last + place)

    def discard(self) -> None:
        """The ledger has it all: remove the files, and let go. Raises OSError."""
        for path in self._segments:
            path.unlink(missing_ok=True)
        self._lock_path.unlink(missing_ok=True)
        self.release()

    def release(self) -> None:
        """Let go of it, for somebody else or another time."""
        lock, self._lock = self._lock, -1
        if lock >= 0:
            os.close(lock)

    def _lines(self) -> Iterator[Mapping[str, Any]]:
        for path in self._segments:
            with path.open("rb") as file:
                for line in file:
                    try:
                        said = orjson.loads(line)
                        if "entry" in said:
                            entry_of(said)
                        if "opened" in said:
                            _lost(said, self.name, 0)
                    except (ValueError, TypeError, KeyError):
                        self.torn += 1
                        continue
                    yield said

    def _hear(self, said: Mapping[str, Any]) -> None:
        match said:
            case {"head": {"safe": int(safe), "last": int(last)}}:
                self.safe, self.last = max(self.safe, safe), max(self.last, last)
            case {"opened": int(ticket)}:
                self._open[ticket] = said  # a second time at the head of the next segment
            case {"entry": int(ticket), "number": int(number)}:
                self._open.pop(ticket, None)
                self.last = max(self.last, number)
            case {"closed": int(ticket)}:
                self._open.pop(ticket, None)
            case {"safe": int(safe)}:
                self.safe = max(self.safe, safe)


def _held(folder: Path, name: str, lock: int) -> OrphanedJournal:
    try:
        return OrphanedJournal(folder, name, lock)
    except BaseException:  # else nobody could ever take it, not even we
        os.close(lock)
        raise


def _lost(said: Mapping[str, Any], journal: str, number: int) -> Entry:
    return Entry(
        journal=journal,
        number=number,
        request_id=said["request_id"],
        attempt=said["attempt"],
        at=said["at"],
        tenant=said["tenant"],
        caller=said["caller"],
        provider_id=said["provider_id"],
        model_id=said["model_id"],
        task=said["task"],
        operation=said["operation"],
        usage=usage_of({**said["usage"], "estimated": True}),
        cost=said["cost"],
        outcome=EntryOutcome.LOST,
        latency_s=0.0,
    )


def _number(path: Path) -> int:
    return int(path.name.split(".")[-2])
