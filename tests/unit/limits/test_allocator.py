"""What the authority's side of limits costs: little, however many keys have a budget of their own."""

import pytest

from serve_app.ledger.store import Spend
from serve_app.limits.allocator import LeaseAllocator
from serve_app.limits.limit import Limit, Scope, Unit, Window
from tests.support.entries import NOON, entry

KEYS = 200
TODAY = Window.DAY.start(NOON)
LIMITS = [
    Limit(f"key:{n}/{window}", Unit.NANO_DOLLARS, window, 10**12, Scope("acme", f"key-{n}"))
    for n in range(KEYS)
    for window in (Window.DAY, Window.MONTH)
]
OF_ALL = [
    Limit("gateway/month", Unit.NANO_DOLLARS, Window.MONTH, 10**12),
    Limit("tenant:acme/month", Unit.NANO_DOLLARS, Window.MONTH, 10**12, Scope("acme")),
    Limit("provider:cloud/month", Unit.NANO_DOLLARS, Window.MONTH, 10**12, Scope(provider="cloud")),
]
SPENDS = [
    Spend(TODAY - 86_400 * day, "acme", f"key-{n}", "cloud", "gpt-4o", 1, 0, 0, 0, 5)
    for n in range(KEYS)
    for day in range(10)
]


@pytest.fixture
def looks(monkeypatch: pytest.MonkeyPatch) -> list[Scope]:
    """The scopes that were compared with somebody who pays."""
    found: list[Scope] = []
    covers = Scope.covers

    def noted(scope: Scope, *payer: str) -> bool:
        found.append(scope)
        return covers(scope, *payer)

    monkeypatch.setattr(Scope, "covers", noted)
    return found


def test_an_entry_is_compared_with_the_limits_of_its_own_key_only(looks: list[Scope]) -> None:
    allocator = LeaseAllocator()
    allocator.set_limits(LIMITS + OF_ALL, NOON)
    looks.clear()

    allocator.spend(entry(), NOON)

    assert len(looks) == len(OF_ALL) + 2
    assert {s.limit.id for s in allocator.limit_statuses(NOON) if s.used} == {
        "key:1/day", "key:1/month", *(limit.id for limit in OF_ALL)
    }  # fmt: skip


def test_the_sums_of_a_start_are_looked_through_for_each_key_once_and_not_for_each_pair_of_keys(
    looks: list[Scope],
) -> None:
    allocator = LeaseAllocator()

    allocator.restore(SPENDS, NOON, 0.0)
    allocator.set_limits(LIMITS + OF_ALL, NOON)

    assert len(looks) <= (2 + len(OF_ALL)) * len(SPENDS)
    used = {limit_status.limit.id: limit_status.used for limit_status in allocator.limit_statuses(NOON)}
    assert used["key:7/day"] == 5
    assert used["key:7/month"] == 50
    assert used["gateway/month"] == used["tenant:acme/month"] == used["provider:cloud/month"] == 50 * KEYS


def test_who_has_paid_before_a_limit_was_set_is_counted_by_it_from_then_on() -> None:
    allocator = LeaseAllocator()
    allocator.set_limits(OF_ALL, NOON)
    allocator.spend(entry(1), NOON)

    late = Limit("key:1/late", Unit.NANO_DOLLARS, Window.DAY, 10**12, Scope("acme", "key-1"))
    allocator.set_limits([*OF_ALL, late], NOON)
    allocator.spend(entry(2), NOON)

    used = {limit_status.limit.id: limit_status.used for limit_status in allocator.limit_statuses(NOON)}
    assert used["key:1/late"] == 2_000, "what was spent before is known, too"
    assert used["gateway/month"] == 2_000
