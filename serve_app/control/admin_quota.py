"""
How often operators may do something within an hour: a sliding log of when they did.

Pure: time is an argument. Kept where all routers ask, so that a limit holds however many of them there are.
"""

from collections import deque
from dataclasses import dataclass

WITHIN_S = 3600.0
MOST_NAMES = 1000  # logs kept before those of which nothing counts any more are dropped


@dataclass(frozen=True, slots=True)
class Allowance:
    """
    What is left of a limit of so many within an hour.

    `resets_at` is when the oldest of those that count no longer does, in seconds since the epoch.
    """

    limit: int
    remaining: int
    resets_at: float


class Quotas:
    """When each thing was done, by its name, as far back as it counts."""

    def __init__(self) -> None:
        self._logs: dict[str, deque[float]] = {}

    def left(self, name: str, limit: int, now: float) -> Allowance:
        """How often it may still be done; none at all when `remaining` is 0."""
        log = self._recent(name, now)
        resets_at = log[max(0, len(log) - limit)] + WITHIN_S if log else now
        return Allowance(limit, max(0, limit - len(log)), resets_at)

    def count(self, name: str, at: float) -> None:
        """It was done."""
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
