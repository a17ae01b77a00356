"""
Quotas of operators' actions: so many within an hour, by a sliding log.

Pure: time is an argument. Kept in the control plane, so that a quota holds for all routers together.
"""

from collections import deque
from dataclasses import dataclass

WITHIN_S = 3600.0
MOST_NAMES = 1000  # above this number of logs, expired ones are dropped


@dataclass(frozen=True, slots=True)
class Allowance:
    """
    The remainder of a quota.

    Attributes:
        resets_at: when the oldest counted action expires, in seconds since the epoch.
    """

    limit: int
    remaining: int
    resets_at: float


class Quotas:
    """The times of recent actions, by the name of the action."""

    def __init__(self) -> None:
        self._logs: dict[str, deque[float]] = {}

    def left(self, name: str, limit: int, now: float) -> Allowance:
        """Return the remainder of a quota; the action is refused if `remaining` is 0."""
        log = self._recent(name, now)
        resets_at = log[max(0, len(log) - limit)] + WITHIN_S if log else now
        return Allowance(limit, max(0, limit - len(log)), resets_at)

    def count(self, name: str, at: float) -> None:
        """Count one action."""
        if len(self._logs) >= MOST_NAMES:
            self._logs = {n: log for n, log in self._logs.items() if log[-1] > at - WITHIN_S}
        self._logs.setdefault(name, deque()).append(at)

    def _recent(self, name: str, now: float) -> deque[float]:
        log = self._logs.get(name, deque())
        while log and log[0] <= now - WITHIN_S:
            log.popleft()
        if not log:
            self._logs.pop(name, None)
        return log
