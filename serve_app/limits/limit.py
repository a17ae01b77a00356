"""How much of something may be used: a budget of money, a rate of requests or tokens, a number at once."""

import re
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from functools import lru_cache

MINUTE_S = 60.0
DAY_S = 86_400.0


class Unit(StrEnum):
    """What is counted."""

    NANO_DOLLARS = "nano_dollars"
    REQUESTS = "requests"
    TOKENS = "tokens"
    CONCURRENT = "concurrent"


class Window(StrEnum):
    """Over which span. All begin and end in UTC, so that every process agrees on them."""

    MINUTE = "minute"
    DAY = "day"
    MONTH = "month"
    TOTAL = "total"

    def start(self, at: float) -> float:
        """When the window around this moment began, in seconds since the epoch; 0 for `total`."""
        match self:
            case Window.MINUTE:
                return at // MINUTE_S * MINUTE_S
            case Window.DAY:
                return at // DAY_S * DAY_S
            case Window.MONTH:
                return _month_of(at // DAY_S * DAY_S)
        return 0.0

    def end(self, at: float) -> float | None:
        """When it ends and the next one begins; None for `total`, which never does."""
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
    """Whom a limit is for: everything that agrees with what is named here; None agrees with all."""

    tenant: str | None = None
    caller: str | None = None
    provider: str | None = None
    model: str | None = None

    def covers(self, tenant: str, caller: str, provider: str, model: str) -> bool:
        """Whether an attempt for this tenant's caller at this provider with this model counts."""
        return (
            self.tenant in (None, tenant) and self.caller in (None, caller) and self.reaches(provider, model)
        )

    def reaches(self, provider: str, model: str) -> bool:
        """Whether an attempt at this provider with this model counts, of whoever this is for."""
        return self.provider in (None, provider) and self.model in (None, model)

    @property
    def is_per_request(self) -> bool:
        """Whether it can be told from the caller alone, before anybody knows who will serve."""
        return self.provider is None and self.model is None


@dataclass(frozen=True, slots=True)
class Limit:
    """
    At most `amount` units within each window, for what the scope covers. `id` is unique in a gateway.

    `counts_requests`: a request counts as one, whatever its attempts are.
    """

    id: str
    unit: Unit
    window: Window
    amount: int
    scope: Scope = Scope()
    counts_requests: bool = field(init=False, compare=False)

    def __post_init__(self) -> None:
        """Asked several times for each request, and the same for ever."""
        counts = self.scope.is_per_request and self.unit in (Unit.REQUESTS, Unit.CONCURRENT)
        object.__setattr__(self, "counts_requests", counts)


def owner_in(limit_id: str) -> str:
    """Whose a limit of this id is: `gateway`, `provider`, `model`, `tenant` or `key`."""
    return re.split("[:/]", limit_id, maxsplit=1)[0]


@lru_cache(maxsize=64)
def _month_of(day: float) -> float:
    """The first moment of the month that this day, named by its own first moment, is in."""
    return datetime.fromtimestamp(day, UTC).replace(day=1).timestamp()
