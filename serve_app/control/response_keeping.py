"""The stored responses on the control plane's side: bounded in number, size and time."""

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from serve_app.clock import Clock
from serve_app.control.runtime_config import RuntimeConfig
from serve_app.ledger.store import Record, StoreUnavailable
from serve_app.response_store.store import ResponseStore
from serve_app.response_store.stored_response import Chain, StoredResponse

MOST_AT_ONCE = 8  # calls of the store; each may move a chain of 32 MB
MOST_WAITING = 400  # calls for their turn; the control actor runs a thousand of all kinds
WAITS_S = 5.0
DELETED_AT_ONCE = 200  # responses in one transaction
PURGE_EVERY_S = 60.0  # while nothing is left to delete; else with every turn of the writer

log = logging.getLogger("sekha.control")


class ResponseKeeping:
    """
    The owner of the stored responses of one gateway.

    Args:
        store: where they are kept.
        clock: the source of time.
    """

    def __init__(self, store: ResponseStore, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._turns = asyncio.Semaphore(MOST_AT_ONCE)
        self._waiting = 0
        self._removed_tenants: set[str] = set()
        self._purged_at = clock.monotonic()
        self._has_more = False

    async def get(self, tenant: str, response_id: str) -> StoredResponse | None:
        async with self._turn():
            return await self._store.get(tenant, response_id, self._clock.now())

    async def chain(self, tenant: str, response_id: str) -> Chain:
        async with self._turn():
            return await self._store.chain(tenant, response_id, self._clock.now())

    async def with_items(self, tenant: str, item_ids: Sequence[str]) -> Chain:
        async with self._turn():
            return await self._store.with_items(tenant, item_ids, self._clock.now())

    async def put(self, stored: StoredResponse, item_ids: Sequence[str]) -> None:
        async with self._turn():
            await self._store.put(stored, item_ids)

    async def delete(self, tenant: str, response_id: str) -> bool:
        async with self._turn():
            return await self._store.delete(tenant, response_id, self._clock.now())

    def changed(self, records: Sequence[Record], runtime_config: RuntimeConfig) -> None:
        """Delete the responses of tenants that a change removed, some with every call of `clean_up`."""
        tenants = {record.id for record in records if record.kind == "tenant"}
        gone = {tenant for tenant in tenants if not runtime_config.has_tenant(tenant)}
        self._removed_tenants = (self._removed_tenants - tenants) | gone

    async def clean_up(self) -> None:
        """
        Delete one batch of what has expired, and one of each removed tenant.

        A failure is logged, and the next call tries again.
        """
        try:
            for tenant in sorted(self._removed_tenants):
                if await self._store.delete_tenant(tenant, DELETED_AT_ONCE) < DELETED_AT_ONCE:
                    self._removed_tenants.discard(tenant)
            if self._has_more or self._clock.monotonic() - self._purged_at >= PURGE_EVERY_S:
                self._purged_at = self._clock.monotonic()
                self._has_more = False  # after a failure, in a minute
                purged = await self._store.purge(self._clock.now(), DELETED_AT_ONCE)
                self._has_more = purged == DELETED_AT_ONCE
        except StoreUnavailable as error:
            log.warning("stored responses were not deleted, will try again: %s", error)

    @asynccontextmanager
    async def _turn(self) -> AsyncIterator[None]:
        """
        Wait for one of the few places in the store. Raises StoreUnavailable if that would take too long.

        Callers give up sooner than a store that is down, and the control plane has other work to do.
        """
        if self._waiting >= MOST_WAITING:
            raise StoreUnavailable(f"{MOST_WAITING} calls wait for the stored responses already")
        self._waiting += 1
        try:
            async with asyncio.timeout(WAITS_S):
                await self._turns.acquire()
        except TimeoutError:
            raise StoreUnavailable("other calls of the stored responses take too long") from None
        finally:
            self._waiting -= 1
        try:
            yield
        finally:
            self._turns.release()
