"""The store in a database: SQLite for one machine, PostgreSQL for several."""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from operator import add, attrgetter
from pathlib import Path
from typing import Any, NamedTuple

import orjson
from sqlalchemy import Connection, Row, Select, Table, and_, case, delete, or_, select, tuple_
from sqlalchemy.dialects import postgresql, sqlite

from serve_app.accounting.entry import IDLE, Entry, EntryOutcome
from serve_app.accounting.limit import DAY_S, Window
from serve_app.control.store import Change, Record, Spend
from serve_app.storage.database import Database, database_url, private_file, troubles
from serve_app.storage.lines import MOST, clean, entry_of, tokens, usage_fields
from serve_app.storage.schema import is_up_to_date, upgrade
from serve_app.storage.tables import CHANGES, ENTRIES, EPOCH, JOURNALS, RECORDS, SPENDS

DAILY_SUMS_S = 400 * DAY_S
SILENT_JOURNAL_S = 30 * DAY_S
UPGRADE_TIMEOUT_S = 600.0
PRUNED_AT_ONCE = 5_000

_FAILED = (EntryOutcome.FAILED, EntryOutcome.LOST)  # a caller who left is no failure of ours
_WHOSE = ("day", "tenant", "caller", "provider_id", "model_id")
_SUMMED = ("attempts", "failed", "input_tokens", "output_tokens", "cost", "machine_ms")

_Key = tuple[str, int]
_Spend = tuple[tuple[Any, ...], tuple[int, ...]]  # the values of _WHOSE, and what they come to: of _SUMMED


class _EntryRow(NamedTuple):
    """A row of the entries: the columns of that table, in their order."""

    journal: str
    number: int
    request_id: str
    attempt: int
    at: float
    tenant: str
    caller: str
    provider_id: str
    model_id: str
    task: str
    operation: str
    outcome: str
    input_tokens: int
    output_tokens: int
    estimated: bool
    usage: str
    cost: int | None
    latency_s: float
    first_token_s: float | None

    @property
    def key(self) -> _Key:
        """What tells it from all others."""
        return self.journal, self.number


_MARKED = attrgetter("journal", "number", "at")


