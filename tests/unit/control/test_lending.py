"""How the authority lends credit, calls it back, and who gets what comes back."""

import pytest

from serve_app.limits.allocator import LeaseAllocator
from serve_app.limits.limit import Limit, Unit, Window
from serve_app.limits.messages import FOR_EVER, Grant, Lease, Want
from tests.support.entries import entry

MINUTE = 1_789_560_000.0
NOW = MINUTE + 30.0
BUDGET = Limit("gateway/total", Unit.NANO_DOLLARS, Window.TOTAL, 100)
RATE = Limit("gateway/requests", Unit.REQUESTS, Window.MINUTE, 100)
NAMES = (BUDGET.id, RATE.id)


def lending(*limits: Limit) -> LeaseAllocator:
    allocator = LeaseAllocator()
    allocator.set_limits(limits or (BUDGET, RATE), NOW)
    return allocator


def window_of(name: str) -> float:
    return MINUTE if name == RATE.id else FOR_EVER


def asks(
    allocator: LeaseAllocator, who: str, name: str, want: Want, *, holds: int = 0, at: float = NOW
) -> Grant:
    """What a router is granted that holds so much, all of it free."""
    held = {name: Lease(holds, holds, window_of(name))} if holds else {}
    return allocator.hear(who, held, {name: want}, at)[name]


def on_loan(allocator: LeaseAllocator, name: str, at: float = NOW) -> int:
    limit_status = allocator.limit_status(name, at)
    assert limit_status is not None
    return limit_status.on_loan


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    ("want", "granted"),
    [
        (Want(10, 10), 10),
        (Want(10, 30), 30),  # what spares further questions ...
        (Want(10, 80), 50),  # ... but half of what is left, so that there is something for the next one
        (Want(60, 80), 60),  # what is needed is granted in any case
        (Want(100, 100), 100),
        (Want(0, 30), 30),
        (Want(0, 80), 50),
    ],
)
def test_a_router_gets_what_it_needs_and_ahead_of_need_its_share_of_half_the_rest(
    name: str, want: Want, granted: int
) -> None:
    allocator = lending()

    assert asks(allocator, "a", name, want) == Grant(granted, 0, window_of(name))
    assert on_loan(allocator, name) == granted


@pytest.mark.parametrize("want", [Want(1, 80), Want(0, 80)])
def test_the_half_that_is_lent_ahead_of_need_is_shared_among_the_routers_that_are_there(want: Want) -> None:
    allocator = lending()
    for other in "bcde":
        allocator.hear(other, {}, {}, NOW)

    assert asks(allocator, "a", BUDGET.id, want).amount == 10


@pytest.mark.parametrize("name", NAMES)
def test_a_grant_comes_on_top_of_what_was_held_in_the_same_window(name: str) -> None:
    allocator = lending()

    asks(allocator, "a", name, Want(10, 10), holds=20)

    assert on_loan(allocator, name) == 30
    assert asks(allocator, "b", name, Want(70, 70)).amount == 70


def test_a_grant_replaces_what_was_held_of_a_minute_that_is_over() -> None:
    allocator = lending()

    asks(allocator, "a", RATE.id, Want(10, 10), holds=20, at=MINUTE + 60.0)

    assert on_loan(allocator, RATE.id, MINUTE + 60.0) == 10


@pytest.mark.parametrize("name", NAMES)
def test_what_the_idle_hold_is_called_back_for_who_needs_it(name: str) -> None:
    allocator = lending()
    allocator.hear("idle", {name: Lease(90, 60, window_of(name))}, {}, NOW)

    asked = asks(allocator, "a", name, Want(70, 70))

    assert (asked.amount, asked.later) == (0, True)
    assert allocator.recalls(NOW) == {name: "a"}


@pytest.mark.parametrize("name", NAMES)
def test_nothing_is_called_back_where_it_would_not_be_enough(name: str) -> None:
    allocator = lending()
    allocator.hear("idle", {name: Lease(90, 60, window_of(name))}, {}, NOW)

    asked = asks(allocator, "a", name, Want(71, 71))

    assert (asked.amount, asked.later) == (0, False)
    assert allocator.recalls(NOW) == {}


