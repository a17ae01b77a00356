"""The limits of one caller, grouped by when they are checked."""

from collections.abc import Iterable

from serve_app.limits.limit import Limit, Unit


class CallerLimits:
    """
    The limits that apply to one caller, each group in the configured order.

    Attributes:
        of_requests: count a request once, before its target is chosen.
        of_attempts: count attempts, once the target is known.
        budgets: the limits of money among both.
    """

    def __init__(self, limits: Iterable[Limit]) -> None:
        every = tuple(limits)
        self.of_requests = tuple(limit for limit in every if limit.counts_requests)
        self.of_attempts = tuple(limit for limit in every if not limit.counts_requests)
        self.budgets = tuple(limit for limit in every if limit.unit is Unit.NANO_DOLLARS)
        self._at: dict[tuple[str, str], tuple[Limit, ...]] = {}  # as many as there are targets

    def of_attempts_at(self, provider_id: str, model_id: str) -> tuple[Limit, ...]:
        """Return the limits that count an attempt at this target."""
        target = (provider_id, model_id)
        found = self._at.get(target)
        if found is None:
            found = tuple(limit for limit in self.of_attempts if limit.scope.reaches(*target))
            self._at[target] = found
        return found
