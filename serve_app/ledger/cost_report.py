"""
Cost reports: sums of the ledger by type of provider, or by the dimensions that were asked for.

Pure: takes the ledger's sums and returns nano-dollars.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum

from serve_app.ledger.store import Spend

UNKNOWN = "unknown"  # the type of a provider that is no longer configured


class By(StrEnum):
    """The dimensions of a cost report."""

    DAY = "day"
    PROVIDER = "provider"
    MODEL = "model"
    TENANT = "tenant"
    CALLER = "caller"


@dataclass(slots=True)
class Sum:
    """
    The usage and cost of some attempts.

    Attributes:
        cost: in nano-dollars.
        machine_ms: the time of local machines.
        cache_saving: in nano-dollars, what prompt caches saved.
    """

    attempts: int = 0
    failed: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cost: int = 0
    machine_ms: int = 0
    cache_saving: int = 0

    def add(self, spend: Spend) -> None:
        """Add one row of the ledger's sums."""
        self.attempts += spend.attempts
        self.failed += spend.failed
        self.input_tokens += spend.input_tokens
        self.output_tokens += spend.output_tokens
        self.cost += spend.cost
        self.machine_ms += spend.machine_ms
        self.cache_saving += spend.cache_saving

    @property
    def tokens(self) -> int:
        """Return input and output tokens together."""
        return self.input_tokens + self.output_tokens

    @property
    def success_rate(self) -> float:
        """Return the share of attempts that succeeded; 0.0 without attempts."""
        return round((self.attempts - self.failed) / self.attempts, 4) if self.attempts else 0.0

    @property
    def error_rate(self) -> float:
        """Return the share of attempts that failed; 0.0 without attempts."""
        return round(self.failed / self.attempts, 4) if self.attempts else 0.0


def by_type(spends: Iterable[Spend], types: Mapping[str, str]) -> dict[str, Sum]:
    """Return the sums by type of provider; `types` is by provider id."""
    found: dict[str, Sum] = {}
    for spend in spends:
        found.setdefault(types.get(spend.provider_id, UNKNOWN), Sum()).add(spend)
    return found


def broken_down(spends: Iterable[Spend], by: Sequence[By]) -> list[tuple[tuple[str, ...], Sum]]:
    """Return the sums by all of these dimensions together, in order."""
    found: dict[tuple[str, ...], Sum] = {}
    for spend in spends:
        found.setdefault(tuple(_value(spend, dimension) for dimension in by), Sum()).add(spend)
    return sorted(found.items(), key=lambda row: row[0])


def _value(spend: Spend, by: By) -> str:
    match by:
        case By.DAY:
            return datetime.fromtimestamp(spend.day, UTC).date().isoformat()
        case By.PROVIDER:
            return spend.provider_id
        case By.MODEL:
            return spend.model_id
        case By.TENANT:
            return spend.tenant
        case By.CALLER:
            return spend.caller
