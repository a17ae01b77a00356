"""A router's credit: what it knows without asking."""

import pytest

from serve_app.limits.client import LeaseClient, Shortfall
from serve_app.limits.limit import Limit, Unit, Window
from serve_app.limits.messages import Grant, Lease, Want
from serve_app.pricing.usage import Usage
from tests.support.borrowing import (
    AT_ONCE,
    EVERY,
    MINUTE,
    NOW,
    REQUESTS,
    TOKENS,
    WEALTH,
    held,
    lent,
    window_of,
)
from tests.support.entries import entry

BUDGET = Limit("gateway/total", Unit.NANO_DOLLARS, Window.TOTAL, 100)


def told(used: int) -> LeaseClient:
    """A router that was lent 1 and told how much of the budget was used."""
    lease_client = LeaseClient()
    lease_client.ask([(BUDGET, 1)], NOW)
    lease_client.take({BUDGET.id: Grant(1, used)}, lease_client.wants(), NOW)
    return lease_client


def test_what_is_left_of_a_budget_to_the_last_bit_may_be_asked_for_and_no_more() -> None:
    lease_client = told(used=60)

    assert lease_client.foreseen(BUDGET, 40, NOW) is None
    assert lease_client.foreseen(BUDGET, 41, NOW) == Shortfall(BUDGET, 41, 60)
    assert lease_client.foreseen(BUDGET, 41, NOW + 1.0) == Shortfall(BUDGET, 41, 60)
    assert lease_client.foreseen(BUDGET, 41, NOW + 1.01) is None, "somebody has to ask again"


def test_what_was_reserved_on_trust_and_cancelled_is_no_credit() -> None:
    lease_client = told(used=0)

    reservation = lease_client.trust([(BUDGET, 50)], NOW)
    assert reservation is not None
    lease_client.cancel(reservation, NOW)

    assert lease_client.reserve([(BUDGET, 2)], NOW) is None
    assert lease_client.reserve([(BUDGET, 1)], NOW) is not None, "what was lent is"


@pytest.mark.parametrize("limit", EVERY, ids=lambda limit: limit.unit)
def test_all_credit_can_be_reserved_and_no_more(limit: Limit) -> None:
    lease_client = lent(limit, 10)

    assert lease_client.reserve([(limit, 11)], NOW) is None
    assert lease_client.reserve([(limit, 10)], NOW) is not None
    assert lease_client.reserve([(limit, 1)], NOW) is None
    assert held(lease_client, limit) == Lease(10, 0, window_of(limit))


def test_where_one_limit_lacks_credit_nothing_is_reserved_of_the_others() -> None:
    lease_client = lent(WEALTH, 10)

    assert lease_client.reserve([(WEALTH, 5), (REQUESTS, 1)], NOW) is None
    assert held(lease_client, WEALTH) == Lease(10, 10)


@pytest.mark.parametrize(
    ("limit", "free", "counted"),
    [(WEALTH, 7, 3), (REQUESTS, 0, 10), (TOKENS, 6, 4), (AT_ONCE, 10, 0)],
    ids=lambda value: value.unit if isinstance(value, Limit) else "",
)
def test_what_was_not_used_of_a_reservation_is_credit_again(limit: Limit, free: int, counted: int) -> None:
    lease_client = lent(limit, 10)
    reservation = lease_client.reserve([(limit, 10)], NOW)
    assert reservation is not None

    for _ in range(2):  # a hold ends once
        lease_client.settle(reservation, entry(cost=3, usage=Usage(4)), NOW)
        lease_client.cancel(reservation, NOW)

    assert held(lease_client, limit) == Lease(free + counted, free, window_of(limit))


@pytest.mark.parametrize("limit", EVERY, ids=lambda limit: limit.unit)
def test_what_was_cancelled_is_credit_again_once(limit: Limit) -> None:
    lease_client = lent(limit, 10)
    reservation = lease_client.reserve([(limit, 10)], NOW)
    assert reservation is not None

    for _ in range(2):
        lease_client.cancel(reservation, NOW)
        lease_client.settle(reservation, entry(cost=3, usage=Usage(4)), NOW)

    assert held(lease_client, limit) == Lease(10, 10, window_of(limit))


