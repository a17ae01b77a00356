"""What every store must keep, whatever database it is in."""

import asyncio
import os
import sqlite3
import subprocess
import sys
import time
import traceback
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, closing
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import event, make_url
from sqlalchemy.exc import IntegrityError

from serve_app.errors import ConfigError
from serve_app.ledger.entry import Entry, EntryOutcome
from serve_app.ledger.store import Change, Record, Spend, Store, StoreUnavailable
from serve_app.limits.limit import Window
from serve_app.pricing.usage import Usage
from serve_app.storage.journal_file import Journal
from serve_app.storage.journal_reader import orphans
from serve_app.storage.schema import StoreTooNew
from serve_app.storage.sql import SqlStore
from serve_app.storage.tables import METADATA
from tests.support.entries import NOON, begun, entry
from tests.support.gate import Gate
from tests.support.postgres import Server, postgres

pytestmark = pytest.mark.anyio

ROOT = Path(__file__).parents[2]
DAY = 86_400.0
PASSWORD = "s3same%2Fopen"
HOSTILE = ["'; DROP TABLE entries; --", '"quoted"', "%s %(x)s :x ?", "back\\slash", "\u2028𝄞", "x'||'y", "{}"]


@dataclass(frozen=True)
class Place:
    """
    A database for one test; `outages` are the ways in which it can fail, each until it is left.

    `readers_notice` is False where those who only read are not kept from it.
    """

    url: str
    outages: tuple[Callable[[], AbstractAsyncContextManager[None]], ...]
    readers_notice: bool

    def store(self, timeout_s: float = 20.0, retention_days: int = 90) -> SqlStore:
        return SqlStore(self.url, timeout_s, retention_days)


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with postgres() as server:
        yield server


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.database)])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The URL of an empty database, for one test."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'state' / 'ledger.sqlite3'}"
        return
    server: Server = request.getfixturevalue("server")
    name = f"sekha_test_{uuid.uuid4().hex}"
    server.run(f'CREATE DATABASE "{name}"')
    yield server.url(name)
    server.run(f'DROP DATABASE "{name}" WITH (FORCE)')


@pytest.fixture
async def place(database: str) -> AsyncIterator[Place]:
    if database.startswith("sqlite"):

        @asynccontextmanager
        async def locked() -> AsyncIterator[None]:
            with closing(sqlite3.connect(database.removeprefix("sqlite:///"))) as other:
                other.execute("BEGIN EXCLUSIVE")
                yield

        yield Place(database, (locked,), readers_notice=False)
        return
    direct = make_url(database)
    gate = Gate(direct.port or 0)
    await gate.open()

    def outage(begin: Callable[[], Awaitable[None]]) -> Callable[[], AbstractAsyncContextManager[None]]:
        @asynccontextmanager
        async def during() -> AsyncIterator[None]:
            await begin()
            yield
            await gate.reopen()

        return during

    url = f"postgresql://postgres:{PASSWORD}@127.0.0.1:{gate.port}/{direct.database}"
    yield Place(url, (outage(gate.shut), outage(gate.silent)), readers_notice=True)
    await gate.shut()


@pytest.fixture
async def store(place: Place) -> AsyncIterator[SqlStore]:
    store = place.store()
    await store.open()
    yield store
    await store.close()


def batch(first: int, last: int, **changes: object) -> list[Entry]:
    return [entry(number, **changes) for number in range(first, last + 1)]


def totals(spends: Sequence[Spend]) -> Counter[str]:
    names = ("attempts", "failed", "input_tokens", "output_tokens", "cost")
    return Counter({name: sum(getattr(spend, name) for spend in spends) for name in names})


async def test_batches_of_many_sizes_are_written_with_few_statements(database: str) -> None:
    """A driver keeps each of them, prepared: by their hundreds of rows, they were most of a control actor."""
    store, numbers, statements = SqlStore(database, 20.0), count(1), set[str]()
    await store.open()

    @event.listens_for(store._engine.sync_engine, "before_cursor_execute")
    def _note(*told: Any) -> None:
        if "INTO entries" in told[2]:
            statements.add(told[2])

    sizes = [1, 99, 100, 101, 250, 333, 433, 700, 999, 1000]
    for size in sizes:
        await store.write([entry(next(numbers)) for _ in range(size)])
    spent = sum(spend.attempts for spend in await store.spends())
    await store.close()

    assert spent == sum(sizes)
    assert len(statements) == 5  # of 1, 33, 50, 99 and 100 rows
    assert max(map(len, statements)) < 40_000


