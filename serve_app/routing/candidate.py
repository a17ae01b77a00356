"""A target with what is known about it at this moment."""

from typing import NamedTuple

from serve_app.routing.target import Target

UNKNOWN_COST = 1 << 62  # sorts behind every real price


class Candidate(NamedTuple):
    """
    A target as it stands for one request.

    `priority` is the effective one: 0 for what the caller prefers or names; `named` is its place among the
    models that the caller named, None: it is none of them. `cost` is the estimate in nano-dollars,
    None when nobody knows the price. `latency_s` is measured, None before the first answer. `is_ready` is
    False while a request would have to wait for a machine.
    """

    target: Target
    priority: int
    is_default: bool = False
    cost: int | None = 0
    latency_s: float | None = None
    is_open: bool = False
    is_ready: bool = True
    named: int | None = None

    @property
    def rank(self) -> tuple[int, bool, int, int]:
        """Return the sort key: priority, configured default, estimated cost, place in the configuration."""
        cost = UNKNOWN_COST if self.cost is None else self.cost
        return (self.priority, not self.is_default, cost, self.target.position)
