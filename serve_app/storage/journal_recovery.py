"""Takes over the journals of routers that have died on this machine, so that nothing they did goes unpaid."""

import asyncio
import logging
from collections.abc import Iterator, Sequence
from contextlib import suppress
from itertools import islice
from pathlib import Path

from serve_app.clock import Clock
from serve_app.control.protocol import Control, ControlUnreachable
from serve_app.ledger.entry import Entry
from serve_app.storage.orphaned_journal import OrphanedJournal, orphans

LOOK_EVERY_S = 2.0  # below the life of a lease: what was spent is known before its credit is lent anew
ASK_EVERY_S = 0.5
AT_ONCE = 1000

log = logging.getLogger("sekha.control")


class JournalRecovery:
    """Looks for journals that nobody holds, and hands their entries to the authority."""

    def __init__(self, folder: Path, control: Control, clock: Clock) -> None:
        self._folder = folder
        self._control = control
        self._clock = clock
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to look; returns at once."""
        self._task = asyncio.create_task(self._look_for_ever())

    async def stop(self) -> None:
        """End; what was not handed over in whole is there for the next one."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def check(self) -> None:
        """Raise what ended the task, if it has ended."""
        if self._task is not None and self._task.done() and not self._task.cancelled():
            self._task.result()

    async def _look_for_ever(self) -> None:
        while True:
            found = orphans(self._folder)
            try:
                # One at a time: what is held is held by us alone, and must be let go of whatever happens.
                while (orphan := await _next(found)) is not None:
                    await self._take_over(orphan)
            except OSError as error:
                log.error("the journal folder cannot be read: %s", error)
            await self._clock.sleep(LOOK_EVERY_S)

    async def _take_over(self, orphan: OrphanedJournal) -> None:
        try:
            if orphan.torn:
                log.warning("%d lines of journal %s cannot be read", orphan.torn, orphan.name)
            entries, count = orphan.entries(), 0
            while batch := await asyncio.to_thread(lambda: list(islice(entries, AT_ONCE))):
                await self._hand_over(batch)
                count += len(batch)
            await asyncio.to_thread(orphan.discard)
            log.info("recovered %d entries of journal %s, whose router has stopped", count, orphan.name)
        except ControlUnreachable:
            return
        except OSError as error:
            log.error("journal %s cannot be recovered: %s", orphan.name, error)
        finally:
            orphan.release()

    async def _hand_over(self, entries: Sequence[Entry]) -> None:
        """Tell it until it is in the store: the journal is what we would have to tell it from again."""
        while (await self._control.submit_recovered(entries)).written < entries[-1].number:
            await self._clock.sleep(ASK_EVERY_S)


async def _next(found: Iterator[OrphanedJournal]) -> OrphanedJournal | None:
    """The next one, read in a thread. That cannot be cancelled: what it brings too late is let go of."""
    reading = asyncio.ensure_future(asyncio.to_thread(next, found, None))
    try:
        return await asyncio.shield(reading)
    except asyncio.CancelledError:
        with suppress(OSError):  # whoever looks next meets it again, and says so
            if (orphan := await reading) is not None:
                orphan.release()
        raise
