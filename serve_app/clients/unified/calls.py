"""
The statistics of a client's calls: counts, tokens, latency and cost, in total and by backend and model.

Kept in memory, and lost when the process ends.
"""

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from serve_app.pricing.money import dollars
from serve_app.pricing.usage import Usage

MOST_RECENT = 100
NOTHING = Usage()


@dataclass(frozen=True, slots=True)
class CallMade:
    """
    A finished call.

    Attributes:
        at: in seconds since the epoch.
        model: the tier.
        cost: in nano-dollars.
        error: why it failed; None: it succeeded.
    """

    at: float
    backend: str
    model: str
    latency_s: float
    usage: Usage = NOTHING
    cost: int = 0
    error: str | None = None


@dataclass(slots=True)
class Totals:
    """Sums over calls; `latency_s` over those that succeeded."""

    calls: int = 0
    failed: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    latency_s: float = 0.0
    cost: int = 0

    def add(self, call: CallMade) -> None:
        """Add one call."""
        self.calls += 1
        self.input_tokens += call.usage.input_tokens
        self.output_tokens += call.usage.output_tokens
        self.cost += call.cost
        if call.error is None:
            self.latency_s += call.latency_s
        else:
            self.failed += 1

    @property
    def succeeded(self) -> int:
        """Return the number of successful calls."""
        return self.calls - self.failed

    @property
    def avg_latency_ms(self) -> float:
        """Return the mean latency of successful calls; 0.0 without any."""
        return round(1000 * self.latency_s / self.succeeded, 1) if self.succeeded else 0.0

    @property
    def success_rate(self) -> float:
        """Return the share of successful calls; 0.0 without calls."""
        return round(self.succeeded / self.calls, 4) if self.calls else 0.0

    @property
    def error_rate(self) -> float:
        """Return the share of failed calls; 0.0 without calls."""
        return round(self.failed / self.calls, 4) if self.calls else 0.0


class CallStatistics:
    """The sums of all calls, and the last hundred calls."""

    def __init__(self) -> None:
        self._overview = Totals()
        self._by_backend: dict[str, Totals] = {}
        self._by_model: dict[str, Totals] = {}
        self._recent: deque[CallMade] = deque(maxlen=MOST_RECENT)

    def add(self, call: CallMade) -> None:
        """Add one call."""
        self._overview.add(call)
        self._by_backend.setdefault(call.backend, Totals()).add(call)
        self._by_model.setdefault(call.model, Totals()).add(call)
        self._recent.append(call)

    def cost(self, backend: str) -> int:
        """Return the cost of a backend's tokens, in nano-dollars."""
        return self._by_backend.get(backend, Totals()).cost

    def summary(self) -> dict[str, Any]:
        """Return the JSON of `GET /api/admin/metrics`; the newest call comes last."""
        return {
            "overview": {
                "total_calls": self._overview.calls,
                "successful_calls": self._overview.succeeded,
                "failed_calls": self._overview.failed,
                "total_tokens": self._overview.input_tokens + self._overview.output_tokens,
                "backends_active": sorted(self._by_backend),
                "models_used": sorted(self._by_model),
            },
            "by_backend": {
                name: {
                    "calls": totals.calls,
                    "success_rate": totals.success_rate,
                    "error_rate": totals.error_rate,
                    "total_input_tokens": totals.input_tokens,
                    "total_output_tokens": totals.output_tokens,
                    "avg_latency_ms": totals.avg_latency_ms,
                    "total_cost": in_dollars(totals.cost),
                }
                for name, totals in self._by_backend.items()
            },
            "by_model": {
                name: {
                    "calls": totals.calls,
                    "error_rate": totals.error_rate,
                    "avg_latency_ms": totals.avg_latency_ms,
                    "total_tokens": totals.input_tokens + totals.output_tokens,
                    "cost": in_dollars(totals.cost),
                }
                for name, totals in self._by_model.items()
            },
            "recent_calls": list(_shown(self._recent)),
        }


def in_dollars(nano: int) -> float:
    """Return US dollars, rounded to six decimals."""
    return round(dollars(nano), 6)


def _shown(calls: Iterable[CallMade]) -> Iterable[dict[str, Any]]:
    for call in calls:
        yield {
            "timestamp": datetime.fromtimestamp(call.at, UTC).isoformat(timespec="milliseconds"),
            "backend": call.backend,
            "model": call.model,
            "input_tokens": call.usage.input_tokens,
            "output_tokens": call.usage.output_tokens,
            "latency_ms": round(1000 * call.latency_s, 1),
            "cost": in_dollars(call.cost),
            "success": call.error is None,
            "error": call.error,
        }
