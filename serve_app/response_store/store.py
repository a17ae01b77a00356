"""The protocol of a store of responses."""

from collections.abc import Sequence
from typing import Protocol

from serve_app.response_store.stored_response import Chain, StoredResponse


class ResponseStore(Protocol):
    """
    A store of responses, each kept for one tenant.

    `now` is in seconds since the epoch; what has expired by then does not exist. A store in a database raises
    StoreUnavailable in every call.
    """

    async def get(self, tenant: str, response_id: str, now: float) -> StoredResponse | None:
        """Return a tenant's response; None without one of this id."""

    async def chain(self, tenant: str, response_id: str, now: float) -> Chain:
        """Return a tenant's response after all that it goes on from."""

    async def with_items(self, tenant: str, item_ids: Sequence[str], now: float) -> Chain:
        """
        Return a tenant's responses in which these items are, the oldest first; of several with the same item,
        the newest. Items that are in none are no error.
        """

    async def put(self, stored: StoredResponse, item_ids: Sequence[str] = ()) -> None:
        """Keep a response under an id that is new, with the ids of the items that it said."""

    async def delete(self, tenant: str, response_id: str, now: float) -> bool:
        """Delete a tenant's response; return whether there was one."""

    async def delete_tenant(self, tenant: str, most: int) -> int:
        """Delete up to `most` responses of a tenant; return how many."""

    async def purge(self, now: float, most: int) -> int:
        """Delete up to `most` responses that have expired; return how many."""
