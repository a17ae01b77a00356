"""All the limits of one caller, apart by when they are asked: that is the same for every request."""

from collections.abc import Iterable
from typing import NamedTuple

from serve_app.accounting.limit import Limit, Unit


class CallerLimits(NamedTuple):
    """
    What may hold a caller back: `of_requests` count a request once, before anybody knows who will serve it;
    `of_attempts` count whatever they cover, once it is known. `budgets` are those of money among them.
    """

    of_requests: tuple[Limit, ...]
    of_attempts: tuple[Limit, ...]
    budgets: tuple[Limit, ...]


def caller_limits(limits: Iterable[Limit]) -> CallerLimits:
    """These limits, each kind in their order."""
    every = tuple(limits)
    return CallerLimits(
        tuple(limit for limit in every if limit.counts_requests),
        tuple(limit for limit in every if not limit.counts_requests),
        tuple(limit for limit in every if limit.unit is Unit.NANO_DOLLARS),
    )
