"""A target with its current state."""

from typing import NamedTuple

from serve_app.routing.target import Target

UNKNOWN_COST = 1 << 62  # sorts after every real price


class Candidate(NamedTuple):
    """
    A target as a candidate for one request.

    Attributes:
        priority: the effective one; 0 for a model that the caller prefers or names.
        is_default: the configured default model of the task.
        cost: the estimate in nano-dollars; None: the price is unknown.
        latency_s: measured; None before the first answer.
        is_open: its provider's circuit breaker is open.
        is_ready: False while a request would have to wait for a machine.
        is_translated: its upstream does not speak the caller's format.
        named: its place among the models that the caller named; None: not named.
    """

    target: Target
    priority: int
    is_default: bool = False
    cost: int | None = 0
    latency_s: float | None = None
    is_open: bool = False
    is_ready: bool = True
    named: int | None = None
    is_translated: bool = False

    @property
    def rank(self) -> tuple[int, bool, int, bool, int]:
        """
        Return the sort key: priority, configured default, estimated cost, whether the request is translated,
        place in the configuration.
        """
        cost = UNKNOWN_COST if self.cost is None else self.cost
        return (self.priority, not self.is_default, cost, self.is_translated, self.target.position)
