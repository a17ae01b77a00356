"""
The plan for one request: who may serve it, in which order, and why the others may not.

A model that the caller names is only ever replaced when it fails. So a stand-in is in the plan only where a
named model can be asked, or could be if it had not failed: a cost limit, a budget or what the request
contains brings no stand-in in.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from itertools import takewhile
from random import Random
from typing import Protocol

from serve_app.config.model import ModelTask
from serve_app.errors import GatewayError, LimitReached
from serve_app.routing.candidate import Candidate
from serve_app.routing.eligibility import (
    FAILURES,
    FOR_NOW,
    NOT_NAMED,
    Dropped,
    Obstacle,
    incapable,
    is_preferred,
    place_of,
    too_dear,
    unavailable,
)
from serve_app.routing.refusal import named_refusal, refusal_for_all
from serve_app.routing.request_view import Load, RequestView
from serve_app.routing.requirements import Requirements
from serve_app.routing.strategy import Strategy
from serve_app.routing.target import Target


class TargetStats(Protocol):
    """What is known at this moment about targets: prices, breakers, latencies."""

    def cost(self, target: Target, wanted: Requirements) -> int | None:
        """The estimate in nano-dollars; None when the price is unknown."""

    def is_open(self, provider_id: str) -> bool:
        """Whether the provider's breaker keeps requests away."""

    def latency_s(self, target: Target) -> float | None:
        """The measured latency; None before the first answer."""

    def is_ready(self, provider_id: str) -> bool:
        """Whether a request would be worked on at once, and not wait for a machine."""

    def load(self, target: Target) -> Load:
        """How busy and how well the target is; read by strategies that go by it."""


class BudgetFilter(Protocol):
    """What the caller may still spend, as far as it is known."""

    def refusal(self, target: Target, wanted: Requirements, estimate: int | None) -> LimitReached | None:
        """Why this target, which will probably cost that much, cannot be paid for; None: it can be tried."""


@dataclass(frozen=True, slots=True)
class Plan:
    """
    `ordered` are the eligible candidates, best first; the rest are `dropped`, each with its reason.

    `missed` are those who would come before the first one that is ready, if they were ready themselves.
    `named_failed`: no named model can be asked just now, through no fault of the request, so that a stand-in
    may answer at once. `elsewhere` finds the targets that could serve if no model were named.
    """

    wanted: Requirements
    strategy: str
    ordered: tuple[Candidate, ...]
    dropped: tuple[Dropped, ...]
    missed: tuple[Candidate, ...] = ()
    named_failed: bool = False
    elsewhere: Callable[[], tuple[Candidate, ...]] = field(default=tuple, compare=False)

    def is_stand_in(self, candidate: Candidate) -> bool:
        """Return whether this is another model than the caller named."""
        return bool(self.wanted.named) and candidate.named is None

    def reason(self, chosen: Candidate) -> str:
        """Return why this candidate was chosen, for `reason` in the answer of `/api/v1/route`."""
        if self.is_stand_in(chosen):
            return f"{self._reason(chosen)}, because '{self.wanted.named[0]}' failed"
        return self._reason(chosen)

    def _reason(self, chosen: Candidate) -> str:
        if chosen.priority == 0:
            return "Matched preferred model"
        if chosen.target.provider_type == self.wanted.preferred_type:
            return f"Selected by backend ({chosen.target.provider_type})"
        if self.strategy == "fallback":
            return f"Selected by priority ({chosen.priority})"
        return f"Selected by strategy {self.strategy} (priority {chosen.priority})"

    @property
    def budget_refusal(self) -> LimitReached | None:
        """What the first budget says, where budgets are all that stands in the way."""
        held_back = [d for d in self.dropped if d.obstacle in FOR_NOW]
        errors = [dropped.error for dropped in held_back]
        return errors[0] if errors and all(errors) else None

    def refusal(self, retry_after_s: float | None = None) -> GatewayError:
        """
        Return the error for the caller when no target is eligible.

        `retry_after_s` is when the first of the breakers lets somebody through again.
        """
        if self.wanted.named:
            return named_refusal(self.wanted, self.dropped, self.elsewhere(), retry_after_s)
        return refusal_for_all(self.wanted, self.dropped, retry_after_s)