async def test_entries_come_back_as_they_were_newest_first(store: SqlStore) -> None:
    odd = entry(2, at=NOON + 1, cost=None, first_token_s=0.125, outcome=EntryOutcome.LOST)
    plain = entry(1)
    await store.write([plain, odd])

    assert await store.entries() == [odd, plain]
    assert await store.entries(limit=1) == [odd]
    assert await store.entries(before=NOON + 1) == [plain]
    assert await store.entries(tenant="acme") == [odd, plain]
    assert await store.entries(tenant="other") == []


async def test_nothing_written_is_nothing_there(store: SqlStore) -> None:
    await store.write([])

    assert await store.entries() == []
    assert await store.spends() == []
    assert await store.written() == {}
    assert await store.records() == (0, [])
    assert await store.changes() == []
    assert await store.prune(NOON) == 0


@pytest.mark.parametrize(
    "batches",
    [
        [batch(1, 5), batch(1, 5)],
        [batch(1, 3), batch(2, 5)],
        [batch(4, 5), batch(1, 3)],
        [batch(3, 5), batch(1, 4), batch(2, 2)],
        [[*batch(1, 5), *batch(3, 3)]],
        [list(reversed(batch(1, 5)))],
    ],
    ids=["twice", "overlapping", "out of order", "all over", "twice in one", "backwards"],
)
async def test_an_entry_counts_once_however_it_is_sent(store: SqlStore, batches: list[list[Entry]]) -> None:
    for each in batches:
        await store.write(each)

    assert [one.number for one in await store.entries()] == [5, 4, 3, 2, 1]
    assert totals(await store.spends()) == Counter(attempts=5, cost=5_000, failed=0)
    assert await store.written() == {"router-a": 5}


async def test_the_same_number_of_two_journals_are_two_entries(store: SqlStore) -> None:
    await store.write([entry(1), entry(1, journal="router-b"), entry(2, journal="router-b")])

    assert await store.written() == {"router-a": 1, "router-b": 2}
    assert totals(await store.spends())["attempts"] == 3


async def test_an_entry_that_is_there_is_never_changed(store: SqlStore) -> None:
    await store.write([entry(1)])
    await store.write([entry(1, cost=9, tenant="other")])

    assert await store.entries() == [entry(1)]


async def test_thousands_of_entries_go_in_one_batch(store: SqlStore) -> None:
    await store.write(batch(1, 3_000))
    await store.write(batch(2_500, 5_000))

    assert totals(await store.spends())["cost"] == 5_000_000


turns = count()

attempts = st.builds(
    entry,
    at=st.sampled_from([-DAY, -DAY / 2, -0.5, 0.0, DAY / 2, DAY]).map(lambda offset: NOON + offset),
    caller=st.sampled_from(["a", "b"]),
    provider_id=st.sampled_from(["p", "q"]),
    cost=st.none() | st.integers(0, 10**12),
    outcome=st.sampled_from(EntryOutcome),
    usage=st.booleans().map(lambda estimated: Usage(estimated=estimated)),
)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    made=st.lists(attempts, min_size=1, max_size=12),
    sent=st.lists(st.lists(st.integers(0, 11), max_size=8), max_size=4),
)
def test_the_sums_are_the_entries_to_the_nano_dollar(
    database: str, made: list[Entry], sent: list[list[int]]
) -> None:
    example = f"example-{next(turns)}"
    mine = [
        one._replace(number=number, journal=example, tenant=example)
        for number, one in enumerate(made, start=1)
    ]
    batches = [[mine[place % len(mine)] for place in places] for places in sent]

    async def sums() -> list[Spend]:
        store = SqlStore(database)
        await store.open()
        for each in batches:
            await store.write(each)
        found = await store.spends()
        await store.close()
        return [spend for spend in found if spend.tenant == example]

    found = asyncio.run(sums())

    there = {one.number: one for each in batches for one in each}.values()
    expected: Counter[tuple[float, str, str]] = Counter()
    for one in there:
        expected[Window.DAY.start(one.at), one.caller, one.provider_id] += one.cost or 0
    assert {(spend.day, spend.caller, spend.provider_id): spend.cost for spend in found} == dict(expected)
    assert sum(spend.attempts for spend in found) == len(there)
    failed = [one for one in there if one.outcome in (EntryOutcome.FAILED, EntryOutcome.LOST)]
    assert sum(spend.failed for spend in found) == len(failed)