class SqlStore:
    """
    The port `control.store.Store`, for a URL such as `sqlite:////path/to/file` or `postgresql://user@host/name`.

    A call takes `timeout_s` at most (the first `open` of a new version longer) and raises StoreUnavailable
    when the database does not answer; a mistake of ours raises what SQLAlchemy has for it. Making one raises
    ConfigError for a URL that is none, and connects to nothing. No message holds the URL's password.
    """

    def __init__(self, url: str, timeout_s: float = 5.0, retention_days: int = 90) -> None:
        self._database = Database(database_url(url), timeout_s)
        self._retention_s = retention_days * DAY_S
        # Made once: what SQLAlchemy knows of a statement it keeps with it.
        self._taking = self._insert(ENTRIES)
        self._adding = _adding(self._insert(SPENDS))
        self._marking = _marking(self._insert(JOURNALS))

    async def open(self) -> None:
        """Connect and bring the tables to this version; StoreTooNew when they are of a later one."""
        if not self._database.is_postgres:
            with troubles(self._database.url):
                await asyncio.to_thread(private_file, Path(self._database.url.database or ""))
        if not await self._database.run(is_up_to_date):
            await self._database.run(upgrade, writes=True, timeout_s=UPGRADE_TIMEOUT_S)

    async def close(self) -> None:
        """Let go of the connections; the next call makes new ones."""
        await self._database.close()

    async def write(self, entries: Sequence[Entry]) -> None:
        """Take in entries and add them to the sums, all or nothing; those already there are passed over."""
        if entries:
            await self._database.run(partial(self._write, entries), writes=True)

    async def written(self) -> Mapping[str, int]:
        """The highest number taken in of every journal that was heard of in the last 30 days."""
        found = await self._rows(select(JOURNALS.c.journal, JOURNALS.c.written))
        return {row.journal: row.written for row in found}

    async def spends(self, since: float = 0.0, until: float | None = None) -> Sequence[Spend]:
        """The sums of the days from `since` to before `until`, in order."""
        query = select(SPENDS).where(SPENDS.c.day >= since).order_by(*SPENDS.primary_key)
        if until is not None:
            query = query.where(SPENDS.c.day < until)
        return [Spend(**row._mapping) for row in await self._rows(query)]

    async def entries(
        self, limit: int = 100, tenant: str | None = None, before: float | None = None
    ) -> Sequence[Entry]:
        """The newest entries first: of one tenant, or of all; of moments before `before`, or up to now."""
        query = select(ENTRIES).limit(limit)
        query = query.order_by(ENTRIES.c.at.desc(), ENTRIES.c.journal, ENTRIES.c.number.desc())
        if tenant is not None:
            query = query.where(ENTRIES.c.tenant == clean(tenant))
        if before is not None:
            query = query.where(ENTRIES.c.at < before)
        return [_entry(row) for row in await self._rows(query)]

    async def records(self) -> tuple[int, Sequence[Record]]:
        """Everything operators have set, and the epoch: how many changes there have been."""
        return await self._database.run(_records)

    async def change(self, records: Sequence[Record], change: Change) -> int:
        """Set (or take away) these and write the audit's line, all or nothing; the new epoch."""
        return await self._database.run(partial(self._change, records, change), writes=True)

    async def changes(self, limit: int = 100, before: float | None = None) -> Sequence[Change]:
        """The audit, newest first."""
        query = select(CHANGES).order_by(CHANGES.c.at.desc(), CHANGES.c.epoch.desc()).limit(limit)
        if before is not None:
            query = query.where(CHANGES.c.at < before)
        return [_change(row) for row in await self._rows(query)]

    async def prune(self, now: float) -> int:
        """
        Drop entries older than their retention, and journals silent for 30 days; how many entries that were.

        Sums of whole months that ended more than 400 days ago become one sum per month. `now` is in seconds
        since the epoch.
        """
        await self._database.run(partial(self._tidy, now), writes=True)
        total = 0
        while True:
            gone = await self._database.run(partial(_drop, now - self._retention_s), writes=True)
            total += gone
            if gone < PRUNED_AT_ONCE:
                return total

    async def _rows(self, query: Select[Any]) -> Sequence[Row[Any]]:
        return await self._database.run(lambda connection: connection.execute(query).all())

    def _write(self, entries: Sequence[Entry], connection: Connection) -> None:
        rows = {row.key: row for row in map(_entry_row, reversed(entries))}
        # First: of two writers (one that goes, one that comes) the second now waits, and then finds what the
        # first has taken in. In order, here and below: so that neither waits for the other for ever.
        self._mark(connection, rows.values())
        taken = _taken(connection, rows)
        new = [rows[key] for key in sorted(rows.keys() - taken)]
        if new:
            connection.execute(self._taking, [row._asdict() for row in new])
            self._add(connection, _sums(map(_spend, new)))

    def _change(self, records: Sequence[Record], change: Change, connection: Connection) -> int:
        last = {(clean(record.kind), clean(record.id)): record.body for record in records}
        kept = [
            {"kind": kind, "id": name, "body": _json(body)}
            for (kind, name), body in sorted(last.items(), key=lambda item: item[0])
            if body is not None
        ]
        step = self._insert(EPOCH).values(id=1, number=1)
        step = step.on_conflict_do_update(index_elements=["id"], set_={"number": EPOCH.c.number + 1})
        put = self._insert(RECORDS)
        put = put.on_conflict_do_update(index_elements=["kind", "id"], set_={"body": put.excluded.body})
        epoch = int(connection.scalar(step.returning(EPOCH.c.number)))
        for (kind, name), body in last.items():
            if body is None:
                connection.execute(delete(RECORDS).where(RECORDS.c.kind == kind, RECORDS.c.id == name))
        if kept:
            connection.execute(put, kept)
        connection.execute(self._insert(CHANGES).values(_change_row(change, epoch)))
        return epoch

    def _tidy(self, now: float, connection: Connection) -> None:
        # Journals before sums, as in `_write`, so that neither waits for the other for ever.
        connection.execute(delete(JOURNALS).where(JOURNALS.c.seen < now - SILENT_JOURNAL_S))
        before = Window.MONTH.start(now - DAILY_SUMS_S)
        days = connection.scalars(select(SPENDS.c.day).where(SPENDS.c.day < before).distinct()).all()
        for day in [day for day in days if Window.MONTH.start(day) != day]:
            gone = connection.execute(delete(SPENDS).where(SPENDS.c.day == day).returning(SPENDS)).all()
            month = Window.MONTH.start(day)
            spends = (((month, *row[1 : len(_WHOSE)]), tuple(row[len(_WHOSE) :])) for row in gone)
            self._add(connection, _sums(spends))

    def _add(self, connection: Connection, sums: Iterable[_Spend]) -> None:
        rows = [dict(zip(_WHOSE + _SUMMED, whose + amounts, strict=True)) for whose, amounts in sums]
        if rows:
            connection.execute(self._adding, rows)

    def _mark(self, connection: Connection, rows: Iterable[_EntryRow]) -> None:
        marks: dict[str, tuple[int, float]] = {}
        for journal, number, at in map(_MARKED, rows):
            written, seen = marks.get(journal, (0, 0.0))
            marks[journal] = max(written, number), max(seen, at)
        found = [
            {"journal": journal, "written": written, "seen": seen}
            for journal, (written, seen) in sorted(marks.items())
        ]
        connection.execute(self._marking, found)

    def _insert(self, table: Table) -> Any:
        """An INSERT that knows what to do about rows already there: each database has its own."""
        return postgresql.insert(table) if self._database.is_postgres else sqlite.insert(table)