def test_what_who_asks_holds_itself_is_not_called_back_nor_what_was_lent_of_a_minute_that_is_over() -> None:
    allocator = lending()
    allocator.hear("late", {RATE.id: Lease(90, 90, MINUTE - 60.0)}, {}, NOW)
    allocator.hear("busy", {RATE.id: Lease(40, 0, MINUTE)}, {}, NOW)

    asked = asks(allocator, "a", RATE.id, Want(61, 61), holds=60)

    assert (asked.amount, asked.later) == (0, False)


def test_what_comes_back_is_kept_for_who_was_waiting_for_half_a_second() -> None:
    allocator = lending()
    allocator.hear("idle", {BUDGET.id: Lease(90, 90)}, {}, NOW)
    asks(allocator, "first", BUDGET.id, Want(70, 70))
    allocator.hear("idle", {}, {}, NOW + 0.1)

    assert asks(allocator, "second", BUDGET.id, Want(31, 31), at=NOW + 0.1).amount == 0
    assert asks(allocator, "second", BUDGET.id, Want(30, 30), at=NOW + 0.1).amount == 30
    assert asks(allocator, "first", BUDGET.id, Want(70, 70), at=NOW + 0.1).amount == 70
    assert allocator.recalls(NOW + 0.1) == {}, "nobody waits any more"


def test_what_is_kept_is_kept_from_those_who_only_ask_ahead_of_need_too() -> None:
    allocator = lending()
    allocator.hear("idle", {BUDGET.id: Lease(90, 90)}, {}, NOW)
    asks(allocator, "first", BUDGET.id, Want(70, 70))

    assert asks(allocator, "second", BUDGET.id, Want(0, 30), at=NOW + 0.1).amount == 0


def test_a_claim_that_nobody_has_come_for_ends_after_half_a_second() -> None:
    allocator = lending()
    allocator.hear("idle", {BUDGET.id: Lease(90, 90)}, {}, NOW)
    asks(allocator, "first", BUDGET.id, Want(70, 70))
    allocator.hear("idle", {}, {}, NOW + 0.1)

    assert allocator.recalls(NOW + 0.49) == {BUDGET.id: "first"}
    assert asks(allocator, "second", BUDGET.id, Want(90, 90), at=NOW + 0.5).amount == 90
    assert allocator.recalls(NOW + 0.5) == {}


def test_what_nobody_has_come_for_is_called_back_no_more() -> None:
    allocator = lending()
    allocator.hear("idle", {BUDGET.id: Lease(90, 90)}, {}, NOW)
    asks(allocator, "first", BUDGET.id, Want(70, 70))

    assert allocator.recalls(NOW + 0.5) == {}


def test_credit_of_another_limit_stays_claimed_when_one_claimant_is_served() -> None:
    allocator = lending()
    allocator.hear("idle", {BUDGET.id: Lease(90, 90), RATE.id: Lease(90, 90, MINUTE)}, {}, NOW)
    allocator.hear("first", {}, {BUDGET.id: Want(70, 70), RATE.id: Want(70, 70)}, NOW)
    allocator.hear("idle", {}, {}, NOW + 0.1)

    asks(allocator, "first", BUDGET.id, Want(70, 70), at=NOW + 0.1)

    assert allocator.recalls(NOW + 0.1) == {RATE.id: "first"}


def test_who_asks_second_does_not_take_over_the_claim_of_the_first() -> None:
    allocator = lending()
    allocator.hear("idle", {BUDGET.id: Lease(90, 90)}, {}, NOW)
    asks(allocator, "first", BUDGET.id, Want(20, 20))
    asks(allocator, "second", BUDGET.id, Want(50, 50), at=NOW + 0.1)

    assert allocator.recalls(NOW + 0.1) == {BUDGET.id: "first"}


def test_for_three_seconds_after_credit_was_called_back_it_is_lent_by_the_piece() -> None:
    allocator = lending()
    allocator.hear("idle", {BUDGET.id: Lease(90, 90)}, {}, NOW)
    asks(allocator, "a", BUDGET.id, Want(70, 70))
    allocator.hear("idle", {}, {}, NOW + 0.1)

    assert asks(allocator, "a", BUDGET.id, Want(10, 50), at=NOW + 2.99).amount == 10
    assert asks(allocator, "a", BUDGET.id, Want(0, 50), at=NOW + 2.99).amount == 0
    assert asks(allocator, "a", BUDGET.id, Want(10, 50), at=NOW + 3.0).amount == 25


