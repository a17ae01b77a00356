"""The owner of the stored responses: how many calls it lets in, and what it deletes when."""

import asyncio
import logging
from collections.abc import Callable

import pytest

from serve_app.control import response_keeping
from serve_app.control.response_keeping import PURGE_EVERY_S, ResponseKeeping
from serve_app.control.runtime_config import RuntimeConfig, runtime_config_of
from serve_app.ledger.store import Record, StoreUnavailable
from serve_app.response_store.memory import MemoryResponses
from serve_app.response_store.stored_response import StoredResponse
from tests.support.clock import FakeClock
from tests.support.responses import response_id, stored
from tests.support.settings import two_providers

pytestmark = pytest.mark.anyio


class Gated(MemoryResponses):
    """A store whose reads wait until it is opened, and which may be down."""

    def __init__(self) -> None:
        super().__init__()
        self.open = asyncio.Event()
        self.inside = 0
        self.is_down = False

    async def get(self, tenant: str, response_id: str, now: float) -> StoredResponse | None:
        self.inside += 1
        await self.open.wait()
        self.inside -= 1
        return await super().get(tenant, response_id, now)

    async def purge(self, now: float, most: int) -> int:
        if self.is_down:
            raise StoreUnavailable("down")
        return await super().purge(now, most)


def kept(count: int, tenant: str = "acme") -> list[StoredResponse]:
    return [stored(number, tenant=tenant) for number in range(count)]


async def keep(store: MemoryResponses, *responses: StoredResponse) -> None:
    for one in responses:
        await store.put(one)


async def left(store: MemoryResponses, count: int, tenant: str = "acme") -> int:
    chains = [await store.chain(tenant, response_id(number), 0.0) for number in range(count)]
    return sum(chain.missing is None for chain in chains)


def config_with(*tenants: str) -> RuntimeConfig:
    return runtime_config_of(two_providers(tenants=[{"id": tenant} for tenant in tenants]), (), 1)


async def test_few_calls_are_in_the_store_at_once() -> None:
    store = Gated()
    keeping = ResponseKeeping(store, FakeClock())

    calls = [asyncio.create_task(keeping.get("acme", response_id(1))) for _ in range(20)]
    await asyncio.sleep(0.01)
    assert store.inside == response_keeping.MOST_AT_ONCE
    store.open.set()

    assert await asyncio.gather(*calls) == [None] * 20


async def test_calls_do_not_pile_up_before_a_store_that_is_down(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(response_keeping, "MOST_WAITING", 3)
    store = Gated()
    keeping = ResponseKeeping(store, FakeClock())
    calls = [asyncio.create_task(keeping.get("acme", response_id(1))) for _ in range(11)]
    await asyncio.sleep(0.01)

    with pytest.raises(StoreUnavailable, match="3 calls wait"):
        await keeping.chain("acme", response_id(1))

    store.open.set()
    await asyncio.gather(*calls)
    assert (await keeping.chain("acme", response_id(1))).missing


async def test_a_call_waits_for_its_turn_only_so_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(response_keeping, "WAITS_S", 0.01)
    store = Gated()
    keeping = ResponseKeeping(store, FakeClock())
    calls = [asyncio.create_task(keeping.get("acme", response_id(1))) for _ in range(8)]
    await asyncio.sleep(0)

    with pytest.raises(StoreUnavailable, match="take too long"):
        await keeping.put(stored(1), ())

    store.open.set()
    await asyncio.gather(*calls)
    await keeping.put(stored(1), ())
    assert await left(store, 2) == 1


async def test_what_has_expired_is_deleted_batch_by_batch_once_a_minute(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(response_keeping, "DELETED_AT_ONCE", 2)
    store, clock = MemoryResponses(), FakeClock(1000.0)
    keeping = ResponseKeeping(store, clock)
    await keep(store, *kept(5))

    async def after(seconds: float) -> int:
        clock.advance(seconds)
        await keeping.clean_up()
        return await left(store, 5)

    assert await after(1) == 5
    assert [await after(PURGE_EVERY_S), await after(0.2), await after(0.2)] == [3, 1, 0]
    await keep(store, *kept(1))
    assert [await after(1), await after(PURGE_EVERY_S)] == [1, 0]


async def test_a_store_that_is_down_is_asked_again(caplog: pytest.LogCaptureFixture) -> None:
    store, clock = Gated(), FakeClock(1000.0)
    keeping = ResponseKeeping(store, clock)
    store.open.set()
    await keep(store, *kept(1))
    store.is_down = True
    clock.advance(PURGE_EVERY_S)
    with caplog.at_level(logging.WARNING, logger="sekha.control"):
        await keeping.clean_up()
    assert "will try again: down" in caplog.text

    store.is_down = False
    clock.advance(PURGE_EVERY_S)
    await keeping.clean_up()
    assert await left(store, 1) == 0


@pytest.mark.parametrize(
    ("config", "remaining"),
    [(lambda: config_with("rival"), 0), (lambda: config_with("acme", "rival"), 3)],
    ids=["removed", "restored to its configuration"],
)
async def test_the_responses_of_a_removed_tenant_are_deleted(
    config: Callable[[], RuntimeConfig], remaining: int
) -> None:
    store = MemoryResponses()
    keeping = ResponseKeeping(store, FakeClock())
    await keep(store, *kept(3), *kept(2, "rival"))

    keeping.changed([Record("tenant", "acme", None), Record("key", "rival", None)], config())
    await keeping.clean_up()

    assert (await left(store, 3), await left(store, 2, "rival")) == (remaining, 2)


async def test_a_tenant_that_is_made_again_keeps_what_it_says_from_then_on() -> None:
    store = MemoryResponses()
    keeping = ResponseKeeping(store, FakeClock())

    keeping.changed([Record("tenant", "acme", None)], config_with())
    keeping.changed([Record("tenant", "acme", {"id": "acme"})], config_with("acme"))
    await keep(store, *kept(1))
    await keeping.clean_up()

    assert await left(store, 1) == 1