@pytest.mark.parametrize(
    ("limit", "free"),
    [(WEALTH, 10), (REQUESTS, 0), (TOKENS, 10), (AT_ONCE, 10)],
    ids=lambda value: value.unit if isinstance(value, Limit) else "",
)
def test_a_request_without_an_entry_has_used_nothing_but_a_request(limit: Limit, free: int) -> None:
    lease_client = lent(limit, 10)
    reservation = lease_client.reserve([(limit, 10)], NOW)
    assert reservation is not None

    lease_client.settle(reservation, None, NOW)

    assert held(lease_client, limit) == Lease(10, free, window_of(limit))


@pytest.mark.parametrize("limit", [WEALTH, TOKENS], ids=lambda limit: limit.unit)
def test_more_than_was_reserved_comes_out_of_the_free_credit_which_is_never_less_than_none(
    limit: Limit,
) -> None:
    for used, free in ((6, 4), (10, 0), (12, 0)):
        lease_client = lent(limit, 10)
        reservation = lease_client.reserve([(limit, 5)], NOW)
        assert reservation is not None
        lease_client.settle(reservation, entry(cost=used, usage=Usage(used)), NOW)

        assert held(lease_client, limit) == Lease(used + free, free, window_of(limit))


@pytest.mark.parametrize("ends", ["settle", "cancel"])
@pytest.mark.parametrize("limit", [REQUESTS, TOKENS], ids=lambda limit: limit.unit)
def test_what_ends_in_another_minute_than_it_was_reserved_in_changes_nothing_there(
    limit: Limit, ends: str
) -> None:
    lease_client = lent(limit, 10)
    reservation = lease_client.reserve([(limit, 5)], NOW)
    assert reservation is not None
    later = MINUTE + 60.0

    if ends == "settle":
        lease_client.settle(reservation, entry(usage=Usage(4)), later)
    else:
        lease_client.cancel(reservation, later)

    assert lease_client.reserve([(limit, 1)], later) is None
    assert held(lease_client, limit, later) is None


def test_money_that_no_report_has_told_of_is_held_until_one_has() -> None:
    lease_client = lent(WEALTH, 10)
    for number in (1, 2):
        reservation = lease_client.reserve([(WEALTH, 5)], NOW)
        assert reservation is not None
        lease_client.settle(reservation, entry(number, cost=5), NOW)

    assert held(lease_client, WEALTH) == Lease(10, 0)
    lease_client.sent(1)
    assert held(lease_client, WEALTH) == Lease(5, 0)
    lease_client.sent(2)
    assert held(lease_client, WEALTH) == Lease(0, 0)


@pytest.mark.parametrize("limit", EVERY, ids=lambda limit: limit.unit)
def test_credit_that_nobody_has_used_for_two_seconds_goes_back(limit: Limit) -> None:
    lease_client = lent(limit, 10)

    assert held(lease_client, limit, NOW + 2.0) == Lease(10, 10, window_of(limit))
    assert lease_client.holds_any
    assert held(lease_client, limit, NOW + 2.1) is None
    assert not lease_client.holds_any
    assert lease_client.reserve([(limit, 1)], NOW + 2.1) is None


@pytest.mark.parametrize("limit", EVERY, ids=lambda limit: limit.unit)
def test_what_is_under_way_is_held_however_long_it_takes(limit: Limit) -> None:
    lease_client = lent(limit, 10)
    lease_client.reserve([(limit, 4)], NOW)

    assert held(lease_client, limit, NOW + 2.1) == Lease(4, 0, window_of(limit))


