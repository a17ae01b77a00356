"""A limit that is reached, as the caller hears it."""

import pytest

from serve_app.errors import BudgetExceeded, RateLimitExceeded
from serve_app.limits.client import Shortfall
from serve_app.limits.limit import Limit, Unit, Window
from serve_app.limits.refusals import refusal_of

NOON = 1_789_560_000.0


@pytest.mark.parametrize(("window", "resets_in_s"), [(Window.DAY, 12 * 3600.0 - 5), (Window.TOTAL, None)])
def test_a_budget_is_told_in_dollars_and_with_the_time_when_it_begins_anew(
    window: Window, resets_in_s: float | None
) -> None:
    limit = Limit("gateway/money", Unit.NANO_DOLLARS, window, 5_000_000_000)

    error = refusal_of(Shortfall(limit, 2_000_000_000, 4_000_000_000), NOON + 5)

    assert isinstance(error, BudgetExceeded)
    assert error.args == ("gateway/money", window, 5.0, 4.0, 2.0, resets_in_s)


@pytest.mark.parametrize(
    ("unit", "window", "used", "remaining", "after_s"),
    [
        (Unit.TOKENS, Window.MINUTE, 70, 30, 55.0),
        (Unit.TOKENS, Window.MINUTE, 100, 0, 55.0),
        (Unit.TOKENS, Window.MINUTE, 130, 0, 55.0),
        (Unit.REQUESTS, Window.MINUTE, 70, 0, 55.0),
        (Unit.CONCURRENT, Window.TOTAL, 70, 0, 1.0),  # when one of those under way may be done
    ],
)
def test_a_rate_is_told_with_what_is_left_of_it_and_when_to_ask_again(
    unit: Unit, window: Window, used: int, remaining: int, after_s: float
) -> None:
    error = refusal_of(Shortfall(Limit("key:a/rate", unit, window, 100), 50, used), NOON + 5)

    assert isinstance(error, RateLimitExceeded)
    assert error.args == ("key:a/rate", unit, 100, remaining, after_s)