def _taken(connection: Connection, keys: Iterable[_Key]) -> set[_Key]:
    """Which of these entries are there already; no more than a look for a journal that only goes on."""
    spans: dict[str, tuple[int, int]] = {}
    for journal, number in keys:
        first, last = spans.get(journal, (number, number))
        spans[journal] = min(first, number), max(last, number)
    there = or_(
        *(
            and_(ENTRIES.c.journal == journal, ENTRIES.c.number.between(first, last))
            for journal, (first, last) in spans.items()
        )
    )
    found = connection.execute(select(ENTRIES.c.journal, ENTRIES.c.number).where(there))
    return {(row.journal, row.number) for row in found}


def _records(connection: Connection) -> tuple[int, Sequence[Record]]:
    # The epoch first: a change in between then makes it look old, and it is read again.
    epoch = connection.scalar(select(EPOCH.c.number)) or 0
    found = connection.execute(select(RECORDS).order_by(*RECORDS.primary_key))
    return epoch, [Record(row.kind, row.id, orjson.loads(row.body)) for row in found]


def _drop(before: float, connection: Connection) -> int:
    """Drop some entries older than this; how many those were."""
    key = tuple_(ENTRIES.c.journal, ENTRIES.c.number)
    old = select(ENTRIES.c.journal, ENTRIES.c.number).where(ENTRIES.c.at < before).limit(PRUNED_AT_ONCE)
    return connection.execute(delete(ENTRIES).where(key.in_(old))).rowcount


def _adding(insert: Any) -> Any:
    """Add to the sums that are there."""
    more = {name: SPENDS.c[name] + insert.excluded[name] for name in _SUMMED}
    return insert.on_conflict_do_update(index_elements=_WHOSE, set_=more)


def _marking(insert: Any) -> Any:
    """Move a journal's mark on, and never back."""
    later = {
        name: case((insert.excluded[name] > JOURNALS.c[name], insert.excluded[name]), else_=JOURNALS.c[name])
        for name in ("written", "seen")
    }
    return insert.on_conflict_do_update(index_elements=["journal"], set_=later)


def _entry_row(entry: Entry) -> _EntryRow:
    usage = entry.usage
    read, written = tokens(usage)
    texts: Iterable[str] = (
        *(entry.journal, entry.request_id, entry.tenant, entry.caller),
        *(entry.provider_id, entry.model_id, entry.task, entry.operation),
    )
    if not "".join(texts).isprintable():  # nearly all are
        texts = map(clean, texts)
    journal, request_id, tenant, caller, provider_id, model_id, task, operation = texts
    return _EntryRow(
        journal=journal,
        number=entry.number,
        request_id=request_id,
        attempt=entry.attempt,
        at=entry.at,
        tenant=tenant,
        caller=caller,
        provider_id=provider_id,
        model_id=model_id,
        task=str(task),  # the driver is slow with words of an enumeration
        operation=operation,
        outcome=entry.outcome.value,
        input_tokens=read,
        output_tokens=written,
        estimated=usage.estimated,
        usage=_json(usage_fields(usage)),
        cost=None if entry.cost is None else min(entry.cost, MOST),
        latency_s=entry.latency_s,
        first_token_s=entry.first_token_s,
    )


def _entry(row: Row[Any]) -> Entry:
    return entry_of({**row._mapping, "usage": orjson.loads(row.usage)})


def _spend(row: _EntryRow) -> _Spend:
    """What one entry adds to the sums."""
    whose = (Window.DAY.start(row.at), row.tenant, row.caller, row.provider_id, row.model_id)
    attempts = 0 if row.operation == IDLE else 1
    failed = int(row.outcome in _FAILED)
    machine_ms = orjson.loads(row.usage)["machine_ms"] if "machine_ms" in row.usage else 0
    return whose, (attempts, failed, row.input_tokens, row.output_tokens, row.cost or 0, machine_ms)


def _sums(spends: Iterable[_Spend]) -> Iterable[_Spend]:
    """One for each day, tenant, caller, provider and model, in order."""
    found: dict[tuple[Any, ...], tuple[int, ...]] = {}
    for whose, amounts in spends:
        before = found.get(whose)
        found[whose] = amounts if before is None else tuple(map(add, before, amounts))
    return sorted(found.items())


def _change_row(change: Change, epoch: int) -> dict[str, Any]:
    return {
        "epoch": epoch,
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


def _json(said: Mapping[str, Any]) -> str:
    return orjson.dumps(said).decode("utf-8")