async def test_tokens_are_summed(store: SqlStore) -> None:
    usages = [Usage(10, 3), Usage(100, 20), Usage(1, 0, estimated=True)]
    await store.write([entry(number, usage=usage) for number, usage in enumerate(usages, start=1)])

    [spend] = await store.spends()
    assert spend.input_tokens == sum(usage.input_tokens for usage in usages)
    assert spend.output_tokens == sum(usage.output_tokens for usage in usages)
    assert [one.usage for one in await store.entries()] == usages[::-1]


async def test_sums_are_asked_for_by_day(store: SqlStore) -> None:
    await store.write([entry(number, at=NOON + number * DAY) for number in range(4)])
    today = Window.DAY.start(NOON)

    found = await store.spends(since=today + DAY, until=today + 3 * DAY)

    assert [spend.day for spend in found] == [today + DAY, today + 2 * DAY]


async def test_money_and_tokens_do_not_overflow(store: SqlStore) -> None:
    await store.write([entry(1, cost=10**30), entry(2, cost=10**12)])

    [spend] = await store.spends()
    assert spend.cost == 2**53 + 10**12


async def test_everything_is_there_after_a_restart(place: Place, store: SqlStore) -> None:
    await store.write(batch(1, 3))
    await store.change([Record("limit", "l", {"amount": 1})], Change(NOON, "root", "set", "limit l"))
    before = (await store.entries(), await store.spends(), await store.records(), await store.changes())
    await store.close()

    again = place.store()
    await again.open()
    assert (
        await again.entries(),
        await again.spends(),
        await again.records(),
        await again.changes(),
    ) == before
    assert await again.written() == {"router-a": 3}
    await again.close()


async def test_a_batch_goes_in_whole_or_not_at_all(store: SqlStore) -> None:
    await store.write(batch(1, 2))
    with pytest.raises(IntegrityError):
        await store.write([*batch(2, 5), entry(6)._replace(task=None)])

    assert len(await store.entries()) == 2
    assert totals(await store.spends())["attempts"] == 2
    assert await store.written() == {"router-a": 2}


async def test_a_change_goes_in_whole_or_not_at_all(store: SqlStore) -> None:
    with pytest.raises(IntegrityError):
        await store.change([Record("limit", "l", {})], replace(Change(NOON, "r", "set", "l"), at=None))

    assert await store.records() == (0, [])


async def test_a_store_that_is_down_says_so_at_once_and_works_again_afterwards(place: Place) -> None:
    store = place.store(timeout_s=1)
    await store.open()
    calls: list[Callable[[], Awaitable[object]]] = [
        lambda: store.write(batch(1, 9)),
        lambda: store.change([], Change(NOON, "r", "set", "l")),
        lambda: store.prune(NOON),
    ]
    if place.readers_notice:
        calls += [store.open, store.spends]
    for outage in place.outages:
        await store.write(batch(1, 2))
        async with outage():
            for call in calls:
                began = time.monotonic()
                with pytest.raises(StoreUnavailable, match="does not answer") as caught:
                    await call()
                assert time.monotonic() - began < 2
                assert "s3same" not in "".join(traceback.format_exception(caught.value)) + repr(caught.value)
        await store.write(batch(1, 9))

    assert len(await store.entries()) == 9
    assert totals(await store.spends())["attempts"] == 9
    await store.close()


@pytest.mark.database
async def test_a_store_that_was_never_there_says_so(tmp_path: Path, server: Server) -> None:
    (tmp_path / "file").write_text("no folder")
    for url in (
        f"sqlite:///{tmp_path}/file/ledger.sqlite3",
        f"sqlite:///{tmp_path}/file",
        f"postgresql://u:s3same@127.0.0.1:{server.port}/no-such-database",
        f"postgresql://postgres@127.0.0.1:{server.port}/no-such-database?password=s3same",
        "postgresql://u:s3same@127.0.0.1:1/x",
        "postgresql://u:s3same@no-such-host.invalid/x",
    ):
        store = SqlStore(url, timeout_s=2)
        with pytest.raises(StoreUnavailable) as caught:
            await store.open()
        assert "s3same" not in "".join(traceback.format_exception(caught.value))
        await store.close()


