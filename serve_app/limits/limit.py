"""Limits: a budget of money, a rate of requests or tokens, or a number of concurrent requests."""

import re
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from functools import lru_cache

MINUTE_S = 60.0
DAY_S = 86_400.0


class Unit(StrEnum):
    """The unit that a limit counts."""

    NANO_DOLLARS = "nano_dollars"
    REQUESTS = "requests"
    TOKENS = "tokens"
    CONCURRENT = "concurrent"


class Window(StrEnum):
    """The time span of a limit. All begin and end in UTC, so that every process agrees on them."""

    MINUTE = "minute"
    DAY = "day"
    MONTH = "month"
    TOTAL = "total"

    def start(self, at: float) -> float:
        """Return when the window around this moment began, in seconds since the epoch; 0 for `total`."""
        match self:
            case Window.MINUTE:
                return at // MINUTE_S * MINUTE_S
            case Window.DAY:
                return at // DAY_S * DAY_S
            case Window.MONTH:
                return _month_of(at // DAY_S * DAY_S)
        return 0.0

    def end(self, at: float) -> float | None:
        """Return when the window ends and the next one begins; None for `total`, which never ends."""
        match self:
            case Window.MINUTE:
                return self.start(at) + MINUTE_S
            case Window.DAY:
                return self.start(at) + DAY_S
            case Window.MONTH:
                return _month_of(self.start(at) + 32 * DAY_S)
        return None


@dataclass(frozen=True, slots=True)
class Scope:
    """The attempts that a limit covers: those that match every field; None matches all."""

    tenant: str | None = None
    caller: str | None = None
    provider: str | None = None
    model: str | None = None

    def covers(self, tenant: str, caller: str, provider: str, model: str) -> bool:
        """Return whether an attempt for this tenant's caller at this provider with this model counts."""
        return (
            self.tenant in (None, tenant) and self.caller in (None, caller) and self.reaches(provider, model)
        )

    def reaches(self, provider: str, model: str) -> bool:
        """Return whether an attempt at this provider with this model counts, for any caller."""
        return self.provider in (None, provider) and self.model in (None, model)

    @property
    def is_per_request(self) -> bool:
        """Return whether the caller alone decides, before the target is known."""
        return self.provider is None and self.model is None


@dataclass(frozen=True, slots=True)
class Limit:
    """
    At most `amount` units within each window, for everything in the scope.

    Attributes:
        id: unique within a gateway.
        counts_requests: a request counts once, however many attempts it takes.
    """

    id: str
    unit: Unit
    window: Window
    amount: int
    scope: Scope = Scope()
    counts_requests: bool = field(init=False, compare=False)

    def __post_init__(self) -> None:
        """Compute `counts_requests` once, because each request reads it several times."""
        counts = self.scope.is_per_request and self.unit in (Unit.REQUESTS, Unit.CONCURRENT)
        object.__setattr__(self, "counts_requests", counts)


def owner_in(limit_id: str) -> str:
    """Return the kind of owner in a limit's id: `gateway`, `provider`, `model`, `tenant` or `key`."""
    return re.split("[:/]", limit_id, maxsplit=1)[0]


@lru_cache(maxsize=64)
def _month_of(day: float) -> float:
    """Return the start of the month that a day is in; a day is given by its start."""
    return datetime.fromtimestamp(day, UTC).replace(day=1).timestamp()
