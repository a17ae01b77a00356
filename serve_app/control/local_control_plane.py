"""
The control plane in one process, with the store it writes to and the routers that watch it.

The control actor runs this; a gateway without Ray, and tests, have it in their own process.
"""

import asyncio
import contextlib
import logging
from collections.abc import Sequence

from serve_app.clock import Clock
from serve_app.config.admin import AdminConfig
from serve_app.config.settings import Settings
from serve_app.control.admin_quota import Allowance, Quotas
from serve_app.control.capacity import Presence
from serve_app.control.control_plane import ControlPlane
from serve_app.control.protocol import ControlUnreachable, Overtaken, Receipt, Report, Snapshot, Totals
from serve_app.control.response_keeping import ResponseKeeping
from serve_app.control.runtime_config import NO_REVISION, RuntimeConfig, runtime_config_of
from serve_app.errors import AdminLimitReached
from serve_app.ledger.entry import Entry
from serve_app.ledger.journal_position import JournalPosition
from serve_app.ledger.store import Change, Record, Spend, Store, StoreUnavailable
from serve_app.resilience.breaker import Breaker
from serve_app.response_store.memory import MemoryResponses
from serve_app.response_store.store import ResponseStore
from serve_app.response_store.stored_response import Chain, StoredResponse

WRITE_EVERY_S = 0.2
TRY_AGAIN_S = 1.0
BATCH = 2000  # entries in one transaction
PRUNE_EVERY_S = 3600.0
MOST_COUNTED = 10_000  # changes that are read at the start, to count those of the last hour
SWITCHED = "backend_switched"  # the action that counts against the quota of switches
ALWAYS = frozenset({"key_revoked"})  # actions without a quota: a leaked key is revoked at once
ITSELF = "gateway"  # the `who` of the gateway's own changes, which have no quota

log = logging.getLogger("sekha.control")