@pytest.mark.parametrize(
    "url",
    ["mysql://u:s3same@h/x", "s3same", "postgresql://u:s3same@h:port/x", "sqlite://", "sqlite:///:memory:"],
)
def test_a_url_that_is_none_is_refused_without_being_quoted(url: str) -> None:
    with pytest.raises(ConfigError, match=r"storage\.url") as caught:
        SqlStore(url)

    assert "s3same" not in "".join(traceback.format_exception(caught.value))


async def test_old_entries_go_and_their_sums_stay(place: Place) -> None:
    store = place.store(retention_days=30)
    await store.open()
    await store.write([entry(number, at=NOON - number * DAY) for number in range(60)])
    before = totals(await store.spends())

    assert await store.prune(NOON) == 29
    assert len(await store.entries()) == 31
    assert totals(await store.spends()) == before
    assert await store.prune(NOON) == 0
    await store.close()


async def test_days_of_long_ago_become_their_months_and_lose_nothing(store: SqlStore) -> None:
    later = NOON + 430 * DAY
    await store.write([entry(number, at=NOON + number * DAY, cost=number) for number in range(60)])
    before = totals(await store.spends())

    for _ in range(2):
        await store.prune(later)
        found = await store.spends()
        assert totals(found) == before
        months = [spend.day for spend in found if spend.day < Window.MONTH.start(later - 400 * DAY)]
        assert months == [Window.MONTH.start(NOON)]
        assert all(spend.attempts == 1 for spend in found if spend.day not in months)

    await store.write([entry(60, at=NOON, cost=5)])
    await store.prune(later)
    assert totals(await store.spends())["cost"] == before["cost"] + 5
    assert [spend.day for spend in await store.spends()][:1] == [Window.MONTH.start(NOON)]


async def test_journals_nobody_hears_of_are_forgotten(store: SqlStore) -> None:
    await store.write([entry(1), entry(1, journal="router-b", at=NOON - 31 * DAY)])
    await store.prune(NOON)

    assert await store.written() == {"router-a": 1}


async def test_records_are_set_changed_and_taken_away_and_each_time_the_epoch_grows(store: SqlStore) -> None:
    audit = [Change(NOON + step, "root", "set", f"step {step}", None, {"step": step}) for step in range(3)]

    first = [Record("limit", "a", {"amount": 1}), Record("tenant", "a", {"names": ["x", None, 1.5]})]
    assert await store.change(first, audit[0]) == 1
    assert await store.records() == (1, first)
    second = [Record("limit", "a", {"amount": 2}), Record("limit", "none", None)]
    assert await store.change(second, audit[1]) == 2
    assert await store.records() == (2, [second[0], first[1]])
    assert await store.change([Record("limit", "a", None), Record("tenant", "a", None)], audit[2]) == 3
    assert await store.records() == (3, [])

    assert await store.changes() == audit[::-1]
    assert await store.changes(limit=1, before=NOON + 2) == [audit[1]]


async def test_changes_at_the_same_moment_each_get_an_epoch(place: Place, store: SqlStore) -> None:
    other = place.store()
    stores = [store, other] * 5
    made = await asyncio.gather(
        *(each.change([], Change(NOON, "root", "set", str(turn))) for turn, each in enumerate(stores))
    )

    assert sorted(made) == list(range(1, 11))
    await other.close()


async def test_readers_see_whole_batches_while_one_writes(place: Place, store: SqlStore) -> None:
    reader = place.store()
    done = False

    async def read() -> int:
        looks = 0
        while not done:
            [spend] = await reader.spends() or [None]
            assert spend is None or spend.attempts % 50 == 0
            assert len(await reader.entries(limit=10_000)) % 50 == 0
            looks += 1
        return looks

    readers = [asyncio.create_task(read()) for _ in range(3)]
    for turn in range(10):
        await store.write(batch(turn * 50 + 1, turn * 50 + 50))
    done = True
    assert all(looks > 0 for looks in await asyncio.gather(*readers))
    await reader.close()


