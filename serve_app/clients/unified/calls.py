"""
What a client's calls came to: counts, tokens, latency and cost, in all and by backend and model.

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
    One call, once it has ended.

    `at` is in seconds since the epoch, `cost` in nano-dollars. `model` is the tier. `error`: why it failed.
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
        return self.calls - self.failed

    @property
    def avg_latency_ms(self) -> float:
        return round(1000 * self.latency_s / self.succeeded, 1) if self.succeeded else 0.0

    @property
    def success_rate(self) -> float:
        return round(self.succeeded / self.calls, 4) if self.calls else 0.0

    @property
    def error_rate(self) -> float:
        return round(self.failed / self.calls, 4) if self.calls else 0.0


class CallBook:
    """Takes in calls; the sums are over all of them, the calls themselves are the last hundred."""

    def __init__(self) -> None:
        self._overview = Totals()
        self._by_backend: dict[str, Totals] = {}
        self._by_model: dict[str, Totals] = {}
        self._recent: deque[CallMade] = deque(maxlen=MOST_RECENT)

    def add(self, call: CallMade) -> None:
        self._overview.add(call)
        self._by_backend.setdefault(call.backend, Totals()).add(call)
        self._by_model.setdefault(call.model, Totals()).add(call)
        self._recent.append(call)

    def cost(self, backend: str) -> int:
        """What a backend's tokens have cost, in nano-dollars."""
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
                    "calls": its.calls,
                    "success_rate": its.success_rate,
                    "error_rate": its.error_rate,
                    "total_input_tokens": its.input_tokens,
                    "total_output_tokens": its.output_tokens,
                    "avg_latency_ms": its.avg_latency_ms,
                    "total_cost": in_dollars(its.cost),
                }
                for name, its in self._by_backend.items()
            },
            "by_model": {
                name: {
                    "calls": its.calls,
                    "error_rate": its.error_rate,
                    "avg_latency_ms": its.avg_latency_ms,
                    "total_tokens": its.input_tokens + its.output_tokens,
                    "cost": in_dollars(its.cost),
                }
                for name, its in self._by_model.items()
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