def test_an_authority_that_has_only_just_come_up_lends_nothing_yet_and_says_what_was_used() -> None:
    allocator = lending()
    allocator.spend(entry(cost=40, at=NOW), NOW)
    allocator.lend_from(NOW + 8.0)

    assert asks(allocator, "a", BUDGET.id, Want(1, 1), at=NOW + 7.9) == Grant(0, 40, later=True)
    assert asks(allocator, "a", BUDGET.id, Want(1, 1), at=NOW + 8.0) == Grant(1, 40)


def test_before_the_limits_are_known_nothing_is_lent() -> None:
    assert asks(LeaseAllocator(), "a", BUDGET.id, Want(1, 5)) == Grant(0, 0, later=True)


def test_a_limit_that_is_gone_limits_nothing_and_what_was_lent_of_it_counts_when_it_is_back() -> None:
    allocator = lending(RATE)

    assert asks(allocator, "a", BUDGET.id, Want(1, 60)) == Grant(60, 0)
    allocator.set_limits([BUDGET], NOW)

    assert on_loan(allocator, BUDGET.id) == 60
    assert asks(allocator, "b", BUDGET.id, Want(41, 41)).amount == 0


@pytest.mark.parametrize("name", NAMES)
def test_of_a_budget_what_was_spent_is_told_as_used_and_of_a_rate_what_is_on_loan(name: str) -> None:
    allocator = lending()
    allocator.hear("other", {name: Lease(30, 0, window_of(name))}, {}, NOW)
    allocator.spend(entry(cost=20, at=NOW), NOW)

    assert asks(allocator, "a", name, Want(80, 80)).used == (20 if name == BUDGET.id else 30)


def test_a_router_that_is_silent_for_eight_seconds_has_lost_its_loans_but_not_what_its_minute_has_used() -> (
    None
):
    allocator = lending()
    allocator.hear("a", {BUDGET.id: Lease(50, 50), RATE.id: Lease(60, 40, MINUTE)}, {}, NOW)

    still = {
        limit_status.limit.id: limit_status.on_loan for limit_status in allocator.limit_statuses(NOW + 8.0)
    }
    gone = {
        limit_status.limit.id: limit_status.on_loan for limit_status in allocator.limit_statuses(NOW + 8.1)
    }

    assert still == {BUDGET.id: 50, RATE.id: 60}
    assert gone == {BUDGET.id: 0, RATE.id: 60}
    assert not asks(allocator, "b", RATE.id, Want(41, 41), at=NOW + 8.1).later, (
        "nobody is there to give it back"
    )
    assert asks(allocator, "b", RATE.id, Want(100, 100), at=MINUTE + 60.0).amount == 100


def test_a_router_that_says_it_has_gone_holds_nothing() -> None:
    allocator = lending()
    allocator.hear("a", {BUDGET.id: Lease(100, 0)}, {}, NOW)
    allocator.forget("a")

    assert asks(allocator, "b", BUDGET.id, Want(100, 100)).amount == 100


def test_what_a_router_owes_is_not_lent_to_others_on_top() -> None:
    allocator = lending()
    allocator.hear("a", {BUDGET.id: Lease(-30, 0)}, {}, NOW)

    assert on_loan(allocator, BUDGET.id) == 0


@pytest.mark.parametrize(
    ("remembered", "window", "used"),
    [(70, 0.0, 70), (10, 0.0, 40), (70, 1.0, 40)],
    ids=["more than is known", "less than is known", "of another window"],
)
def test_what_routers_remember_of_this_window_counts_where_it_is_more_than_is_known(
    remembered: int, window: float, used: int
) -> None:
    allocator = lending()
    allocator.spend(entry(cost=40, at=NOW), NOW)

    allocator.remember({BUDGET.id: (window, remembered), RATE.id: (MINUTE, 90), "gone": (0.0, 1)}, NOW)

    assert {s.limit.id: s.used for s in allocator.limit_statuses(NOW)} == {BUDGET.id: used, RATE.id: 0}
