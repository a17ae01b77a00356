"""All the limits of one caller, apart by when they are asked: that is the same for every request."""

from collections.abc import Iterable

from serve_app.limits.limit import Limit, Unit


class CallerLimits:
    """
    What may hold a caller back: `of_requests` count a request once, before anybody knows who will serve it;
    `of_attempts` count whatever they reach, once it is known. `budgets` are those of money among them.

    The limits are the caller's already, each in their order: nobody looks at tenant and caller again.
    """

    def __init__(self, limits: Iterable[Limit]) -> None:
        every = tuple(limits)
        self.of_requests = tuple(limit for limit in every if limit.counts_requests)
        self.of_attempts = tuple(limit for limit in every if not limit.counts_requests)
        self.budgets = tuple(limit for limit in every if limit.unit is Unit.NANO_DOLLARS)
        self._at: dict[tuple[str, str], tuple[Limit, ...]] = {}  # as many as there are targets

    def of_attempts_at(self, provider_id: str, model_id: str) -> tuple[Limit, ...]:
        """Those that count an attempt at this target."""
        target = (provider_id, model_id)
        found = self._at.get(target)
        if found is None:
            found = tuple(limit for limit in self.of_attempts if limit.scope.reaches(*target))
            self._at[target] = found
        return found
