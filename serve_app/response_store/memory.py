"""A store of responses in memory, for a gateway without a database."""

from collections.abc import Sequence

from serve_app.response_store.stored_response import Chain, StoredResponse, is_too_long

MOST_RESPONSES = 10_000
MOST_TOTAL_BYTES = 64_000_000


class MemoryResponses:
    """
    Keeps responses until the process ends; the oldest make room for new ones.

    Args:
        most: how many responses it keeps.
        most_bytes: how large they may be together.
    """

    def __init__(self, most: int = MOST_RESPONSES, most_bytes: int = MOST_TOTAL_BYTES) -> None:
        self._most = most
        self._most_bytes = most_bytes
        self._kept: dict[tuple[str, str], StoredResponse] = {}  # in the order of their creation
        self._items: dict[tuple[str, str], frozenset[str]] = {}
        self._bytes = 0

    async def get(self, tenant: str, response_id: str, now: float) -> StoredResponse | None:
        """Return a tenant's response; None without one of this id."""
        found = self._kept.get((tenant, response_id))
        return None if found is None or found.expires_at <= now else found

    async def chain(self, tenant: str, response_id: str, now: float) -> Chain:
        """Return a tenant's response after all that it goes on from."""
        found: list[StoredResponse] = []
        wanted: str | None = response_id
        while wanted is not None:
            stored = await self.get(tenant, wanted, now)
            if stored is None:
                return Chain(missing=wanted)
            found.append(stored)
            if is_too_long(one.size for one in found):
                return Chain(is_too_long=True)
            wanted = stored.previous_id
        return Chain(tuple(reversed(found)))

    async def with_items(self, tenant: str, item_ids: Sequence[str], now: float) -> Chain:
        """Return a tenant's responses in which these items are, the oldest first."""
        wanted = set(item_ids)
        found: list[StoredResponse] = []
        for key in reversed(self._kept):
            if key[0] == tenant and wanted & self._items.get(key, frozenset()):
                stored = await self.get(*key, now)
                if stored is not None:
                    wanted -= self._items[key]
                    found.append(stored)
        if is_too_long(one.size for one in found):
            return Chain(is_too_long=True)
        return Chain(tuple(reversed(found)))

    async def put(self, stored: StoredResponse, item_ids: Sequence[str] = ()) -> None:
        """Keep a response under an id that is new, with the ids of the items that it said."""
        self._kept[stored.tenant, stored.id] = stored
        self._items[stored.tenant, stored.id] = frozenset(item_ids)
        self._bytes += stored.size
        while len(self._kept) > self._most or self._bytes > self._most_bytes:
            self._drop([next(iter(self._kept))])

    async def delete(self, tenant: str, response_id: str, now: float) -> bool:
        """Delete a tenant's response; return whether there was one."""
        found = await self.get(tenant, response_id, now)
        return found is not None and self._drop([(tenant, response_id)]) == 1

    async def delete_tenant(self, tenant: str, most: int) -> int:
        """Delete up to `most` responses of a tenant; return how many."""
        return self._drop([key for key in self._kept if key[0] == tenant][:most])

    async def purge(self, now: float, most: int) -> int:
        """Delete up to `most` responses that have expired; return how many."""
        expired = [key for key, stored in self._kept.items() if stored.expires_at <= now]
        return self._drop(expired[:most])

    def _drop(self, keys: Sequence[tuple[str, str]]) -> int:
        dropped = [self._kept.pop(key) for key in keys]
        for key in keys:
            self._items.pop(key, None)
        self._bytes -= sum(stored.size for stored in dropped)
        return len(dropped)
