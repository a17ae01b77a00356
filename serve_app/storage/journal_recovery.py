"""The recovery of journals whose routers on this machine have died, so that no usage goes unaccounted."""

import asyncio
import logging
from collections.abc import Iterator, Sequence
from contextlib import suppress
from itertools import islice
from pathlib import Path

from serve_app.clock import Clock
from serve_app.control.protocol import Control, ControlUnreachable
from serve_app.ledger.entry import Entry
from serve_app.storage.journal_reader import OrphanedJournal, orphans

LOOK_EVERY_S = 2.0  # shorter than a lease, so that usage is counted before its quota is leased again
ASK_EVERY_S = 0.5
AT_ONCE = 1000

log = logging.getLogger("sekha.control")


class JournalRecovery:
    """
    A background task that finds journals without a router and submits their entries to the control plane.
    """

    def __init__(self, folder: Path, control: Control, clock: Clock) -> None:
        self._folder = folder
        self._control = control
        self._clock = clock
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Start the search in the background."""
        self._task = asyncio.create_task(self._look_for_ever())

    async def stop(self) -> None:
        """Stop; a journal that was not submitted completely is left for the next recovery."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def check(self) -> None:
        """Raise the error of the task, if it has ended."""
        if self._task is not None and self._task.done() and not self._task.cancelled():
            self._task.result()

    async def _look_for_ever(self) -> None:
        while True:
            found = orphans(self._folder)
            try:
                # One at a time: each one is locked by this process, and must be released in any case.
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
        """Submit entries until they are in the store; the journal is their only source until then."""
        while (await self._control.submit_recovered(entries)).written < entries[-1].number:
            await self._clock.sleep(ASK_EVERY_S)


async def _next(found: Iterator[OrphanedJournal]) -> OrphanedJournal | None:
    """
    Return the next orphaned journal, read in a thread; release it if the caller was cancelled meanwhile.
    """
    reading = asyncio.ensure_future(asyncio.to_thread(next, found, None))
    try:
        return await asyncio.shield(reading)
    except asyncio.CancelledError:
        with suppress(OSError):  # the next search finds the journal again
            if (orphan := await reading) is not None:
                orphan.release()
        raise
