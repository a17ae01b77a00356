"""Whoever takes over the journals of dead routers: one that makes trouble costs no other one."""

import asyncio
import os
from collections.abc import Sequence
from pathlib import Path

import pytest

from serve_app.control.control_plane import ControlPlane
from serve_app.control.local_control_plane import LocalControlPlane
from serve_app.control.protocol import ControlUnreachable
from serve_app.ledger.entry import Entry
from serve_app.ledger.journal_position import JournalPosition
from serve_app.pricing.target_prices import prices_of
from serve_app.storage.journal_file import Journal
from serve_app.storage.journal_reader import orphans
from serve_app.storage.journal_recovery import LOOK_EVERY_S, JournalRecovery
from tests.support.clock import FakeClock
from tests.support.entries import entry

pytestmark = pytest.mark.anyio


class Authority(LocalControlPlane):
    """An authority that remembers what it was handed, and can be away."""

    def __init__(self) -> None:
        super().__init__(ControlPlane("g", prices_of), FakeClock())
        self.taken: set[tuple[str, int]] = set()
        self.is_away = False

    async def submit_recovered(self, entries: Sequence[Entry]) -> JournalPosition:
        if self.is_away:
            raise ControlUnreachable("away")
        self.taken |= {(one.journal, one.number) for one in entries}
        return await super().submit_recovered(entries)


class OneLook(FakeClock):
    """A clock that stands still between one look and the next."""

    def __init__(self) -> None:
        super().__init__()
        self.looked = asyncio.Event()

    async def sleep(self, seconds: float) -> None:
        if seconds == LOOK_EVERY_S:
            self.looked.set()
            await asyncio.Event().wait()
        await super().sleep(seconds)


def dead_router(folder: Path, name: str, entries: int = 1) -> Path:
    """The journal that a killed router has left, and its only segment."""
    journal = Journal(folder, name)
    for number in range(1, entries + 1):
        journal.append(entry(number, journal=name))
    os.close(journal._file)
    os.close(journal._lock)
    return folder / f"{name}.000001.jsonl"


async def look(folder: Path, authority: Authority) -> None:
    """Let an heir look once through the whole folder, and stop it."""
    clock = OneLook()
    journal_recovery = JournalRecovery(folder, authority, clock)
    journal_recovery.start()
    async with asyncio.timeout(60):
        await clock.looked.wait()
    journal_recovery.check()
    await journal_recovery.stop()


async def test_a_journal_that_cannot_be_read_keeps_no_other_from_being_taken_over(tmp_path: Path) -> None:
    unreadable = dead_router(tmp_path, "first")
    unreadable.unlink()
    unreadable.mkdir()
    dead_router(tmp_path, "second")
    authority = Authority()

    await look(tmp_path, authority)
    assert authority.taken == {("second", 1)}

    unreadable.rmdir()
    assert [orphan.name for orphan in orphans(tmp_path)] == ["first"], "nobody holds it for ever"


async def test_a_journal_that_cannot_be_removed_keeps_no_other_from_being_taken_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dead_router(tmp_path, "first")
    dead_router(tmp_path, "second")
    unlink = Path.unlink

    def refused_once(path: Path, missing_ok: bool = False) -> None:
        if path.name.startswith("first"):
            raise PermissionError(path)
        unlink(path, missing_ok)

    monkeypatch.setattr(Path, "unlink", refused_once)
    authority = Authority()

    await look(tmp_path, authority)

    assert authority.taken == {("first", 1), ("second", 1)}
    assert [orphan.name for orphan in orphans(tmp_path)] == ["first"]


async def test_an_heir_that_is_stopped_holds_no_journal_any_more(tmp_path: Path) -> None:
    dead_router(tmp_path, "first")
    dead_router(tmp_path, "second")
    authority = Authority()
    authority.is_away = True

    await look(tmp_path, authority)

    assert [orphan.name for orphan in orphans(tmp_path)] == ["first", "second"]


async def test_an_heir_that_is_stopped_while_it_takes_a_journal_lets_go_of_it(tmp_path: Path) -> None:
    segment = dead_router(tmp_path, "slow")
    lines = segment.read_bytes()
    segment.unlink()
    os.mkfifo(segment)  # who reads it waits for somebody who writes
    journal_recovery = JournalRecovery(tmp_path, Authority(), OneLook())
    journal_recovery.start()
    writer = await asyncio.to_thread(segment.open, "wb")  # returns when the heir is reading
    stopping = asyncio.create_task(journal_recovery.stop())
    await asyncio.sleep(0.05)
    writer.write(lines)
    writer.close()
    await stopping

    segment.unlink()
    segment.write_bytes(lines)
    assert [orphan.name for orphan in orphans(tmp_path)] == ["slow"]


async def test_a_long_journal_is_handed_over_in_pieces_and_whole(tmp_path: Path) -> None:
    dead_router(tmp_path, "long", entries=2_500)
    authority = Authority()

    await look(tmp_path, authority)

    assert len(authority.taken) == 2_500
    assert list(orphans(tmp_path)) == []
