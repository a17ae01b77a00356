"""The responses in a database."""

from collections.abc import Callable, Collection, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any

from sqlalchemy import ColumnElement, Row, and_, delete, insert, literal, select, tuple_
from sqlalchemy.ext.asyncio import AsyncConnection

from serve_app.response_store.stored_response import (
    MOST_CHAIN_BYTES,
    MOST_TURNS,
    Chain,
    StoredResponse,
    is_too_long,
)
from serve_app.storage.lines import clean
from serve_app.storage.tables import RESPONSE_ITEMS, RESPONSES

Transaction = Callable[[bool], AbstractAsyncContextManager[AsyncConnection]]

_KEY = tuple_(RESPONSES.c.tenant, RESPONSES.c.id)
_HOLDER = tuple_(RESPONSE_ITEMS.c.tenant, RESPONSE_ITEMS.c.response_id)


class SqlResponses:
    """
    A `response_store.store.ResponseStore` in the tables of a store.

    Args:
        transaction: begins a transaction, which writes if its argument is true.
    """

    def __init__(self, transaction: Transaction) -> None:
        self._transaction = transaction

    async def get(self, tenant: str, response_id: str, now: float) -> StoredResponse | None:
        """Return a tenant's response; None without one of this id."""
        async with self._transaction(False) as connection:
            found = await connection.execute(select(RESPONSES).where(_is(tenant, response_id, now)))
            row = found.one_or_none()
        return None if row is None else _stored(row)

    async def chain(self, tenant: str, response_id: str, now: float) -> Chain:
        """Return a tenant's response after all that it goes on from; bodies are read if all are there."""
        async with self._transaction(False) as connection:
            links = (await connection.execute(_links(tenant, response_id, now))).all()
            if is_too_long(link.size for link in links):
                return Chain(is_too_long=True)
            missing = links[-1].previous_id if links else response_id
            if missing is not None:
                return Chain(missing=missing)
            ids = [link.id for link in links]
            query = select(RESPONSES).where(RESPONSES.c.tenant == clean(tenant), RESPONSES.c.id.in_(ids))
            found = {row.id: _stored(row) for row in await connection.execute(query)}
        gone = next((id_ for id_ in ids if id_ not in found), None)  # deleted between the two reads
        return Chain(missing=gone) if gone else Chain(tuple(found[id_] for id_ in reversed(ids)))

    async def with_items(self, tenant: str, item_ids: Sequence[str], now: float) -> Chain:
        """Return a tenant's responses in which these items are, the oldest first."""
        wanted = {clean(id_) for id_ in item_ids}
        async with self._transaction(False) as connection:
            newest: dict[str, Row[Any]] = {}
            for row in await connection.execute(_holding(tenant, wanted, now)):
                newest[row.item_id] = row
            sizes = {row.response_id: row.size for row in newest.values()}
            if is_too_long(sizes.values()):
                return Chain(is_too_long=True)
            query = select(RESPONSES).where(RESPONSES.c.tenant == clean(tenant), RESPONSES.c.id.in_(sizes))
            query = query.order_by(RESPONSES.c.created_at, RESPONSES.c.id)
            return Chain(tuple(map(_stored, await connection.execute(query))))

    async def put(self, stored: StoredResponse, item_ids: Sequence[str] = ()) -> None:
        """Keep a response under an id that is new, with the ids of the items that it said."""
        tenant = clean(stored.tenant)
        row = {**stored._asdict(), "tenant": tenant, "size": stored.size}
        items = [
            {"tenant": tenant, "item_id": id_, "response_id": stored.id}
            for id_ in sorted({clean(id_) for id_ in item_ids})
        ]
        async with self._transaction(True) as connection:
            await connection.execute(insert(RESPONSES).values(row))
            if items:
                await connection.execute(insert(RESPONSE_ITEMS), items)

    async def delete(self, tenant: str, response_id: str, now: float) -> bool:
        """Delete a tenant's response; return whether there was one."""
        return await self._delete(_is(tenant, response_id, now), most=1) > 0

    async def delete_tenant(self, tenant: str, most: int) -> int:
        """Delete up to `most` responses of a tenant; return how many."""
        return await self._delete(RESPONSES.c.tenant == clean(tenant), most)

    async def purge(self, now: float, most: int) -> int:
        """Delete up to `most` responses that have expired; return how many."""
        return await self._delete(RESPONSES.c.expires_at <= now, most)

    async def _delete(self, which: ColumnElement[bool], most: int) -> int:
        some = select(RESPONSES.c.tenant, RESPONSES.c.id).where(which).limit(most)
        async with self._transaction(True) as connection:
            keys = [(row.tenant, row.id) for row in await connection.execute(some)]
            if not keys:
                return 0
            await connection.execute(delete(RESPONSE_ITEMS).where(_HOLDER.in_(keys)))
            done = await connection.execute(delete(RESPONSES).where(_KEY.in_(keys)))
        return done.rowcount


def _is(tenant: str, response_id: str, now: float) -> ColumnElement[bool]:
    return and_(
        RESPONSES.c.tenant == clean(tenant),
        RESPONSES.c.id == clean(response_id),
        RESPONSES.c.expires_at > now,
    )


def _links(tenant: str, response_id: str, now: float) -> Any:
    """
    Return the query for ids and sizes of a chain, the newest first.

    It ends at the first response that does not exist, and at the first one beyond the limits.
    """
    first = select(
        RESPONSES.c.id, RESPONSES.c.previous_id, RESPONSES.c.size, RESPONSES.c.size.label("total"),
        literal(1).label("place"),
    ).where(_is(tenant, response_id, now))  # fmt: skip
    links = first.cte("links", recursive=True)
    further = (
        select(
            RESPONSES.c.id, RESPONSES.c.previous_id, RESPONSES.c.size,
            (links.c.total + RESPONSES.c.size).label("total"), (links.c.place + 1).label("place"),
        )
        .join(links, RESPONSES.c.id == links.c.previous_id)
        .where(
            RESPONSES.c.tenant == clean(tenant),
            RESPONSES.c.expires_at > now,
            links.c.place <= MOST_TURNS,
            links.c.total <= MOST_CHAIN_BYTES,
        )
    )  # fmt: skip
    links = links.union_all(further)
    return select(links.c.id, links.c.previous_id, links.c.size).order_by(links.c.place)


def _holding(tenant: str, item_ids: Collection[str], now: float) -> Any:
    """Return the query for the responses that hold these items, the newest last."""
    is_its = and_(
        RESPONSES.c.tenant == RESPONSE_ITEMS.c.tenant, RESPONSES.c.id == RESPONSE_ITEMS.c.response_id
    )
    return (
        select(RESPONSE_ITEMS.c.item_id, RESPONSE_ITEMS.c.response_id, RESPONSES.c.size)
        .join(RESPONSES, is_its)
        .where(
            RESPONSE_ITEMS.c.tenant == clean(tenant),
            RESPONSE_ITEMS.c.item_id.in_(item_ids),
            RESPONSES.c.expires_at > now,
        )
        .order_by(RESPONSES.c.created_at, RESPONSES.c.id)
    )


def _stored(row: Row[Any]) -> StoredResponse:
    fields = dict(row._mapping)
    del fields["size"]
    return StoredResponse(**fields)
