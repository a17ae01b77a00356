"""Changes of operators at the authority: one after the other, and never less than the store has."""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest
from sqlalchemy.exc import IntegrityError

from serve_app.api.auth import Keyring
from serve_app.clock import SystemClock
from serve_app.config.key import new_key, revoked
from serve_app.control.control_cache import ControlCache
from serve_app.control.control_plane import ControlPlane
from serve_app.control.local_control_plane import LocalControlPlane
from serve_app.control.protocol import ControlUnreachable, Overtaken, Report, Snapshot
from serve_app.control.runtime_config import NO_REVISION
from serve_app.errors import AdminLimitReached, GatewayUnavailable, Unauthenticated
from serve_app.ledger.entry import Entry
from serve_app.ledger.store import Change, Record, StoreUnavailable
from serve_app.limits.allocator import EXPIRES_S
from serve_app.limits.messages import Want
from serve_app.pricing.target_prices import prices_of
from serve_app.storage.sql import SqlStore
from tests.support.clock import FakeClock
from tests.support.entries import entry
from tests.support.settings import two_providers

pytestmark = pytest.mark.anyio

SETTINGS = two_providers(auth={"admin_keys": ["rules"]}, admin={"changes_per_hour": 3})
LIMITED = two_providers(budgets={"limit": 1.0, "window": "total"})


class MoodyStore(SqlStore):
    """A store that can be away, or answer too late although it has written."""

    is_away = False
    is_late = False

    async def open(self) -> None:
        if self.is_away:
            raise StoreUnavailable("away")
        await super().open()

    async def change(self, records: Sequence[Record], change: Change) -> int:
        revision = await super().change(records, change)
        if self.is_late:
            raise StoreUnavailable("it was too late")
        return revision


@pytest.fixture
def store(tmp_path: Path) -> MoodyStore:
    return MoodyStore(f"sqlite:///{tmp_path}/ledger.db")


def authority(store: SqlStore, generation: str = "g1") -> LocalControlPlane:
    return LocalControlPlane(ControlPlane(generation, prices_of), SystemClock(), store)


@pytest.fixture
async def control(store: MoodyStore) -> AsyncIterator[LocalControlPlane]:
    control = authority(store)
    await control.start()
    await control.register("r", SETTINGS, Snapshot())
    yield control
    await control.stop()


def noted(action: str = "price_set") -> Change:
    return Change(time.time(), "ops", action, "price:first/first-chat")


def price(dollars: float) -> list[Record]:
    return [Record("price", "first/first-chat", {"cost_per_1k_input": dollars})]


async def eventually(condition: object) -> None:
    deadline = time.monotonic() + 10
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < deadline
        await asyncio.sleep(0.01)


async def test_who_decided_by_an_older_book_is_refused_and_changes_nothing(
    control: LocalControlPlane,
) -> None:
    seen = await control.runtime_config()
    await control.change(price(1), noted(), seen.revision)

    with pytest.raises(Overtaken):
        await control.change(price(2), noted(), seen.revision)

    assert (await control.runtime_config()).prices["first/first-chat"].cost_per_1k_input == 1


async def test_of_many_who_decided_by_the_same_book_one_gets_through(control: LocalControlPlane) -> None:
    seen = await control.runtime_config()

    ends = await asyncio.gather(
        *(control.change(price(n), noted(), seen.revision) for n in range(1, 9)), return_exceptions=True
    )

    assert sum(not isinstance(end, Overtaken) for end in ends) == 1
    assert (await control.runtime_config()).revision == seen.revision + 1


async def test_a_change_that_was_written_too_late_counts_all_the_same(
    control: LocalControlPlane, store: MoodyStore
) -> None:
    store.is_late = True
    with pytest.raises(StoreUnavailable):
        await control.change(price(1), noted())
    store.is_late = False

    # Whoever comes next finds it there, whether or not it was read again by then.
    runtime_config = await control.change(
        [Record("price", "second/second-chat", {"cost_per_1k_input": 5})], noted()
    )

    assert set(runtime_config.prices) == {"first/first-chat", "second/second-chat"}


async def test_a_revocation_that_was_written_too_late_is_taken_up_by_itself(
    control: LocalControlPlane, store: MoodyStore
) -> None:
    _, key = new_key(1.0)
    await control.change([Record("key", key.id, key.model_dump(mode="json"))], noted())
    store.is_late = True
    gone = Record("key", key.id, revoked(key, 2.0).model_dump(mode="json"))
    with pytest.raises(StoreUnavailable):
        await control.change([gone], noted("key_revoked"))

    await eventually(lambda: control._plane.runtime_config.keys[key.id].revoked_at is not None)  # type: ignore[union-attr]