@pytest.mark.parametrize("limit", EVERY, ids=lambda limit: limit.unit)
def test_a_refusal_holds_for_a_quarter_of_a_second_for_whoever_needs_as_much(limit: Limit) -> None:
    lease_client = lent(limit, 10)
    wants = {limit.id: Want(5, 50)}  # of 15
    lease_client.take({limit.id: Grant(0, 990, window_of(limit))}, wants, NOW)
    unused = 0 if limit is WEALTH else 10

    assert lease_client.shortfall([(limit, 14)], NOW) is None
    assert lease_client.shortfall([(limit, 15)], NOW + 0.24) == Shortfall(limit, 15, 990 - unused)
    assert lease_client.shortfall([(limit, 15)], NOW + 0.25) is None


@pytest.mark.parametrize(
    ("grant", "want"),
    [(Grant(0, 990, later=True), Want(5, 50)), (Grant(0, 990), Want(0, 50))],
    ids=["what will come later", "what nobody needs yet"],
)
def test_no_refusal_is(grant: Grant, want: Want) -> None:
    lease_client = lent(WEALTH, 10)

    lease_client.take({WEALTH.id: grant}, {WEALTH.id: want}, NOW)

    assert lease_client.shortfall([(WEALTH, 100)], NOW) is None


@pytest.mark.parametrize("ends", ["granted", "settled", "forgiven"])
def test_a_refusal_ends_when_there_is_credit_again(ends: str) -> None:
    lease_client = lent(WEALTH, 10)
    reservation = lease_client.reserve([(WEALTH, 10)], NOW)
    assert reservation is not None
    wants = {WEALTH.id: Want(5, 5)}
    lease_client.take({WEALTH.id: Grant(0, 1000)}, wants, NOW)
    assert lease_client.shortfall([(WEALTH, 20)], NOW) is not None

    if ends == "granted":
        lease_client.take({WEALTH.id: Grant(5, 995)}, wants, NOW)
    elif ends == "settled":
        lease_client.settle(reservation, entry(cost=9), NOW)
    else:
        lease_client.forgive()

    assert lease_client.shortfall([(WEALTH, 20)], NOW) is None


def test_credit_of_a_minute_that_is_over_is_worth_nothing() -> None:
    lease_client = lent(REQUESTS, 10)

    lease_client.take({REQUESTS.id: Grant(10, 0, MINUTE)}, {REQUESTS.id: Want(10, 10)}, MINUTE + 60.0)

    assert lease_client.reserve([(REQUESTS, 1)], MINUTE + 60.0) is None


def test_a_grant_that_nobody_has_wanted_any_more_is_not_taken() -> None:
    lease_client = LeaseClient()

    lease_client.take({WEALTH.id: Grant(10, 0)}, {WEALTH.id: Want(10, 10)}, NOW)

    assert not lease_client.holds_any


def test_free_credit_that_others_wait_for_is_given_back_and_what_is_reserved_is_kept() -> None:
    lease_client = lent(WEALTH, 10)
    lease_client.reserve([(WEALTH, 4)], NOW)

    assert not lease_client.give_back(["another"])
    assert lease_client.give_back([WEALTH.id, "another"])
    assert not lease_client.give_back([WEALTH.id])
    assert held(lease_client, WEALTH) == Lease(4, 0)


def test_after_silence_free_credit_is_lost_and_what_is_reserved_is_kept() -> None:
    lease_client = lent(WEALTH, 10)
    lease_client.reserve([(WEALTH, 4)], NOW)

    lease_client.lose_free()

    assert held(lease_client, WEALTH) == Lease(4, 0)


DAILY = Limit("gateway/day", Unit.NANO_DOLLARS, Window.DAY, 100)


@pytest.mark.parametrize("limit", [BUDGET, DAILY], ids=lambda limit: limit.window)
def test_on_trust_goes_what_was_left_when_the_authority_was_last_heard(limit: Limit) -> None:
    lease_client = LeaseClient()
    lease_client.ask([(limit, 1)], NOW)
    lease_client.take({limit.id: Grant(0, 60)}, lease_client.wants(), NOW)
    spent = lease_client.trust([(limit, 10)], NOW)
    assert spent is not None
    lease_client.settle(spent, entry(cost=10), NOW)

    assert lease_client.left(limit, NOW) == 30
    assert lease_client.trust([(limit, 31)], NOW) is None
    assert lease_client.trust([(limit, 20)], NOW) is not None
    assert lease_client.trust([(limit, 11)], NOW) is None, "what is under way counts"
    assert lease_client.trust([(limit, 10)], NOW) is not None


