"""How the authority lends credit, calls it back, and who gets what comes back."""

import pytest

from serve_app.limits.allocator import Lender
from serve_app.limits.limit import Limit, Unit, Window
from serve_app.limits.messages import FOR_EVER, Grant, Holding, Want
from tests.support.entries import entry

MINUTE = 1_789_560_000.0
NOW = MINUTE + 30.0
BUDGET = Limit("gateway/total", Unit.NANO_DOLLARS, Window.TOTAL, 100)
RATE = Limit("gateway/requests", Unit.REQUESTS, Window.MINUTE, 100)
NAMES = (BUDGET.id, RATE.id)


def lending(*limits: Limit) -> Lender:
    lender = Lender()
    lender.set_limits(limits or (BUDGET, RATE), NOW)
    return lender


def window_of(name: str) -> float:
    return MINUTE if name == RATE.id else FOR_EVER


def asks(lender: Lender, who: str, name: str, want: Want, *, holds: int = 0, at: float = NOW) -> Grant:
    """What a router is granted that holds so much, all of it free."""
    held = {name: Holding(holds, holds, window_of(name))} if holds else {}
    return lender.hear(who, held, {name: want}, at)[name]


def on_loan(lender: Lender, name: str, at: float = NOW) -> int:
    standing = lender.standing(name, at)
    assert standing is not None
    return standing.on_loan


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
    lender = lending()

    assert asks(lender, "a", name, want) == Grant(granted, 0, window_of(name))
    assert on_loan(lender, name) == granted


@pytest.mark.parametrize("want", [Want(1, 80), Want(0, 80)])
def test_the_half_that_is_lent_ahead_of_need_is_shared_among_the_routers_that_are_there(want: Want) -> None:
    lender = lending()
    for other in "bcde":
        lender.hear(other, {}, {}, NOW)

    assert asks(lender, "a", BUDGET.id, want).amount == 10


@pytest.mark.parametrize("name", NAMES)
def test_a_grant_comes_on_top_of_what_was_held_in_the_same_window(name: str) -> None:
    lender = lending()

    asks(lender, "a", name, Want(10, 10), holds=20)

    assert on_loan(lender, name) == 30
    assert asks(lender, "b", name, Want(70, 70)).amount == 70


def test_a_grant_replaces_what_was_held_of_a_minute_that_is_over() -> None:
    lender = lending()

    asks(lender, "a", RATE.id, Want(10, 10), holds=20, at=MINUTE + 60.0)

    assert on_loan(lender, RATE.id, MINUTE + 60.0) == 10


@pytest.mark.parametrize("name", NAMES)
def test_what_the_idle_hold_is_called_back_for_who_needs_it(name: str) -> None:
    lender = lending()
    lender.hear("idle", {name: Holding(90, 60, window_of(name))}, {}, NOW)

    asked = asks(lender, "a", name, Want(70, 70))

    assert (asked.amount, asked.later) == (0, True)
    assert lender.recalls(NOW) == {name: "a"}


@pytest.mark.parametrize("name", NAMES)
def test_nothing_is_called_back_where_it_would_not_be_enough(name: str) -> None:
    lender = lending()
    lender.hear("idle", {name: Holding(90, 60, window_of(name))}, {}, NOW)

    asked = asks(lender, "a", name, Want(71, 71))

    assert (asked.amount, asked.later) == (0, False)
    assert lender.recalls(NOW) == {}


def test_what_who_asks_holds_itself_is_not_called_back_nor_what_was_lent_of_a_minute_that_is_over() -> None:
    lender = lending()
    lender.hear("late", {RATE.id: Holding(90, 90, MINUTE - 60.0)}, {}, NOW)
    lender.hear("busy", {RATE.id: Holding(40, 0, MINUTE)}, {}, NOW)

    asked = asks(lender, "a", RATE.id, Want(61, 61), holds=60)

    assert (asked.amount, asked.later) == (0, False)


def test_what_comes_back_is_kept_for_who_was_waiting_for_half_a_second() -> None:
    lender = lending()
    lender.hear("idle", {BUDGET.id: Holding(90, 90)}, {}, NOW)
    asks(lender, "first", BUDGET.id, Want(70, 70))
    lender.hear("idle", {}, {}, NOW + 0.1)

    assert asks(lender, "second", BUDGET.id, Want(31, 31), at=NOW + 0.1).amount == 0
    assert asks(lender, "second", BUDGET.id, Want(30, 30), at=NOW + 0.1).amount == 30
    assert asks(lender, "first", BUDGET.id, Want(70, 70), at=NOW + 0.1).amount == 70
    assert lender.recalls(NOW + 0.1) == {}, "nobody waits any more"


def test_what_is_kept_is_kept_from_those_who_only_ask_ahead_of_need_too() -> None:
    lender = lending()
    lender.hear("idle", {BUDGET.id: Holding(90, 90)}, {}, NOW)
    asks(lender, "first", BUDGET.id, Want(70, 70))

    assert asks(lender, "second", BUDGET.id, Want(0, 30), at=NOW + 0.1).amount == 0


def test_a_claim_that_nobody_has_come_for_ends_after_half_a_second() -> None:
    lender = lending()
    lender.hear("idle", {BUDGET.id: Holding(90, 90)}, {}, NOW)
    asks(lender, "first", BUDGET.id, Want(70, 70))
    lender.hear("idle", {}, {}, NOW + 0.1)

    assert lender.recalls(NOW + 0.49) == {BUDGET.id: "first"}
    assert asks(lender, "second", BUDGET.id, Want(90, 90), at=NOW + 0.5).amount == 90
    assert lender.recalls(NOW + 0.5) == {}


