"""The store in a database: SQLite for one machine, PostgreSQL for several."""

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from operator import add, itemgetter
from pathlib import Path
from typing import Any

import orjson
from sqlalchemy import Row, Table, Text, case, delete, inspect, select, tuple_
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from serve_app.ledger.entry import CORRECTION, IDLE, Entry, EntryOutcome
from serve_app.ledger.store import Change, Record, Spend
from serve_app.limits.limit import DAY_S, Window
from serve_app.storage.database import cut_off_after, database_url, engine_for, prepare_file, troubles
from serve_app.storage.lines import clean, entry_fields, entry_of, tokens
from serve_app.storage.responses import SqlResponses
from serve_app.storage.schema import is_up_to_date, upgrade
from serve_app.storage.tables import CHANGES, ENTRIES, EPOCH, JOURNALS, RECORDS, SPENDS

DAILY_SUMS_S = 400 * DAY_S
SILENT_JOURNAL_S = 30 * DAY_S
UPGRADE_TIMEOUT_S = 600.0
GRACE_S = 0.25
PRUNED_AT_ONCE = 5_000

_FAILED = (EntryOutcome.FAILED, EntryOutcome.LOST)  # a caller's disconnect is not a failure
_WHOSE = ("day", "tenant", "caller", "provider_id", "model_id")
_SUMMED = ("attempts", "failed", "input_tokens", "output_tokens", "cost", "machine_ms", "cache_saving")
_PAYER = itemgetter(*_WHOSE[1:])
_TEXTS = tuple(
    column.name for column in ENTRIES.c if isinstance(column.type, Text) and column is not ENTRIES.c.usage
)

_Spend = tuple[tuple[Any, ...], tuple[int, ...]]  # values of _WHOSE, and of _SUMMED