def test_what_was_said_of_a_day_that_is_over_says_nothing_of_the_next() -> None:
    lease_client = LeaseClient()
    lease_client.ask([(DAILY, 1)], NOW)
    lease_client.take({DAILY.id: Grant(0, 60)}, lease_client.wants(), NOW)

    assert lease_client.left(DAILY, 86_399.0) == 40
    assert lease_client.trust([(DAILY, 41)], 86_399.0) is None
    assert lease_client.left(DAILY, 86_400.0) == 100
    assert lease_client.trust([(DAILY, 100)], 86_400.0) is not None


def test_what_nobody_has_said_anything_of_may_be_all_there_is_and_what_is_over_is_not_less_than_none() -> (
    None
):
    lease_client = LeaseClient()

    assert lease_client.left(BUDGET, NOW) == 100
    assert lease_client.foreseen(BUDGET, 101, NOW) is None
    assert told(used=101).left(BUDGET, NOW) == 0


def test_what_the_authority_has_said_is_remembered_with_its_window() -> None:
    lease_client = LeaseClient()
    lease_client.ask([(DAILY, 1), (REQUESTS, 1)], 90_000.0)
    grants = {DAILY.id: Grant(1, 60), REQUESTS.id: Grant(1, 7, 90_000.0)}
    lease_client.take(grants, lease_client.wants(), 90_000.0)

    assert lease_client.used == {DAILY.id: (86_400.0, 60), REQUESTS.id: (90_000.0, 7)}


@pytest.mark.parametrize("what", ["asks", "reserves", "trusts", "settles", "is granted", "nothing"])
def test_credit_is_idle_from_the_last_time_on_that_anything_was_done_with_it(what: str) -> None:
    lease_client = lent(WEALTH, 10)
    reservation = lease_client.reserve([(WEALTH, 1)], NOW)
    assert reservation is not None
    match what:
        case "asks":
            lease_client.ask([(WEALTH, 1)], NOW + 1)
        case "reserves":
            lease_client.reserve([(WEALTH, 1)], NOW + 1)
        case "trusts":
            lease_client.trust([(WEALTH, 1)], NOW + 1)
        case "settles":
            lease_client.settle(reservation, None, NOW + 1)
        case "is granted":
            lease_client.take({WEALTH.id: Grant(1, 0)}, {WEALTH.id: Want(1, 1)}, NOW + 1)

    still = held(lease_client, WEALTH, NOW + 2.5)

    assert still is not None
    assert bool(still.free) is (what != "nothing")


def refused_more(limit: Limit) -> LeaseClient:
    """A router with 1 in hand, which was refused 1 more."""
    lease_client = lent(limit, 1)
    lease_client.ask([(limit, 2)], NOW)
    lease_client.take({limit.id: Grant(0, limit.amount, window_of(limit))}, lease_client.wants(), NOW)
    assert lease_client.shortfall([(limit, 2)], NOW) is not None
    return lease_client


@pytest.mark.parametrize("limit", EVERY, ids=lambda limit: limit.id)
def test_who_gave_back_what_it_had_asks_anew(limit: Limit) -> None:
    """The refusal was of more than it held; what it no longer holds may be enough."""
    gave_back = refused_more(limit)
    gave_back.give_back([limit.id])
    lost = refused_more(limit)
    lost.lose_free()
    unasked = refused_more(limit)
    unasked.give_back([])

    assert gave_back.shortfall([(limit, 1)], NOW) is None
    assert lost.shortfall([(limit, 1)], NOW) is None
    assert unasked.shortfall([(limit, 2)], NOW) is not None, "and who kept it does not"