def test_what_nobody_has_come_for_is_called_back_no_more() -> None:
    lender = lending()
    lender.hear("idle", {BUDGET.id: Holding(90, 90)}, {}, NOW)
    asks(lender, "first", BUDGET.id, Want(70, 70))

    assert lender.recalls(NOW + 0.5) == {}


def test_credit_of_another_limit_stays_claimed_when_one_claimant_is_served() -> None:
    lender = lending()
    lender.hear("idle", {BUDGET.id: Holding(90, 90), RATE.id: Holding(90, 90, MINUTE)}, {}, NOW)
    lender.hear("first", {}, {BUDGET.id: Want(70, 70), RATE.id: Want(70, 70)}, NOW)
    lender.hear("idle", {}, {}, NOW + 0.1)

    asks(lender, "first", BUDGET.id, Want(70, 70), at=NOW + 0.1)

    assert lender.recalls(NOW + 0.1) == {RATE.id: "first"}


def test_who_asks_second_does_not_take_over_the_claim_of_the_first() -> None:
    lender = lending()
    lender.hear("idle", {BUDGET.id: Holding(90, 90)}, {}, NOW)
    asks(lender, "first", BUDGET.id, Want(20, 20))
    asks(lender, "second", BUDGET.id, Want(50, 50), at=NOW + 0.1)

    assert lender.recalls(NOW + 0.1) == {BUDGET.id: "first"}


def test_for_three_seconds_after_credit_was_called_back_it_is_lent_by_the_piece() -> None:
    lender = lending()
    lender.hear("idle", {BUDGET.id: Holding(90, 90)}, {}, NOW)
    asks(lender, "a", BUDGET.id, Want(70, 70))
    lender.hear("idle", {}, {}, NOW + 0.1)

    assert asks(lender, "a", BUDGET.id, Want(10, 50), at=NOW + 2.99).amount == 10
    assert asks(lender, "a", BUDGET.id, Want(0, 50), at=NOW + 2.99).amount == 0
    assert asks(lender, "a", BUDGET.id, Want(10, 50), at=NOW + 3.0).amount == 25


def test_an_authority_that_has_only_just_come_up_lends_nothing_yet_and_says_what_was_used() -> None:
    lender = lending()
    lender.spend(entry(cost=40, at=NOW), NOW)
    lender.lend_from(NOW + 8.0)

    assert asks(lender, "a", BUDGET.id, Want(1, 1), at=NOW + 7.9) == Grant(0, 40, later=True)
    assert asks(lender, "a", BUDGET.id, Want(1, 1), at=NOW + 8.0) == Grant(1, 40)


def test_before_the_limits_are_known_nothing_is_lent() -> None:
    assert asks(Lender(), "a", BUDGET.id, Want(1, 5)) == Grant(0, 0, later=True)


def test_a_limit_that_is_gone_limits_nothing_and_what_was_lent_of_it_counts_when_it_is_back() -> None:
    lender = lending(RATE)

    assert asks(lender, "a", BUDGET.id, Want(1, 60)) == Grant(60, 0)
    lender.set_limits([BUDGET], NOW)

    assert on_loan(lender, BUDGET.id) == 60
    assert asks(lender, "b", BUDGET.id, Want(41, 41)).amount == 0


@pytest.mark.parametrize("name", NAMES)
def test_of_a_budget_what_was_spent_is_told_as_used_and_of_a_rate_what_is_on_loan(name: str) -> None:
    lender = lending()
    lender.hear("other", {name: Holding(30, 0, window_of(name))}, {}, NOW)
    lender.spend(entry(cost=20, at=NOW), NOW)

    assert asks(lender, "a", name, Want(80, 80)).used == (20 if name == BUDGET.id else 30)


def test_a_router_that_is_silent_for_eight_seconds_has_lost_its_loans_but_not_what_its_minute_has_used() -> (
    None
):
    lender = lending()
    lender.hear("a", {BUDGET.id: Holding(50, 50), RATE.id: Holding(60, 40, MINUTE)}, {}, NOW)

    still = {standing.limit.id: standing.on_loan for standing in lender.standings(NOW + 8.0)}
    gone = {standing.limit.id: standing.on_loan for standing in lender.standings(NOW + 8.1)}

    assert still == {BUDGET.id: 50, RATE.id: 60}
    assert gone == {BUDGET.id: 0, RATE.id: 60}
    assert not asks(lender, "b", RATE.id, Want(41, 41), at=NOW + 8.1).later, "nobody is there to give it back"
    assert asks(lender, "b", RATE.id, Want(100, 100), at=MINUTE + 60.0).amount == 100


def test_a_router_that_says_it_has_gone_holds_nothing() -> None:
    lender = lending()
    lender.hear("a", {BUDGET.id: Holding(100, 0)}, {}, NOW)
    lender.forget("a")

    assert asks(lender, "b", BUDGET.id, Want(100, 100)).amount == 100


def test_what_a_router_owes_is_not_lent_to_others_on_top() -> None:
    lender = lending()
    lender.hear("a", {BUDGET.id: Holding(-30, 0)}, {}, NOW)

    assert on_loan(lender, BUDGET.id) == 0


@pytest.mark.parametrize(
    ("remembered", "window", "used"),
    [(70, 0.0, 70), (10, 0.0, 40), (70, 1.0, 40)],
    ids=["more than is known", "less than is known", "of another window"],
)
def test_what_routers_remember_of_this_window_counts_where_it_is_more_than_is_known(
    remembered: int, window: float, used: int
) -> None:
    lender = lending()
    lender.spend(entry(cost=40, at=NOW), NOW)

    lender.remember({BUDGET.id: (window, remembered), RATE.id: (MINUTE, 90), "gone": (0.0, 1)}, NOW)

    assert {s.limit.id: s.used for s in lender.standings(NOW)} == {BUDGET.id: used, RATE.id: 0}