class SqlStore:
    """
    A `ledger.store.Store` at a URL such as `sqlite:////path/to/file` or `postgresql://user@host/name`.

    A call takes at most `timeout_s` (the `open` that migrates tables may take longer) and raises
    StoreUnavailable if the database does not answer. Programming errors are raised as SQLAlchemy raises them.
    The constructor raises ConfigError for an invalid URL, and does not connect. No message contains the URL's
    password.

    Attributes:
        responses: the responses that are kept for callers, in the same database.
    """

    def __init__(self, url: str, timeout_s: float = 5.0, retention_days: int = 90) -> None:
        self._url = database_url(url)
        self._timeout_s = timeout_s
        self._retention_s = retention_days * DAY_S
        self._engine = engine_for(self._url, timeout_s)
        self._is_sqlite = self._url.get_backend_name() == "sqlite"
        # Built once, because SQLAlchemy caches a compiled statement with the object.
        self._taking = self._insert(ENTRIES).on_conflict_do_nothing()
        self._taking = self._taking.returning(ENTRIES.c.journal, ENTRIES.c.number)
        self._adding = _adding(self._insert(SPENDS))
        self._marking = _marking(self._insert(JOURNALS))
        self.responses = SqlResponses(self._transaction)

    async def open(self) -> None:
        """Connect, and migrate the tables to this version; raise StoreTooNew if they are of a newer one."""
        if self._is_sqlite:
            with troubles(self._url):
                await asyncio.to_thread(prepare_file, Path(self._url.database or ""), self._timeout_s)
        async with self._transaction() as connection:
            done = await connection.run_sync(is_up_to_date)
        if not done:
            async with self._transaction(writes=True, timeout_s=UPGRADE_TIMEOUT_S) as connection:
                await connection.run_sync(upgrade)

    async def close(self) -> None:
        """Close the connections; the next call opens new ones."""
        with troubles(self._url):
            await self._engine.dispose()

    async def write(self, entries: Sequence[Entry]) -> None:
        """Write all of these entries and add them to the sums, or none; skip those that are there already."""
        rows = {(row["journal"], row["number"]): row for row in map(_entry_row, reversed(entries))}
        if not rows:
            return
        async with self._transaction(writes=True) as connection:
            # In order, here and below, so that two writers (an old and a new control plane) do not deadlock.
            taken = await connection.execute(self._taking, [rows[key] for key in sorted(rows)])
            await self._add(connection, _sums(_spend(rows[journal, number]) for journal, number in taken))
            await self._mark(connection, rows.values())

    async def written(self) -> Mapping[str, int]:
        """Return the highest number written, for every journal with entries in the last 30 days."""
        async with self._transaction() as connection:
            found = await connection.execute(select(JOURNALS.c.journal, JOURNALS.c.written))
            return {row.journal: row.written for row in found}

    async def spends(self, since: float = 0.0, until: float | None = None) -> Sequence[Spend]:
        """Return the sums of the days from `since` to before `until`, in order."""
        query = select(SPENDS).where(SPENDS.c.day >= since).order_by(*SPENDS.primary_key)
        if until is not None:
            query = query.where(SPENDS.c.day < until)
        async with self._transaction() as connection:
            return [Spend(**row._mapping) for row in await connection.execute(query)]

    async def entries(
        self, limit: int = 100, tenant: str | None = None, before: float | None = None
    ) -> Sequence[Entry]:
        """Return entries, the newest first; optionally of one tenant, or from before `before`."""
        query = select(ENTRIES).limit(limit)
        query = query.order_by(ENTRIES.c.at.desc(), ENTRIES.c.journal, ENTRIES.c.number.desc())
        if tenant is not None:
            query = query.where(ENTRIES.c.tenant == clean(tenant))
        if before is not None:
            query = query.where(ENTRIES.c.at < before)
        async with self._transaction() as connection:
            return [_entry(row) for row in await connection.execute(query)]

    async def records(self) -> tuple[int, Sequence[Record]]:
        """Return the revision, which counts the changes so far, and all settings of operators."""
        query = select(RECORDS).order_by(*RECORDS.primary_key)
        async with self._transaction() as connection:
            # The revision first: after a change in between it is outdated, and everything is read again.
            revision = await connection.scalar(select(EPOCH.c.number)) or 0
            found = await connection.execute(query)
            return revision, [Record(row.kind, row.id, orjson.loads(row.body)) for row in found]

    async def peek(self) -> Sequence[Record]:
        """Return the settings of operators without migrating the tables; empty if there are no tables yet."""
        async with self._transaction() as connection:
            if not await connection.run_sync(lambda plain: inspect(plain).has_table(RECORDS.name)):
                return []
        return (await self.records())[1]

    async def change(self, records: Sequence[Record], change: Change) -> int:
        """
        Set or remove these records and write the line of the audit log, all or nothing; return the new
        revision.
        """
        last = {(clean(record.kind), clean(record.id)): record.body for record in records}
        gone = [key for key, body in last.items() if body is None]
        kept = [
            {"kind": kind, "id": name, "body": _json(body)}
            for (kind, name), body in sorted(last.items(), key=lambda item: item[0])
            if body is not None
        ]
        step = self._insert(EPOCH).values(id=1, number=1)
        step = step.on_conflict_do_update(index_elements=["id"], set_={"number": EPOCH.c.number + 1})
        put = self._insert(RECORDS)
        put = put.on_conflict_do_update(index_elements=["kind", "id"], set_={"body": put.excluded.body})
        async with self._transaction(writes=True) as connection:
            revision = int(await connection.scalar(step.returning(EPOCH.c.number)))
            for kind, name in gone:
                await connection.execute(delete(RECORDS).where(RECORDS.c.kind == kind, RECORDS.c.id == name))
            if kept:
                await connection.execute(put, kept)
            await connection.execute(self._insert(CHANGES).values(_change_row(change, revision)))
        return revision

    async def changes(self, limit: int = 100, before: float | None = None) -> Sequence[Change]:
        """Return lines of the audit log, the newest first."""
        query = select(CHANGES).order_by(CHANGES.c.at.desc(), CHANGES.c.epoch.desc()).limit(limit)
        if before is not None:
            query = query.where(CHANGES.c.at < before)
        async with self._transaction() as connection:
            return [_change(row) for row in await connection.execute(query)]

    async def prune(self, now: float) -> int:
        """
        Delete entries after their retention time and journals silent for 30 days; return the number of
        entries.

        Sums of whole months that ended more than 400 days ago become one sum per month. `now` is in seconds
        since the epoch.
        """
        async with self._transaction(writes=True) as connection:
            await self._fold(connection, before=Window.MONTH.start(now - DAILY_SUMS_S))
            await connection.execute(delete(JOURNALS).where(JOURNALS.c.seen < now - SILENT_JOURNAL_S))
        key = tuple_(ENTRIES.c.journal, ENTRIES.c.number)
        old = select(ENTRIES.c.journal, ENTRIES.c.number).where(ENTRIES.c.at < now - self._retention_s)
        total = 0
        while True:
            async with self._transaction(writes=True) as connection:
                done = await connection.execute(delete(ENTRIES).where(key.in_(old.limit(PRUNED_AT_ONCE))))
            total += done.rowcount
            if done.rowcount < PRUNED_AT_ONCE:
                return total

    async def _add(self, connection: AsyncConnection, sums: Iterable[_Spend]) -> None:
        rows = [dict(zip(_WHOSE + _SUMMED, whose + amounts, strict=True)) for whose, amounts in sums]
        if not rows:
            return
        await connection.execute(self._adding, rows)

    async def _mark(self, connection: AsyncConnection, rows: Iterable[Mapping[str, Any]]) -> None:
        marks: dict[str, dict[str, Any]] = {}
        for row in rows:
            mark = marks.setdefault(row["journal"], {"written": 0, "seen": 0.0})
            mark["written"] = max(mark["written"], row["number"])
            mark["seen"] = max(mark["seen"], row["at"])
        await connection.execute(self._marking, [{"journal": name, **marks[name]} for name in sorted(marks)])

    async def _fold(self, connection: AsyncConnection, before: float) -> None:
        days = await connection.scalars(select(SPENDS.c.day).where(SPENDS.c.day < before).distinct())
        for day in [day for day in days if Window.MONTH.start(day) != day]:
            gone = await connection.execute(delete(SPENDS).where(SPENDS.c.day == day).returning(SPENDS))
            month = Window.MONTH.start(day)
            spends = (((month, *row[1 : len(_WHOSE)]), tuple(row[len(_WHOSE) :])) for row in gone)
            await self._add(connection, _sums(spends))

    def _insert(self, table: Table) -> Any:
        """Return an INSERT with the database's own ON CONFLICT clause."""
        return sqlite.insert(table) if self._is_sqlite else postgresql.insert(table)

    @asynccontextmanager
    async def _transaction(
        self, writes: bool = False, timeout_s: float | None = None
    ) -> AsyncIterator[AsyncConnection]:
        limit_s = timeout_s or self._timeout_s
        with troubles(self._url):
            async with asyncio.timeout(limit_s + GRACE_S), self._engine.connect() as connection:
                await connection.execution_options(writes=writes)
                async with cut_off_after(limit_s, connection), connection.begin():
                    yield connection


