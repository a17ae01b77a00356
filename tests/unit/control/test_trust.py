"""What becomes of limits while the authority cannot be asked: allowed within what was known, or denied."""

import asyncio
from typing import Any

import pytest

from serve_app.clock import Clock
from serve_app.control.control_cache import ControlCache
from serve_app.control.control_plane import ControlPlane
from serve_app.control.local_control_plane import LocalControlPlane
from serve_app.control.protocol import ControlUnreachable, Receipt, Report
from serve_app.errors import GatewayUnavailable, RateLimitExceeded
from serve_app.limits.limit import Limit
from serve_app.pricing.price import FREE
from serve_app.pricing.target_prices import prices_of
from tests.support.clock import FakeClock
from tests.support.settings import two_providers

pytestmark = pytest.mark.anyio

BUDGET = {"limit": 1e-6, "window": "total"}  # a thousand nano-dollars


class Cuttable(LocalControlPlane):
    """An authority whose line can be cut."""

    cut = False

    async def report(self, report: Report) -> Receipt:
        if self.cut:
            raise ControlUnreachable("the line is cut")
        return await super().report(report)


async def router(clock: Clock, on_unavailable: str) -> tuple[ControlCache, Cuttable, Limit]:
    settings = two_providers(budgets=BUDGET, storage={"on_unavailable": on_unavailable})
    authority = Cuttable(ControlPlane("g1", prices_of), clock)
    replica = ControlCache("a", settings, authority, clock, {"first/first-chat": FREE})
    await replica.start()
    (limit,) = replica.runtime_config.limits
    return replica, authority, limit


async def cut_off(authority: Cuttable, clock: FakeClock) -> None:
    authority.cut = True
    clock.advance(5 + 1)


async def test_requests_go_on_within_what_was_known_to_be_left() -> None:
    clock = FakeClock()
    replica, authority, limit = await router(clock, "allow")
    first = await replica.reservations.reserve([(limit, 100)], 5)
    await cut_off(authority, clock)

    holds = [await replica.reservations.reserve([(limit, 300)], 0.05) for _ in range(3)]

    with pytest.raises(GatewayUnavailable):  # 100 and 3 x 300 are all there is
        await replica.reservations.reserve([(limit, 1)], 0.05)
    replica.reservations.settle(holds[0])
    await replica.reservations.reserve([(limit, 300)], 0.05)
    replica.reservations.settle(first)
    await ended(replica)


async def test_what_was_reserved_on_trust_is_no_credit_when_it_is_given_back() -> None:
    clock = FakeClock()
    replica, authority, limit = await router(clock, "allow")
    await cut_off(authority, clock)
    replica.reservations.settle(await replica.reservations.reserve([(limit, 900)], 0.05))

    authority.cut = False
    await replica.flush()

    totals = await authority.totals()
    assert [limit_status.on_loan for limit_status in totals.limit_statuses] == [0]
    await ended(replica)


async def test_where_nothing_may_go_unaccounted_nothing_goes_on() -> None:
    clock = FakeClock()
    replica, authority, limit = await router(clock, "deny")
    await cut_off(authority, clock)

    with pytest.raises(GatewayUnavailable):
        await replica.reservations.reserve([(limit, 1)], 0.05)
    await ended(replica)


async def test_a_request_that_was_never_sent_is_not_counted() -> None:
    clock = FakeClock()
    settings = two_providers(rates={"requests_per_minute": 1, "provider": "first"})
    authority = Cuttable(ControlPlane("g1", prices_of), clock)
    replica = ControlCache("a", settings, authority, clock, {"first/first-chat": FREE})
    await replica.start()
    (limit,) = replica.runtime_config.limits

    for _ in range(3):
        replica.reservations.cancel(await replica.reservations.reserve([(limit, 1)], 1))
    replica.reservations.settle(await replica.reservations.reserve([(limit, 1)], 1))

    with pytest.raises(RateLimitExceeded):
        await replica.reservations.reserve([(limit, 1)], 1)
    await ended(replica)


async def ended(replica: ControlCache) -> Any:
    """Its tasks are not left to the next test."""
    for task in replica._tasks:
        task.cancel()
    return await asyncio.gather(*replica._tasks, return_exceptions=True)
