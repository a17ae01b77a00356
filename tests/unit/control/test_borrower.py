"""A router's credit: what it knows without asking."""

from serve_app.accounting.limit import Limit, Unit, Window
from serve_app.control.borrower import KNOWN_S, Borrower, Shortage
from serve_app.control.credit import Grant

NOW = 1_000.0
BUDGET = Limit("gateway/total", Unit.NANO_DOLLARS, Window.TOTAL, 100)


def told(used: int) -> Borrower:
    """A router that was lent 1 and told how much of the budget was used."""
    borrower = Borrower()
    borrower.ask([(BUDGET, 1)], NOW)
    borrower.take({BUDGET.id: Grant(1, used)}, borrower.wants(), NOW)
    return borrower


def test_what_is_left_of_a_budget_to_the_last_bit_may_be_asked_for_and_no_more() -> None:
    borrower = told(used=60)

    assert borrower.foreseen(BUDGET, 40, NOW) is None
    assert borrower.foreseen(BUDGET, 41, NOW) == Shortage(BUDGET, 41, 60)
    assert borrower.foreseen(BUDGET, 41, NOW + KNOWN_S) == Shortage(BUDGET, 41, 60)
    assert borrower.foreseen(BUDGET, 41, NOW + KNOWN_S + 0.1) is None, "somebody has to ask again"


def test_what_was_reserved_on_trust_and_cancelled_is_no_credit() -> None:
    borrower = told(used=0)

    hold = borrower.trust([(BUDGET, 50)], NOW)
    assert hold is not None
    borrower.cancel(hold, NOW)

    assert borrower.reserve([(BUDGET, 2)], NOW) is None
    assert borrower.reserve([(BUDGET, 1)], NOW) is not None, "what was lent is"