def _adding(insert: Any) -> Any:
    """Add the inserted amounts to existing sums."""
    more = {name: SPENDS.c[name] + insert.excluded[name] for name in _SUMMED}
    return insert.on_conflict_do_update(index_elements=_WHOSE, set_=more)


def _marking(insert: Any) -> Any:
    """Advance a journal's mark, and never move it back."""
    later = {
        name: case((insert.excluded[name] > JOURNALS.c[name], insert.excluded[name]), else_=JOURNALS.c[name])
        for name in ("written", "seen")
    }
    return insert.on_conflict_do_update(index_elements=["journal"], set_=later)


def _entry_row(entry: Entry) -> dict[str, Any]:
    row = entry_fields(entry)
    for name in _TEXTS:
        if isinstance(text := row[name], str):
            row[name] = clean(text)
    row["usage"] = _json(row["usage"])
    row["input_tokens"], row["output_tokens"] = tokens(entry.usage)
    row["estimated"] = entry.usage.estimated
    return row


def _entry(row: Row[Any]) -> Entry:
    return entry_of({**row._mapping, "usage": orjson.loads(row.usage)})


def _spend(row: Mapping[str, Any]) -> _Spend:
    """Return what one entry adds to the sums."""
    whose = (Window.DAY.start(row["at"]), *_PAYER(row))
    attempts = 0 if row["operation"] in (IDLE, CORRECTION) else 1
    failed = int(row["outcome"] in _FAILED)
    usage = row["usage"]
    machine_ms = orjson.loads(usage)["machine_ms"] if "machine_ms" in usage else 0
    input_tokens, output_tokens = row["input_tokens"], row["output_tokens"]
    cost, saving = row["cost"] or 0, row["cache_saving"]
    return whose, (attempts, failed, input_tokens, output_tokens, cost, machine_ms, saving)


def _sums(spends: Iterable[_Spend]) -> Iterable[_Spend]:
    """Return one sum for each day, tenant, caller, provider and model, in order."""
    found: dict[tuple[Any, ...], tuple[int, ...]] = {}
    for whose, amounts in spends:
        before = found.get(whose)
        found[whose] = amounts if before is None else tuple(map(add, before, amounts))
    return sorted(found.items())


def _change_row(change: Change, revision: int) -> dict[str, Any]:
    return {
        "epoch": revision,
        "at": change.at,
        "who": clean(change.who),
        "action": clean(change.action),
        "subject": clean(change.subject),
        "before": None if change.before is None else _json(change.before),
        "after": None if change.after is None else _json(change.after),
    }


def _change(row: Row[Any]) -> Change:
    return Change(
        at=row.at,
        who=row.who,
        action=row.action,
        subject=row.subject,
        before=None if row.before is None else orjson.loads(row.before),
        after=None if row.after is None else orjson.loads(row.after),
    )


def _json(value: Mapping[str, Any]) -> str:
    return orjson.dumps(value).decode("utf-8")