class _Sieve:
    """Sorts targets for one request into those that may serve it and those that may not."""

    def __init__(
        self,
        wanted: Requirements,
        conditions: TargetStats,
        default_model: str | None,
        budget_filter: BudgetFilter | None,
    ) -> None:
        self.eligible: dict[str, Candidate] = {}
        self.dropped: list[Dropped] = []
        self._wanted = wanted
        self._conditions = conditions
        self._default_model = default_model
        self._budget_filter = budget_filter

    def take(self, target: Target) -> None:
        """Put one target where it belongs; a model under several tasks is one candidate."""
        wanted = self._wanted
        named = place_of(target, wanted) if wanted.named else None
        is_wished = named is not None or (wanted.preferred_model is not None and is_preferred(target, wanted))
        if lack := incapable(target, named, is_wished, wanted):
            self.dropped.append(Dropped(Candidate(target, target.priority, named=named), *lack))
            return
        conditions, provider_id = self._conditions, target.provider_id
        candidate = Candidate(
            target,
            0 if is_wished else target.priority,
            target.model_id == self._default_model,
            conditions.cost(target, wanted),
            conditions.latency_s(target),
            conditions.is_open(provider_id),
            conditions.is_ready(provider_id),
            named,
        )
        if obstacle := self._obstacle(candidate):
            self.dropped.append(obstacle)
        elif target.name not in self.eligible or target.task is wanted.task:
            self.eligible[target.name] = candidate

    def _obstacle(self, candidate: Candidate) -> Dropped | None:
        """
        What keeps a capable target from serving.

        Failures come last: who is dropped for one would have served, had it not failed.
        """
        if self._wanted.max_cost is not None and (dear := too_dear(candidate, self._wanted.max_cost)):
            return Dropped(candidate, *dear)
        if self._budget_filter is not None:
            budget_refusal = self._budget_filter.refusal(candidate.target, self._wanted, candidate.cost)
            if budget_refusal:
                return Dropped(candidate, Obstacle.BUDGET, budget_refusal.reason, budget_refusal)
        if (candidate.is_open or not candidate.target.is_enabled) and (failure := unavailable(candidate)):
            return Dropped(candidate, *failure)
        return None

    def keep_named(self) -> bool:
        """Drop the stand-ins unless a named model can fail, or has; return whether each of them has."""
        named = [c for c in self.eligible.values() if c.named is not None]
        if not named and not self._has_failed():
            self.dropped += [Dropped(c, Obstacle.MODEL, NOT_NAMED) for c in self.eligible.values()]
            self.eligible.clear()
        return not any(candidate.is_ready for candidate in named)

    def _has_failed(self) -> bool:
        """Whether a named model would serve, had it not failed."""
        return any(d.candidate.named is not None and d.obstacle in FAILURES for d in self.dropped)


def make_plan(
    wanted: Requirements,
    targets: Iterable[Target],
    conditions: TargetStats,
    strategy: Strategy,
    rng: Random,
    defaults: Mapping[ModelTask, str] | None = None,
    budget_filter: BudgetFilter | None = None,
) -> Plan:
    """
    Drop the targets that may not serve the request, and order the rest.

    A model listed under several tasks is one candidate: the entry for the wanted task speaks for it.
    `budget_filter` is the caller's; None: nothing it spends is limited.
    """
    targets = tuple(targets)
    default_model = (defaults or {}).get(wanted.task)
    sieve = _sieved(_Sieve(wanted, conditions, default_model, budget_filter), targets)
    named_failed = bool(wanted.named) and sieve.keep_named()
    ordered = strategy.order(list(sieve.eligible.values()), RequestView(wanted, conditions), rng)
    # Stable: the caller's wish comes before the operators', and both before any strategy's; but who is there
    # comes before who has to be waited for.
    bare_names = {name.partition("/")[2] for name in wanted.named}
    ordered.sort(key=lambda c: _wish(c, wanted, bare_names))
    missed = tuple(takewhile(lambda c: not c.is_ready, ordered))
    ordered.sort(key=lambda c: not c.is_ready)

    def elsewhere() -> tuple[Candidate, ...]:
        # Whatever it is listed under: a caller who names a model may as well name this one.
        anyone = wanted._replace(named=tuple(target.name for target in targets), only_named=True)
        others = _sieved(_Sieve(anyone, conditions, default_model, budget_filter), targets).eligible.values()
        return tuple(sorted(others, key=lambda c: (c.target.priority, c.rank)))

    return Plan(wanted, strategy.name, tuple(ordered), tuple(sieve.dropped), missed, named_failed, elsewhere)


def _sieved(sieve: _Sieve, targets: Iterable[Target]) -> _Sieve:
    for target in targets:
        sieve.take(target)
    return sieve


def _wish(
    candidate: Candidate, wanted: Requirements, bare_names: set[str]
) -> tuple[int, bool, bool, int, bool]:
    """
    What the caller would rather have, as a key to sort by.

    The named models in their order, before any stand-in; of those the same model at another provider first,
    then the preferred one; at the providers in the order of the request; of the preferred type.
    `bare_names` are the named ones without a provider before them.
    """
    target, order = candidate.target, wanted.provider_order
    at = 0
    if order:
        places = [order.index(name) for name in (target.provider_id, target.provider_type) if name in order]
        at = min(places, default=len(order))
    return (
        len(wanted.named) if candidate.named is None else candidate.named,
        target.model_id not in bare_names,
        candidate.priority != 0,
        at,
        target.provider_type != wanted.preferred_type,
    )
