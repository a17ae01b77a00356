"""When a budget says that it runs out: golden cases over days, months and for ever (lessons, row 6)."""

from collections.abc import Sequence
from datetime import UTC, datetime

import pytest

from serve_app.ledger.store import Spend
from serve_app.limits.allocator import BudgetAlert, LeaseAllocator
from serve_app.limits.limit import Limit, Scope, Unit, Window
from serve_app.pricing.money import nano_dollars
from tests.support.entries import entry

START = datetime(2026, 9, 29, tzinfo=UTC).timestamp()
DAY_S = 86_400.0


def budget(dollars: str, window: Window, scope: Scope = Scope()) -> Limit:  # noqa: B008 - it is frozen
    return Limit(f"gateway/{window}", Unit.NANO_DOLLARS, window, nano_dollars(dollars), scope)


DAILY, MONTHLY, EVER = budget("15", Window.DAY), budget("100", Window.MONTH), budget("1000", Window.TOTAL)


class Counted:
    """A lender with these limits, and what it told."""

    def __init__(self, *limits: Limit) -> None:
        self.told: list[BudgetAlert] = []
        self.allocator = LeaseAllocator(self.told.append)
        self.allocator.set_limits(limits, START)
        self._number = 0

    def spends(self, dollars: str, at: float = START) -> list[tuple[str, int]]:
        """What is told of this."""
        self.told.clear()
        self._number += 1
        self.allocator.spend(entry(self._number, at=at, cost=nano_dollars(dollars)), at)
        return self.heard()

    def heard(self) -> list[tuple[str, int]]:
        return [(alert.limit.window, alert.threshold) for alert in self.told]


@pytest.mark.parametrize(
    ("spent", "told"),
    [
        (["0.40"], []),  # bifrost #5770 told of 99 % at this
        (["11.249999999"], []),
        (["11.25"], [75]),
        (["11.249999999", "0.000000001"], [75]),
        (["13.499999999"], [75]),
        (["13.50"], [75, 90]),
        (["14.999999999"], [75, 90]),
        (["15"], [75, 90, 100]),
        (["11.25", "2.25", "1.50", "4.00"], [75, 90, 100]),
        (["5", "5", "5"], [75, 90, 100]),
        (["40"], [75, 90, 100]),
    ],
    ids=str,
)
def test_fifteen_dollars_a_day(spent: Sequence[str], told: Sequence[int]) -> None:
    counted = Counted(DAILY)

    heard = [threshold for dollars in spent for _, threshold in counted.spends(dollars)]

    assert heard == told


def test_each_window_counts_for_itself() -> None:
    counted = Counted(DAILY, MONTHLY, EVER)
    days = [START + day * DAY_S for day in range(4)]  # two of September, two of October

    assert counted.spends("14", days[0]) == [("day", 75), ("day", 90)]
    assert counted.spends("14", days[1]) == [("day", 75), ("day", 90)], "a day begins with nothing"
    assert counted.spends("62", days[1]) == [("day", 100), ("month", 75), ("month", 90)]
    assert counted.spends("14", days[2]) == [("day", 75), ("day", 90)], "and so does a month"
    assert counted.spends("645.99", days[3]) == [
        ("day", 75),
        ("day", 90),
        ("day", 100),
        ("month", 75),
        ("month", 90),
        ("month", 100),
    ]
    assert counted.spends("0.01", days[3]) == [("total", 75)], "749.99 of 1000 was not yet 75 percent"


def test_what_ended_yesterday_does_not_count_today() -> None:
    counted = Counted(DAILY, EVER)
    counted.spends("1", START + DAY_S)

    counted.told.clear()
    counted.allocator.spend(entry(2, at=START, cost=nano_dollars("14")), START + DAY_S)

    assert counted.heard() == []


def test_an_alert_tells_the_whole_of_what_is_spent_and_since_when() -> None:
    counted = Counted(MONTHLY)
    counted.spends("70")
    counted.spends("8")

    [alert] = counted.told
    assert alert == BudgetAlert(MONTHLY, 75, nano_dollars("78"), datetime(2026, 9, 1, tzinfo=UTC).timestamp())


def test_with_a_budget_that_is_raised_the_thresholds_count_anew() -> None:
    counted = Counted(EVER)
    assert counted.spends("1000") == [("total", 75), ("total", 90), ("total", 100)]

    counted.told.clear()
    counted.allocator.set_limits([budget("1300", Window.TOTAL)], START)

    assert counted.heard() == [], "1000 of 1300 are 76.9 percent, of which 75 was told"
    assert counted.spends("170") == [("total", 90)]
    assert counted.spends("130") == [("total", 100)]


def test_a_budget_that_is_lowered_below_what_is_spent_says_so_at_once() -> None:
    counted = Counted(EVER)
    counted.spends("500")

    counted.told.clear()
    counted.allocator.set_limits([budget("550", Window.TOTAL)], START)

    assert counted.heard() == [("total", 75), ("total", 90)]


def spend(dollars: str, day: float = START) -> Spend:
    return Spend(day, "acme", "key-1", "cloud", "gpt-4o", 1, 0, 0, 0, nano_dollars(dollars))


@pytest.mark.parametrize("limits_first", [False, True], ids=["before its limits", "after its limits"])
def test_what_was_told_before_a_restart_is_not_told_again(limits_first: bool) -> None:
    told: list[BudgetAlert] = []
    allocator = LeaseAllocator(told.append)
    if limits_first:  # the store was down when the authority came up
        allocator.set_limits([DAILY], START)
    allocator.restore([spend("12")], START, silence_s=0.0)
    allocator.set_limits([DAILY], START)
    assert told == []

    allocator.spend(entry(1, at=START, cost=nano_dollars("1.5")), START)
    assert [alert.threshold for alert in told] == [90]

    allocator.spend(entry(2, at=START + DAY_S, cost=nano_dollars("12")), START + DAY_S)
    assert [alert.threshold for alert in told] == [90, 75], "the next day has its own"


def test_a_limit_that_operators_add_after_a_restart_is_told_of_like_any_other() -> None:
    told: list[BudgetAlert] = []
    allocator = LeaseAllocator(told.append)
    allocator.restore([spend("12")], START, silence_s=0.0)
    allocator.set_limits([], START)

    allocator.set_limits([DAILY], START)

    assert [alert.threshold for alert in told] == [75]
