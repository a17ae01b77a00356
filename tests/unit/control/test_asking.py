"""What a router asks the authority for: what is missing, and ahead of need what is little."""

import pytest

from serve_app.limits.client import Borrower
from serve_app.limits.limit import Limit
from serve_app.limits.messages import Grant, Want
from tests.support.borrowing import AT_ONCE, NOW, WEALTH, lent


def test_what_is_missing_is_asked_for_with_what_64_requests_more_would_need() -> None:
    borrower = lent(WEALTH, 10)

    borrower.ask([(WEALTH, 10)], NOW)
    assert borrower.wants() == {}
    borrower.ask([(WEALTH, 13)], NOW)
    assert borrower.wants() == {WEALTH.id: Want(3, 3 + 64 * 13)}
    assert borrower.wants() == {}, "once"


def test_several_who_wait_ask_for_the_least_that_helps_one_of_them_and_for_what_spares_all() -> None:
    borrower = Borrower()
    for amount in (5, 3, 4):
        borrower.ask([(WEALTH, amount)], NOW)

    assert borrower.wants() == {WEALTH.id: Want(3, 5 + 64 * 5 + 3 + 4)}


@pytest.mark.parametrize(("amount", "asks"), [(8, False), (9, True)])
def test_credit_for_less_than_eight_more_requests_is_little_and_more_is_asked_for(
    amount: int, asks: bool
) -> None:
    borrower = lent(WEALTH, 72)

    hold = borrower.reserve([(WEALTH, amount)], NOW)

    assert hold is not None
    assert hold.leaves_little is asks
    assert borrower.wants() == ({WEALTH.id: Want(0, 64 * amount)} if asks else {})


def test_more_is_asked_for_ahead_of_need_once_in_a_twentieth_of_a_second() -> None:
    borrower = lent(WEALTH, 10)
    asked = []
    for after in (0.0, 0.04, 0.051):
        borrower.reserve([(WEALTH, 2)], NOW + after)
        asked.append(borrower.wants())

    assert asked == [{WEALTH.id: Want(0, 128)}, {}, {WEALTH.id: Want(0, 128)}]


def test_where_there_is_no_plenty_more_is_asked_for_ahead_of_need_once_in_a_second() -> None:
    borrower = lent(WEALTH, 10)
    borrower.take({WEALTH.id: Grant(2, 0)}, {WEALTH.id: Want(0, 128)}, NOW)
    asked = []
    for after in (0.0, 0.99, 1.01):
        borrower.reserve([(WEALTH, 2)], NOW + after)
        asked.append(borrower.wants())

    assert asked[:2] == [{}, {}]
    assert asked[2]


def reserving(limit: Limit, credit: int) -> Borrower:
    """A router that has reserved 100 within half a second."""
    borrower = lent(limit, credit)
    for _ in range(10):
        assert borrower.reserve([(limit, 10)], NOW + 0.5) is not None
    borrower.wants()
    return borrower


@pytest.mark.parametrize(("after_s", "little", "upto"), [(1.0, 1211, 2020), (2.0, 605, 1010)])
def test_less_than_twelve_seconds_as_busy_as_the_last_ones_need_is_little_and_twenty_are_asked_for(
    after_s: float, little: int, upto: int
) -> None:
    for left, asked in ((little + 1, {}), (little, {WEALTH.id: Want(0, upto)})):
        borrower = reserving(WEALTH, 101 + left)
        assert borrower.reserve([(WEALTH, 1)], NOW + after_s) is not None
        assert borrower.wants() == asked


def test_how_busy_it_is_is_measured_over_a_second_at_least() -> None:
    borrower = reserving(WEALTH, 101 + 600)

    assert borrower.reserve([(WEALTH, 1)], NOW + 0.99) is not None
    assert borrower.wants() == {}


@pytest.mark.parametrize("needs_first", [False, True])
def test_who_asks_ahead_of_need_takes_nothing_from_who_waits(needs_first: bool) -> None:
    borrower = lent(WEALTH, 10)

    if needs_first:
        borrower.ask([(WEALTH, 13)], NOW)
    borrower.reserve([(WEALTH, 10)], NOW)
    if not needs_first:
        borrower.ask([(WEALTH, 3)], NOW)

    assert borrower.wants()[WEALTH.id].need == 3


def test_places_are_free_again_soon_and_none_are_asked_for_by_the_second() -> None:
    borrower = reserving(AT_ONCE, 100 + 10)

    borrower.reserve([(AT_ONCE, 1)], NOW + 1.0)

    assert borrower.wants() == {}
