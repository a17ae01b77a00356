"""
The authority in one process: the plane, the store it writes to, and who waits for news.

The control actor runs this; a gateway without Ray, and tests, have it in their own process.
"""

import asyncio
import contextlib
import logging
from collections.abc import Sequence

from serve_app.accounting.entry import Entry
from serve_app.clock import Clock
from serve_app.config.settings import Settings
from serve_app.control.book import Book, book_of
from serve_app.control.plane import Plane
from serve_app.control.port import ControlUnreachable, Mark, Receipt, Report, Snapshot, Totals
from serve_app.control.store import Change, Record, Store, StoreUnavailable

WRITE_EVERY_S = 0.2
TRY_AGAIN_S = 1.0
BATCH = 2000  # entries in one transaction
PRUNE_EVERY_S = 3600.0

log = logging.getLogger("sekha.control")


class LocalControl:
    """
    A `Control` around a plane, and the only one who writes to its store.

    Without a store nothing outlives the plane, and operators can change nothing. A plane that has been
    restored goes on as it is. `is_alone`: no router of another process knows this authority, or knew a former
    one.
    """

    def __init__(
        self, plane: Plane, clock: Clock, store: Store | None = None, is_alone: bool = False
    ) -> None:
        self._plane = plane
        self._clock = clock
        self._store = store
        self._is_alone = is_alone
        self._news = asyncio.Event()
        self._records: dict[tuple[str, str], Record] = {}
        self._epoch = 0
        self._is_restored = store is None
        self._writing: asyncio.Task[None] | None = None
        self._changing = asyncio.Lock()
        self._pruned_at = clock.monotonic()

    # --- life -----------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Take up what the store has, and begin to write; a store that is down is tried again later."""
        if self._store is not None and self._writing is None:
            with contextlib.suppress(StoreUnavailable):
                await self._restore(self._store)
            self._writing = asyncio.create_task(self._write_for_ever(self._store))

    async def stop(self) -> None:
        """Write what can be written, and let go of the store."""
        if self._store is None or self._writing is None:
            return
        self._writing.cancel()
        await asyncio.gather(self._writing, return_exceptions=True)
        self._writing = None
        await self.write()
        await self._store.close()

    async def write(self) -> None:
        """Write now what waits to be written, if the store takes it."""
        if self._store is not None and self._is_restored:
            with contextlib.suppress(StoreUnavailable):
                await self._write(self._store)

    # --- what routers ask -----------------------------------------------------------------------------

    async def hello(self, replica_id: str, settings: Settings, known: Snapshot) -> Snapshot:
        is_new = settings != self._plane.settings
        self._plane.hello(replica_id, settings, known, self._clock.now())
        if is_new:
            self._set_book()
        self._wake()
        return self._plane.snapshot(self._clock.now())

    async def report(self, report: Report) -> Receipt:
        receipt = self._plane.report(report, self._clock.now())
        self._forget_unless_stored()
        self._wake()
        return receipt

    async def adopt(self, entries: Sequence[Entry]) -> Mark:
        mark = self._plane.take(entries, self._clock.now())
        self._forget_unless_stored()
        return mark

    async def watch(self, generation: str, version: int, timeout_s: float) -> Snapshot:
        snapshot = self._plane.snapshot(self._clock.now())
        if (snapshot.generation, snapshot.version) == (generation, version):
            try:
                async with asyncio.timeout(timeout_s):
                    await self._news.wait()
            except TimeoutError:
                pass
            snapshot = self._plane.snapshot(self._clock.now())
        return snapshot

    async def probe(self, provider_id: str) -> float | None:
        granted = self._plane.probe(provider_id, self._clock.now())
        self._wake()
        return granted

    async def totals(self) -> Totals:
        return self._plane.totals(self._clock.now())

    async def book(self) -> Book:
        if self._plane.book is None:
            raise ControlUnreachable("no router has told the configuration yet")
        return self._plane.book

    async def change(self, records: Sequence[Record], change: Change) -> Book:
        if self._store is None or not self._is_restored:
            raise StoreUnavailable("the store is not there: nothing can be changed while the gateway runs")
        async with self._changing:
            self._epoch = await self._store.change(records, change)
            self._keep(records)
        self._set_book()
        self._wake()
        return await self.book()

    # --- the store ------------------------------------------------------------------------------------

    async def _restore(self, store: Store) -> None:
        await store.open()
        if not self._plane.is_restored:
            written, spends = await store.written(), await store.spends()
            self._plane.restore(spends, written, self._clock.now(), self._is_alone)
        self._epoch, records = await store.records()
        self._keep(records)
        self._is_restored = True
        self._set_book()
        self._wake()

    async def _write_for_ever(self, store: Store) -> None:
        is_down = False
        while True:
            try:
                if not self._is_restored:
                    await self._restore(store)
                wrote = await self._write(store)
                if is_down:
                    is_down = False
                    log.info("the store answers again")
                    self._plane.store_answers(True)
                    self._wake()
                if self._clock.monotonic() - self._pruned_at > PRUNE_EVERY_S:
                    self._pruned_at = self._clock.monotonic()
                    await store.prune(self._clock.now())
            except StoreUnavailable as error:
                if not is_down:
                    log.error("the store does not answer, entries wait in the routers' journals: %s", error)
                is_down = True
                self._plane.store_answers(False)
                self._wake()
                await self._clock.sleep(TRY_AGAIN_S)
                continue
            if wrote < BATCH:
                await self._clock.sleep(WRITE_EVERY_S)

    async def _write(self, store: Store) -> int:
        batch = self._plane.unwritten(BATCH)
        if batch:
            await store.write(batch)
            self._plane.written(batch)
        return len(batch)

    def _forget_unless_stored(self) -> None:
        """Without a store nobody has to wait until something is written down."""
        if self._store is None:
            self._plane.written(self._plane.unwritten(BATCH))

    def _keep(self, records: Sequence[Record]) -> None:
        for record in records:
            if record.body is None:
                self._records.pop((record.kind, record.id), None)
            else:
                self._records[record.kind, record.id] = record

    def _set_book(self) -> None:
        settings = self._plane.settings
        if settings is not None:
            book = book_of(settings, tuple(self._records.values()), self._epoch)
            self._plane.set_book(book, self._clock.now())

    def _wake(self) -> None:
        """Wake every watcher if there is something newer than what they sleep on."""
        if self._plane.version != self._woken_at:
            self._woken_at = self._plane.version
            self._news.set()
            self._news = asyncio.Event()

    _woken_at = 0