async def test_two_writers_of_the_same_entries_count_them_once(place: Place) -> None:
    """One authority goes and the next one is there already."""
    stores = [place.store() for _ in range(3)]
    await asyncio.gather(*(store.open() for store in stores))
    tenants = ["b", "a", "c"]

    async def write(store: Store, turn: int) -> None:
        entries = [entry(number, tenant=tenants[number % 3]) for number in range(1, 61)]
        for start in range(0, 60, 20):
            await store.write(entries[start : start + 20][:: -1 if turn % 2 else 1])

    await asyncio.gather(*(write(store, turn) for turn, store in enumerate(stores)))

    assert totals(await stores[0].spends())["attempts"] == 60
    for store in stores:
        await store.close()


# Batches of fifty, each told of when it is in.
AUTHORITY = """
import asyncio, itertools, sys
from serve_app.storage.sql import SqlStore
from tests.support.entries import entry

async def write():
    store = SqlStore(sys.argv[1])
    await store.open()
    for first in itertools.count(1, 50):
        await store.write([entry(number) for number in range(first, first + 50)])
        print(first + 49, flush=True)

asyncio.run(write())
"""


def test_an_authority_killed_in_the_middle_of_writing_leaves_whole_batches(database: str) -> None:
    child = subprocess.Popen(
        [sys.executable, "-c", AUTHORITY, database], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    assert child.stdout is not None
    told = [int(child.stdout.readline()) for _ in range(5)]
    child.kill()
    told += [int(line) for line in child.stdout.read().splitlines()]
    child.wait()

    async def look() -> tuple[int, int, int]:
        store = SqlStore(database)
        await store.open()
        entries, sums, marks = await store.entries(10**6), await store.spends(), await store.written()
        await store.close()
        return len(entries), totals(sums)["attempts"], marks["router-a"]

    entries, attempts, mark = asyncio.run(look())
    assert entries == attempts == mark
    assert mark - max(told) in (0, 50)


# Somebody else with the same store: comes, writes so many entries, and goes.
ANOTHER = """
import asyncio, sys
from serve_app.storage.sql import SqlStore
from tests.support.entries import entry

async def write():
    store = SqlStore(sys.argv[1])
    await store.open()
    await store.write([entry(number, journal="router-b") for number in range(1, 1 + int(sys.argv[2]))])
    await store.close()

asyncio.run(write())
"""


async def test_a_store_that_is_opened_twice_in_one_process_loses_nothing_to_another_process(
    database: str,
) -> None:
    """SQLite's locks belong to the process, and end with any descriptor of the file that it closes."""

    async def another(count: int) -> None:
        child = await asyncio.create_subprocess_exec(
            sys.executable, "-c", ANOTHER, database, str(count), cwd=ROOT
        )
        assert await child.wait() == 0

    first, second = SqlStore(database), SqlStore(database)
    await first.open()
    await first.write(batch(1, 1))
    await second.open()
    await another(0)
    await first.write(batch(2, 99))
    await another(200)
    await first.write(batch(100, 150))

    assert len(await second.entries(1_000)) == totals(await second.spends())["attempts"] == 350
    assert await second.written() == {"router-a": 150, "router-b": 200}
    for store in (first, second):
        await store.close()


async def test_a_dead_router_s_journal_counts_once_however_often_an_heir_begins(
    store: SqlStore, tmp_path: Path
) -> None:
    journal = Journal(tmp_path / "journal", "router-a")
    for number in range(1, 11):
        journal.append(entry(number), journal.opened(begun()))
    journal.opened(begun(cost=7_000))
    await store.write(journal.pending(limit=4))
    journal.written(4)
    journal.append(entry(11))
    journal.close()

    for stops_after in (3, 100):
        [orphan] = orphans(tmp_path / "journal")
        await store.write(list(orphan.entries())[:stops_after])
        orphan.release()
    [orphan] = orphans(tmp_path / "journal")
    await store.write(list(orphan.entries()))
    orphan.discard()

    assert totals(await store.spends()) == Counter(attempts=12, failed=1, cost=18_000)
    assert await store.written() == {"router-a": 12}


@pytest.mark.parametrize("text", [*HOSTILE, "nul\0byte", "half \ud800 a pair"])
async def test_no_text_is_taken_for_sql(store: SqlStore, text: str) -> None:
    names = ("request_id", "tenant", "caller", "provider_id", "model_id", "task", "operation", "journal")
    await store.write([entry(1, **dict.fromkeys(names, text))])
    await store.change([Record(text, text, {"text": "'\0;"})], Change(NOON, text, text, text, {"a": "';"}))

    [found] = await store.entries(tenant=text)
    _, [record] = await store.records()
    [change] = await store.changes()
    if text in HOSTILE:
        assert {getattr(found, name) for name in names} == {text}
        assert record == Record(text, text, {"text": "'\0;"})
        assert change == Change(NOON, text, text, text, {"a": "';"})
    await store.write([entry(1, **dict.fromkeys(names, text))])
    assert totals(await store.spends())["attempts"] == 1
    await store.change([Record(text, text, None)], Change(NOON, text, text, text))
    assert await store.records() == (2, [])


async def test_the_migrations_lead_to_the_tables(store: SqlStore) -> None:
    async with store._engine.connect() as connection:
        difference = await connection.run_sync(
            lambda plain: compare_metadata(MigrationContext.configure(plain), METADATA)
        )

    assert difference == []


async def test_the_sums_of_a_store_from_before_machines_were_metered_stay(store: SqlStore) -> None:
    await store.write([entry(1)])
    async with store._engine.begin() as connection:
        await connection.exec_driver_sql("ALTER TABLE spends DROP COLUMN machine_ms")
        for table in ("responses", "response_items"):
            await connection.exec_driver_sql(f"DROP TABLE {table}")
        for table in ("entries", "spends"):
            await connection.exec_driver_sql(f"ALTER TABLE {table} DROP COLUMN cache_saving")
        await connection.exec_driver_sql("UPDATE alembic_version SET version_num = '0001'")

    await store.open()
    [before] = await store.spends()
    await store.write([entry(2, usage=Usage(machine_ms=1500)), entry(3, usage=Usage(machine_ms=500))])
    [after] = await store.spends()

    assert (before.cost, before.machine_ms) == (1_000, 0)
    assert (after.cost, after.machine_ms) == (3_000, 2_000)


async def test_the_sums_of_a_store_from_before_caches_were_counted_stay(store: SqlStore) -> None:
    await store.write([entry(1)])
    async with store._engine.begin() as connection:
        for table in ("entries", "spends"):
            await connection.exec_driver_sql(f"ALTER TABLE {table} DROP COLUMN cache_saving")
        await connection.exec_driver_sql("DROP TABLE response_items")
        await connection.exec_driver_sql("UPDATE alembic_version SET version_num = '0003'")

    await store.open()
    [before] = await store.spends()
    [old] = await store.entries()
    await store.write([entry(2, cache_saving=700), entry(3, cache_saving=-200)])
    [after] = await store.spends()

    assert (before.cost, before.cache_saving, old.cache_saving) == (1_000, 0, 0)
    assert (after.cost, after.cache_saving) == (3_000, 500)
    assert [found.cache_saving for found in await store.entries()] == [-200, 700, 0]


async def test_several_can_start_on_an_empty_database_at_once(place: Place) -> None:
    stores = [place.store() for _ in range(4)]
    await asyncio.gather(*(store.open() for store in stores))
    for number, store in enumerate(stores, start=1):
        await store.open()
        await store.write([entry(number)])

    assert await stores[0].written() == {"router-a": 4}
    for store in stores:
        await store.close()


async def test_a_store_of_a_later_version_is_left_alone(store: SqlStore) -> None:
    async with store._engine.begin() as connection:
        await connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")

    with pytest.raises(StoreTooNew, match="9999"):
        await store.open()


async def test_nobody_else_can_read_the_file(tmp_path: Path) -> None:
    folder = tmp_path / "state"
    store = SqlStore(f"sqlite:///{folder}/ledger.sqlite3")
    await store.open()
    await store.write([entry(1)])

    assert folder.stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in folder.iterdir()} == {0o600}
    assert len(os.listdir(folder)) == 3, "the file, its log, and the memory they share"
    await store.close()