async def test_no_limit_keeps_a_key_from_being_revoked(control: LocalControlPlane) -> None:
    for n in range(1, 4):
        await control.change(price(n), noted())
    with pytest.raises(AdminLimitReached):
        await control.change(price(4), noted())

    await control.change([], noted("key_revoked"))


async def test_an_authority_that_starts_without_its_store_takes_nothing_from_the_routers(
    control: LocalControlPlane, store: MoodyStore, tmp_path: Path
) -> None:
    clock = SystemClock()
    shown, key = new_key(1.0)
    await control.change([Record("key", key.id, key.model_dump(mode="json"))], noted())
    replica = ControlCache("r", SETTINGS, control, clock, prices_of(SETTINGS))
    keyring = Keyring.of(SETTINGS, {}, clock)
    replica.on_runtime_config(keyring.take)
    await replica.introduce()
    scope = {"headers": [(b"authorization", f"Bearer {shown}".encode())]}
    assert (await keyring.caller(scope)).name == key.id

    later = MoodyStore(f"sqlite:///{tmp_path}/ledger.db")
    later.is_away = True
    anew = authority(later, "g2")
    await anew.start()
    replica._control = anew
    await replica.introduce()

    assert (await keyring.caller(scope)).name == key.id
    with pytest.raises(ControlUnreachable):
        await anew.runtime_config()
    fresh = ControlCache("r2", SETTINGS, anew, clock, prices_of(SETTINGS))
    other = Keyring.of(SETTINGS, {}, clock)
    fresh.on_runtime_config(other.take)
    await fresh.introduce()
    assert fresh.runtime_config.revision == NO_REVISION
    with pytest.raises(GatewayUnavailable):  # a 401 would say that the key is not good
        await other.caller(scope)
    with pytest.raises(Unauthenticated):
        await other.caller({"headers": [(b"authorization", b"Bearer anything")]})

    later.is_away = False
    await eventually(lambda: anew._is_restored)
    await fresh.introduce()
    assert (await other.caller(scope)).name == key.id
    await anew.stop()


class PickyStore(SqlStore):
    """A store that will not have some entries, whoever asks, as a database refuses what breaks its rules."""

    async def write(self, entries: Sequence[Entry]) -> None:
        if any(entry.request_id == "unwritable" for entry in entries):
            raise IntegrityError("INSERT", {}, ValueError("NOT NULL constraint failed"))
        await super().write(entries)


async def test_an_entry_that_the_store_refuses_keeps_no_other_from_being_written(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store = PickyStore(f"sqlite:///{tmp_path}/ledger.db")
    control = authority(store)
    await control.start()
    await control.register("r", SETTINGS, Snapshot())
    lines = [entry(1), entry(2, request_id="unwritable"), entry(3)]

    await control.submit_recovered(lines)
    await eventually(lambda: control._plane._marks["router-a"].written == 3)

    assert [line.number for line in await control.entries()] == [3, 1]
    assert "unwritable" in caplog.text, "the whole of it is in the log, for nobody else has it any more"
    control._plane.take([entry(4)], 0.0)
    await eventually(lambda: control._plane._marks["router-a"].written == 4)
    await control.stop()


async def test_a_mistake_of_ours_ends_the_writing_no_more_than_a_store_that_is_down(
    store: MoodyStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    control = authority(store)
    await control.start()
    await control.register("r", SETTINGS, Snapshot())
    write, failures = store.write, [RuntimeError("a mistake"), KeyError("another one")]

    async def fails_twice(entries: Sequence[Entry]) -> None:
        if failures:
            raise failures.pop()
        await write(entries)

    monkeypatch.setattr(store, "write", fails_twice)
    await control.submit_recovered([entry(1)])

    await eventually(lambda: control._plane._marks["router-a"].written == 1)
    await control.stop()


async def test_who_starts_without_the_store_lends_nothing_before_all_routers_have_said_what_they_hold(
    store: MoodyStore,
) -> None:
    store.is_away = True
    clock = FakeClock()
    anew = LocalControlPlane(ControlPlane("g2", prices_of), clock, store)
    await anew.start()
    await anew.register("r", LIMITED, Snapshot())
    wants = {"gateway/total": Want(10, 10)}

    early = await anew.report(Report("r", 1, wants=wants))
    clock.advance(EXPIRES_S)
    late = await anew.report(Report("r", 2, wants=wants))

    assert early.grants["gateway/total"].later
    assert late.grants["gateway/total"].amount == 10
    await anew.stop()
