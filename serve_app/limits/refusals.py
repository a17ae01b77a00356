"""Turn a limit that is reached into the error for the caller."""

from serve_app.errors import BudgetExceeded, LimitReached, RateLimitExceeded
from serve_app.limits.client import Shortfall
from serve_app.limits.limit import Unit
from serve_app.pricing.money import dollars

SOON_S = 1.0  # by then a request in flight may have finished


def refusal_of(short: Shortfall, now: float) -> LimitReached:
    """Return a 402 for budgets, and a 429 for rates and concurrency."""
    limit = short.limit
    ends = limit.window.end(now)
    resets_in_s = None if ends is None else ends - now
    if limit.unit is Unit.NANO_DOLLARS:
        return BudgetExceeded(
            limit.id,
            limit.window,
            dollars(limit.amount),
            dollars(short.used),
            dollars(short.need),
            resets_in_s,
        )
    remaining = max(0, limit.amount - short.used) if limit.unit is Unit.TOKENS else 0
    return RateLimitExceeded(
        limit.id, limit.unit, limit.amount, remaining, SOON_S if resets_in_s is None else resets_in_s
    )