class LocalControlPlane:
    """
    A `Control` around a control plane, and the only writer of its store.

    Without a store the state ends with the process, and operators can change nothing. A control plane that
    has been restored continues as it is.

    Args:
        is_alone: no router of another process uses this control plane, or used a former one.
        responses: where responses are kept for callers; None: in memory.
    """

    def __init__(
        self,
        plane: ControlPlane,
        clock: Clock,
        store: Store | None = None,
        is_alone: bool = False,
        responses: ResponseStore | None = None,
    ) -> None:
        self._plane = plane
        self._clock = clock
        self._store = store
        self._is_alone = is_alone
        self._news = asyncio.Event()
        self._records: dict[tuple[str, str], Record] = {}
        self._revision = 0
        self._is_restored = store is None
        self._writing: asyncio.Task[None] | None = None
        self._changing = asyncio.Lock()
        self._is_doubtful = False
        self._quotas = Quotas()
        self._pruned_at = clock.monotonic()
        self._responses = ResponseKeeping(responses or MemoryResponses(), clock)

    # --- life -----------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Restore the state from the store and begin to write; a store that is down is retried later."""
        if self._store is not None and self._writing is None:
            try:
                await self._restore(self._store)
            except StoreUnavailable as error:
                log.error("the store does not answer, continuing without it: %s", error)
                self._plane.store_answers(False)
                if not self._is_alone:
                    self._plane.wait_for_routers(self._clock.now())
            self._writing = asyncio.create_task(self._write_for_ever(self._store))

    async def stop(self) -> None:
        """Write the remaining entries, if possible, and close the store."""
        if self._store is None or self._writing is None:
            return
        self._writing.cancel()
        await asyncio.gather(self._writing, return_exceptions=True)
        self._writing = None
        await self.write()
        await self._store.close()

    async def write(self) -> None:
        """Write the waiting entries now, if the store accepts them."""
        if self._store is not None and self._is_restored:
            with contextlib.suppress(StoreUnavailable):
                await self._write(self._store)

    # --- calls of routers -----------------------------------------------------------------------------

    async def register(self, router_id: str, settings: Settings, known: Snapshot) -> Snapshot:
        is_new = settings != self._plane.settings
        self._plane.register(router_id, settings, known, self._clock.now())
        if is_new:
            self._apply_records()
        self._plane.remember(known, self._clock.now())
        self._wake()
        return self._plane.snapshot(self._clock.now())

    async def report(self, report: Report) -> Receipt:
        self._plane.look_around(self._clock.now())
        receipt = self._plane.report(report, self._clock.now())
        self._forget_unless_stored()
        if self._store is None:  # else the writer does
            await self._responses.clean_up()
        self._wake()
        return receipt

    async def heartbeat(self, presence: Presence) -> None:
        self._plane.heartbeat(presence, self._clock.now())
        self._wake()

    async def submit_recovered(self, entries: Sequence[Entry]) -> JournalPosition:
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

    async def runtime_config(self) -> RuntimeConfig:
        if self._plane.runtime_config is None:
            raise ControlUnreachable("no router has sent its configuration yet")
        if not self._is_restored:
            raise ControlUnreachable("the operators' settings are not loaded from the store yet")
        return self._plane.runtime_config

    async def change(
        self, records: Sequence[Record], change: Change, revision: int | None = None
    ) -> RuntimeConfig:
        store = self._restored_store()
        async with self._changing:
            if self._is_doubtful:
                await self._read_again(store)
            if revision not in (None, self._revision):
                raise Overtaken(f"the runtime configuration is at revision {self._revision}, not {revision}")
            self._check(change)
            self._is_doubtful = True  # a failed or cancelled change may have been written
            self._revision = await store.change(records, change)
            self._is_doubtful = False
            self._count(change, self._clock.now())
            self._keep(records)
        self._apply_records()
        self._wake()
        self._responses.changed(records, runtime_config := await self.runtime_config())
        return runtime_config

    async def stored_response(self, tenant: str, response_id: str) -> StoredResponse | None:
        return await self._ready_responses().get(tenant, response_id)

    async def response_chain(self, tenant: str, response_id: str) -> Chain:
        return await self._ready_responses().chain(tenant, response_id)

    async def responses_with_items(self, tenant: str, item_ids: Sequence[str]) -> Chain:
        return await self._ready_responses().with_items(tenant, item_ids)

    async def store_response(self, stored: StoredResponse, item_ids: Sequence[str]) -> None:
        await self._ready_responses().put(stored, item_ids)

    async def delete_response(self, tenant: str, response_id: str) -> bool:
        return await self._ready_responses().delete(tenant, response_id)

    def _ready_responses(self) -> ResponseKeeping:
        if not self._is_restored:  # the tables may be of an earlier version
            raise StoreUnavailable("the store is not available")
        return self._responses

    # --- calls of operators ---------------------------------------------------------------------------

    async def asked(self, who: str) -> Allowance:
        name, limit = f"requests:{who}", self._admin.requests_per_hour
        allowance = self._allowance("requests of this admin", name, limit)
        self._quotas.count(name, self._clock.now())
        return Allowance(limit, allowance.remaining - 1, allowance.resets_at)

    async def spends(self, since: float = 0.0, until: float | None = None) -> Sequence[Spend]:
        return await self._restored_store().spends(since, until)

    async def entries(
        self, limit: int = 100, tenant: str | None = None, before: float | None = None
    ) -> Sequence[Entry]:
        return await self._restored_store().entries(limit, tenant, before)

    async def changes(self, limit: int = 100, before: float | None = None) -> Sequence[Change]:
        return await self._restored_store().changes(limit, before)

    async def reset_breaker(self, provider_id: str) -> Breaker | None:
        before = self._plane.reset_breaker(provider_id, self._clock.now())
        self._wake()
        return before

    async def _begin_vllm_hours(self) -> None:
        """Record when a configured endpoint of vLLM was first known; its hours are billed from then on."""
        settings, runtime_config = self._plane.settings, self._plane.runtime_config
        if settings is None or runtime_config is None or self._store is None or not self._is_restored:
            return
        endpoint = settings.backends.vllm_endpoint
        if endpoint is None or runtime_config.backend.vllm_since is not None:
            return
        now = self._clock.now()
        state = {"vllm_endpoint": runtime_config.backend.vllm_endpoint, "vllm_since": now}
        change = Change(now, ITSELF, "vllm_hours_begun", "backend:vllm", None, {"endpoint": endpoint})
        with contextlib.suppress(Overtaken):  # an operator may have set another one: check again
            await self.change([Record("backend", "vllm", state)], change, runtime_config.revision)

    @property
    def _admin(self) -> AdminConfig:
        settings = self._plane.settings
        return settings.admin if settings else AdminConfig()

    def _check(self, change: Change) -> None:
        """Raise AdminLimitReached if a change exceeds the hourly quota."""
        if change.who == ITSELF or change.action in ALWAYS:
            return
        self._allowance("changes", "changes", self._admin.changes_per_hour)
        if change.action == SWITCHED:
            self._allowance("switches of the backend", SWITCHED, self._admin.switches_per_hour)

    def _count(self, change: Change, at: float) -> None:
        if change.who == ITSELF:
            return
        self._quotas.count("changes", at)
        if change.action == SWITCHED:
            self._quotas.count(SWITCHED, at)

    def _allowance(self, what: str, name: str, limit: int) -> Allowance:
        now = self._clock.now()
        allowance = self._quotas.left(name, limit, now)
        if not allowance.remaining:
            raise AdminLimitReached(what, limit, allowance.resets_at, allowance.resets_at - now)
        return allowance

    def _restored_store(self) -> Store:
        if self._store is None or not self._is_restored:
            raise StoreUnavailable("the store is not available")
        return self._store

    # --- the store ------------------------------------------------------------------------------------

    async def _restore(self, store: Store) -> None:
        await store.open()
        if not self._plane.is_restored:
            written, spends = await store.written(), await store.spends()
            while (since := await store.written()) != written:  # a former control plane wrote in between
                written, spends = since, await store.spends()
            self._plane.restore(spends, written, self._clock.now(), self._is_alone)
        self._revision, records = await store.records()
        changes = await store.changes(limit=MOST_COUNTED)
        self._keep(records)
        self._is_restored = True
        self._quotas = Quotas()
        for change in reversed(changes):
            self._count(change, change.at)
        self._apply_records()
        self._wake()

    async def _read_again(self, store: Store) -> None:
        """Reload the settings after a change that may or may not have been written."""
        revision, records = await store.records()
        self._revision, self._is_doubtful = revision, False
        self._records.clear()
        self._keep(records)
        self._apply_records()
        self._wake()

    async def _write_for_ever(self, store: Store) -> None:
        is_down = not self._is_restored
        while True:
            try:
                if not self._is_restored:
                    await self._restore(store)
                if self._is_doubtful:
                    async with self._changing:
                        await self._read_again(store)
                wrote = await self._write(store)
                await self._begin_vllm_hours()
                if is_down:
                    is_down = False
                    log.info("the store answers again")
                    self._plane.store_answers(True)
                    self._wake()
                await self._prune(store)
                await self._responses.clean_up()
            except Exception as error:  # a bug must not end this task either: it is the only writer
                if not is_down:
                    trace = None if isinstance(error, StoreUnavailable) else error
                    log.error(
                        "the store accepts no writes, entries wait in the routers' journals: %s",
                        error,
                        exc_info=trace,
                    )
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
            try:
                await store.write(batch)
            except StoreUnavailable:
                raise
            except Exception:  # noqa: BLE001 - raised again unless single entries cause it
                await self._write_singly(store, batch)
            self._plane.written(batch)
        return len(batch)

    async def _write_singly(self, store: Store, batch: Sequence[Entry]) -> None:
        """
        Write the entries one by one and skip those that the store rejects.

        If it rejects all of them the fault is not in the entries, so the first error is raised.
        """
        refused: list[tuple[Entry, Exception]] = []
        for entry in batch:
            try:
                await store.write([entry])
            except StoreUnavailable:
                raise
            except Exception as error:  # noqa: BLE001 - raised or logged below
                refused.append((entry, error))
        if len(refused) == len(batch):
            raise refused[0][1]
        for entry, why in refused:
            log.error("the store rejected an entry, which is skipped: %r: %s", entry, why)

    async def _prune(self, store: Store) -> None:
        if self._clock.monotonic() - self._pruned_at > PRUNE_EVERY_S:
            self._pruned_at = self._clock.monotonic()
            try:
                await store.prune(self._clock.now())
            except StoreUnavailable as error:  # the writes of entries tell whether it is down
                log.warning("old rows of the store were not deleted, will try again: %s", error)

    def _forget_unless_stored(self) -> None:
        """Mark entries as written if there is no store, so that no router keeps them."""
        if self._store is None:
            self._plane.written(self._plane.unwritten(BATCH))

    def _keep(self, records: Sequence[Record]) -> None:
        for record in records:
            if record.body is None:
                self._records.pop((record.kind, record.id), None)
            else:
                self._records[record.kind, record.id] = record

    def _apply_records(self) -> None:
        settings = self._plane.settings
        if settings is not None:
            # No revision until the store's records are loaded, so that no router replaces a complete config.
            revision = self._revision if self._is_restored else NO_REVISION
            runtime_config = runtime_config_of(settings, tuple(self._records.values()), revision)
            self._plane.set_runtime_config(runtime_config, self._clock.now())

    def _wake(self) -> None:
        """Wake every watcher if there is a newer version."""
        if self._plane.version != self._woken_at:
            self._woken_at = self._plane.version
            self._news.set()
            self._news = asyncio.Event()

    _woken_at = 0
