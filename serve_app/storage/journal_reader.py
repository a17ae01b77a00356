"""The journal of a router that has died: its entries, and its unfinished attempts."""

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
    Yield the journals in the folder that have no live router, each locked by this process.

    The caller ends each one with `discard`, when the ledger has its entries, or with `release`. A journal
    that cannot be read is released and skipped; its OSError is raised at the end.
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
    A dead router's journal, read only; `torn` counts the lines that cannot be parsed.

    The last line may be torn if the router was killed while it wrote it. Its attempt counts as unfinished.
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
        for line in self._lines():
            self._hear(line)

    def entries(self) -> Iterator[Entry]:
        """
        Yield the entries that the ledger may not have yet, then one for every unfinished attempt.

        The latter are `lost`: dated at their beginning, estimated at what was reserved for them, and numbered
        after the last entry. They are the same each time, so a repeated recovery does not count them twice.
        Raises OSError.
        """
        torn = self.torn
        for line in self._lines():
            if "entry" in line and line["number"] > self.safe:
                yield entry_of(line)
        self.torn = torn  # counted by the constructor already
        for place, (_, line) in enumerate(sorted(self._open.items()), start=1):
            yield _lost(line, self.name, self.last + place)

    def discard(self) -> None:
        """Delete the files, because the ledger has everything, and release the lock. Raises OSError."""
        for path in self._segments:
            path.unlink(missing_ok=True)
        self._lock_path.unlink(missing_ok=True)
        self.release()

    def release(self) -> None:
        """Release the lock, so that another recovery can take the journal."""
        lock, self._lock = self._lock, -1
        if lock >= 0:
            os.close(lock)

    def _lines(self) -> Iterator[Mapping[str, Any]]:
        for path in self._segments:
            with path.open("rb") as file:
                for raw in file:
                    try:
                        line = orjson.loads(raw)
                        if "entry" in line:
                            entry_of(line)
                        if "opened" in line:
                            _lost(line, self.name, 0)
                    except (ValueError, TypeError, KeyError):
                        self.torn += 1
                        continue
                    yield line

    def _hear(self, line: Mapping[str, Any]) -> None:
        match line:
            case {"head": {"safe": int(safe), "last": int(last)}}:
                self.safe, self.last = max(self.safe, safe), max(self.last, last)
            case {"opened": int(ticket)}:
                self._open[ticket] = line  # repeated at the head of the next segment
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
    except BaseException:  # else the journal would stay locked
        os.close(lock)
        raise


def _lost(line: Mapping[str, Any], journal: str, number: int) -> Entry:
    return Entry(
        journal=journal,
        number=number,
        request_id=line["request_id"],
        attempt=line["attempt"],
        at=line["at"],
        tenant=line["tenant"],
        caller=line["caller"],
        provider_id=line["provider_id"],
        model_id=line["model_id"],
        task=line["task"],
        operation=line["operation"],
        usage=usage_of({**line["usage"], "estimated": True}),
        cost=line["cost"],
        outcome=EntryOutcome.LOST,
        latency_s=0.0,
    )


def _number(path: Path) -> int:
    return int(path.name.split(".")[-2])
