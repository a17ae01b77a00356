"""What a router asks the authority for: what is missing, and ahead of need what is little."""

import pytest

from serve_app.limits.client import LeaseClient
from serve_app.limits.limit import Limit
from serve_app.limits.messages import Grant, Want
from tests.support.borrowing import AT_ONCE, NOW, WEALTH, lent


def test_what_is_missing_is_asked_for_with_what_64_requests_more_would_need() -> None:
    lease_client = lent(WEALTH, 10)

    lease_client.ask([(WEALTH, 10)], NOW)
    assert lease_client.wants() == {}
    lease_client.ask([(WEALTH, 13)], NOW)
    assert lease_client.wants() == {WEALTH.id: Want(3, 3 + 64 * 13)}
    assert lease_client.wants() == {}, "once"


def test_several_who_wait_ask_for_the_least_that_helps_one_of_them_and_for_what_spares_all() -> None:
    lease_client = LeaseClient()
    for amount in (5, 3, 4):
        lease_client.ask([(WEALTH, amount)], NOW)

    assert lease_client.wants() == {WEALTH.id: Want(3, 5 + 64 * 5 + 3 + 4)}


@pytest.mark.parametrize(("amount", "asks"), [(8, False), (9, True)])
def test_credit_for_less_than_eight_more_requests_is_little_and_more_is_asked_for(
    amount: int, asks: bool
) -> None:
    lease_client = lent(WEALTH, 72)

    hold = lease_client.reserve([(WEALTH, amount)], NOW)

    assert hold is not None
    assert hold.leaves_little is asks
    assert lease_client.wants() == ({WEALTH.id: Want(0, 64 * amount)} if asks else {})


def test_more_is_asked_for_ahead_of_need_once_in_a_twentieth_of_a_second() -> None:
    lease_client = lent(WEALTH, 10)
    asked = []
    for after in (0.0, 0.04, 0.051):
        lease_client.reserve([(WEALTH, 2)], NOW + after)
        asked.append(lease_client.wants())

    assert asked == [{WEALTH.id: Want(0, 128)}, {}, {WEALTH.id: Want(0, 128)}]


def test_where_there_is_no_plenty_more_is_asked_for_ahead_of_need_once_in_a_second() -> None:
    lease_client = lent(WEALTH, 10)
    lease_client.take({WEALTH.id: Grant(2, 0)}, {WEALTH.id: Want(0, 128)}, NOW)
    asked = []
    for after in (0.0, 0.99, 1.01):
        lease_client.reserve([(WEALTH, 2)], NOW + after)
        asked.append(lease_client.wants())

    assert asked[:2] == [{}, {}]
    assert asked[2]


def reserving(limit: Limit, credit: int) -> LeaseClient:
    """A router that has reserved 100 within half a second."""
    lease_client = lent(limit, credit)
    for _ in range(10):
        assert lease_client.reserve([(limit, 10)], NOW + 0.5) is not None
    lease_client.wants()
    return lease_client


@pytest.mark.parametrize(("after_s", "little", "upto"), [(1.0, 1211, 2020), (2.0, 605, 1010)])
def test_less_than_twelve_seconds_as_busy_as_the_last_ones_need_is_little_and_twenty_are_asked_for(
    after_s: float, little: int, upto: int
) -> None:
    for left, asked in ((little + 1, {}), (little, {WEALTH.id: Want(0, upto)})):
        lease_client = reserving(WEALTH, 101 + left)
        assert lease_client.reserve([(WEALTH, 1)], NOW + after_s) is not None
        assert lease_client.wants() == asked


def test_how_busy_it_is_is_measured_over_a_second_at_least() -> None:
    lease_client = reserving(WEALTH, 101 + 600)

    assert lease_client.reserve([(WEALTH, 1)], NOW + 0.99) is not None
    assert lease_client.wants() == {}


@pytest.mark.parametrize("needs_first", [False, True])
def test_who_asks_ahead_of_need_takes_nothing_from_who_waits(needs_first: bool) -> None:
    lease_client = lent(WEALTH, 10)

    if needs_first:
        lease_client.ask([(WEALTH, 13)], NOW)
    lease_client.reserve([(WEALTH, 10)], NOW)
    if not needs_first:
        lease_client.ask([(WEALTH, 3)], NOW)

    assert lease_client.wants()[WEALTH.id].need == 3


def test_places_are_free_again_soon_and_none_are_asked_for_by_the_second() -> None:
    lease_client = reserving(AT_ONCE, 100 + 10)

    lease_client.reserve([(AT_ONCE, 1)], NOW + 1.0)

    assert lease_client.wants() == {}
