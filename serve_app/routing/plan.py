"""
The plan for one request: the eligible targets in order, and why the others may not serve.

A model that the caller names is replaced only if it fails. So stand-ins are in the plan only where a named
model is eligible, or would be if it had not failed. A cost limit, a budget or the content of the request does
not bring in stand-ins.
"""

from collections.abc import Callable, Mapping
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
    too_dear,
    unavailable,
)
from serve_app.routing.refusal import named_refusal, refusal_for_all
from serve_app.routing.request_view import Load, RequestView
from serve_app.routing.requirements import Requirements
from serve_app.routing.strategy import Strategy
from serve_app.routing.target import Target
from serve_app.routing.target_index import TargetIndex


class TargetStats(Protocol):
    """The current state of targets: prices, breakers, latencies."""

    def cost(self, target: Target, requirements: Requirements) -> int | None:
        """Return the estimate in nano-dollars; None: the price is unknown."""

    def is_open(self, provider_id: str) -> bool:
        """Return whether the provider's breaker is open."""

    def latency_s(self, target: Target) -> float | None:
        """Return the measured latency; None before the first answer."""

    def is_ready(self, provider_id: str) -> bool:
        """Return whether a request would be served at once, without waiting for a machine."""

    def load(self, target: Target) -> Load:
        """Return the load and health of a target, for strategies that use it."""


class BudgetFilter(Protocol):
    """The remaining budgets of the caller, as far as they are known."""

    def refusal(
        self, target: Target, requirements: Requirements, estimate: int | None
    ) -> LimitReached | None:
        """Return the refusal if this estimated cost exceeds a budget; None: the target may be tried."""


@dataclass(frozen=True, slots=True)
class Plan:
    """
    The eligible targets for one request, in order.

    Attributes:
        ordered: the eligible candidates, best first.
        dropped: the other targets, each with its reason.
        missed: candidates that would precede the first ready one if they were ready themselves.
        named_failed: no named model is available now, through no fault of the request, so a stand-in may
            answer at once.
        elsewhere: returns the targets that could serve if no model were named.
    """

    requirements: Requirements
    strategy: str
    ordered: tuple[Candidate, ...]
    dropped: tuple[Dropped, ...]
    missed: tuple[Candidate, ...] = ()
    named_failed: bool = False
    elsewhere: Callable[[], tuple[Candidate, ...]] = field(default=tuple, compare=False)

    def is_stand_in(self, candidate: Candidate) -> bool:
        """Return whether this is another model than the caller named."""
        return bool(self.requirements.named) and candidate.named is None

    def reason(self, chosen: Candidate) -> str:
        """Return why this candidate was chosen, for `reason` in the answer of `/api/v1/route`."""
        if self.is_stand_in(chosen):
            return f"{self._reason(chosen)}, because '{self.requirements.named[0]}' failed"
        return self._reason(chosen)

    def _reason(self, chosen: Candidate) -> str:
        if chosen.priority == 0:
            return "Matched preferred model"
        if chosen.target.provider_type == self.requirements.preferred_type:
            return f"Selected by backend ({chosen.target.provider_type})"
        if self.strategy == "fallback":
            return f"Selected by priority ({chosen.priority})"
        return f"Selected by strategy {self.strategy} (priority {chosen.priority})"

    @property
    def budget_refusal(self) -> LimitReached | None:
        """Return the first budget's refusal if budgets are the only obstacle; None: they are not."""
        held_back = [d for d in self.dropped if d.obstacle in FOR_NOW]
        errors = [dropped.error for dropped in held_back]
        return errors[0] if errors and all(errors) else None

    def refusal(self, retry_after_s: float | None = None) -> GatewayError:
        """
        Return the error for the caller when no target is eligible.

        `retry_after_s` is the time until the first breaker lets a request through again.
        """
        if self.requirements.named:
            return named_refusal(self.requirements, self.dropped, self.elsewhere(), retry_after_s)
        return refusal_for_all(self.requirements, self.dropped, retry_after_s)


class _Sieve:
    """Sorts the targets for one request into eligible and dropped ones."""

    def __init__(
        self,
        requirements: Requirements,
        conditions: TargetStats,
        default_model: str | None,
        budget_filter: BudgetFilter | None,
    ) -> None:
        self.eligible: dict[str, Candidate] = {}
        self.dropped: list[Dropped] = []
        self._requirements = requirements
        self._conditions = conditions
        self._default_model = default_model
        self._budget_filter = budget_filter

    def take(self, target: Target, named: int | None, is_wished: bool) -> None:
        """Sort in one target of the shortlist; a model under several tasks is one candidate."""
        requirements = self._requirements
        if lack := incapable(target, requirements):
            self.dropped.append(Dropped(Candidate(target, target.priority, named=named), *lack))
            return
        conditions, provider_id = self._conditions, target.provider_id
        candidate = Candidate(
            target,
            0 if is_wished else target.priority,
            target.model_id == self._default_model,
            conditions.cost(target, requirements),
            conditions.latency_s(target),
            conditions.is_open(provider_id),
            conditions.is_ready(provider_id),
            named,
            requirements.format not in target.formats,
        )
        if obstacle := self._obstacle(candidate):
            self.dropped.append(obstacle)
        elif target.name not in self.eligible or target.task is requirements.task:
            self.eligible[target.name] = candidate

    def _obstacle(self, candidate: Candidate) -> Dropped | None:
        """
        Return the obstacle of a capable target.

        Failures are checked last: a target dropped for one would have served if it had not failed.
        """
        if self._requirements.max_cost is not None and (
            dear := too_dear(candidate, self._requirements.max_cost)
        ):
            return Dropped(candidate, *dear)
        if self._budget_filter is not None:
            budget_refusal = self._budget_filter.refusal(candidate.target, self._requirements, candidate.cost)
            if budget_refusal:
                return Dropped(candidate, Obstacle.BUDGET, budget_refusal.reason, budget_refusal)
        if (candidate.is_open or not candidate.target.is_enabled) and (failure := unavailable(candidate)):
            return Dropped(candidate, *failure)
        return None

    def keep_named(self) -> bool:
        """
        Drop the stand-ins unless a named model is eligible or has failed; return whether all named ones
        failed.
        """
        named = [c for c in self.eligible.values() if c.named is not None]
        if not named and not self._has_failed():
            self.dropped += [Dropped(c, Obstacle.MODEL, NOT_NAMED) for c in self.eligible.values()]
            self.eligible.clear()
        return not any(candidate.is_ready for candidate in named)

    def _has_failed(self) -> bool:
        """Return whether a named model would be eligible if it had not failed."""
        return any(d.candidate.named is not None and d.obstacle in FAILURES for d in self.dropped)


def make_plan(
    requirements: Requirements,
    targets: TargetIndex,
    conditions: TargetStats,
    strategy: Strategy,
    rng: Random,
    defaults: Mapping[ModelTask, str] | None = None,
    budget_filter: BudgetFilter | None = None,
) -> Plan:
    """
    Drop the targets that may not serve the request, and order the rest.

    A model listed under several tasks is one candidate, by its entry for the requested task. `budget_filter`
    is the caller's; None: the caller has no budgets.
    """
    default_model = (defaults or {}).get(requirements.task)
    sieve = _sieved(_Sieve(requirements, conditions, default_model, budget_filter), targets, requirements)
    named_failed = bool(requirements.named) and sieve.keep_named()
    ordered = strategy.order(list(sieve.eligible.values()), RequestView(requirements, conditions), rng)
    # Stable sorts: the caller's order precedes the operators', and both the strategy's. Ready targets precede
    # those that have to be waited for.
    if _has_wishes(requirements):
        bare_names = {name.partition("/")[2] for name in requirements.named}
        ordered.sort(key=lambda c: _wish(c, requirements, bare_names))
    missed = tuple(takewhile(lambda c: not c.is_ready, ordered))
    if not all(candidate.is_ready for candidate in ordered):
        ordered.sort(key=lambda c: not c.is_ready)

    def elsewhere() -> tuple[Candidate, ...]:
        # Of any task: the caller named a model, and could name any of these.
        anyone = requirements._replace(named=tuple(target.name for target in targets), only_named=True)
        sieve = _Sieve(anyone, conditions, default_model, budget_filter)
        others = _sieved(sieve, TargetIndex(targets), anyone).eligible.values()
        return tuple(sorted(others, key=lambda c: (c.target.priority, c.rank)))

    return Plan(
        requirements, strategy.name, tuple(ordered), tuple(sieve.dropped), missed, named_failed, elsewhere
    )


def _sieved(sieve: _Sieve, targets: TargetIndex, requirements: Requirements) -> _Sieve:
    shortlist = targets.shortlist(requirements)
    sieve.dropped += shortlist.dropped
    for target, named, is_wished in shortlist.listed:
        sieve.take(target, named, is_wished)
    return sieve


def _has_wishes(requirements: Requirements) -> bool:
    """Return whether the caller asks for an order; else all targets have the same key of `_wish`."""
    return bool(
        requirements.named
        or requirements.provider_order
        or requirements.preferred_model is not None
        or requirements.preferred_type is not None
    )


def _wish(
    candidate: Candidate, requirements: Requirements, bare_names: set[str]
) -> tuple[int, bool, bool, int, bool]:
    """
    Return the caller's order as a sort key.

    The named models come in their order, before any stand-in. Of the stand-ins, the same model at another
    provider comes first, then the preferred model, then the request's order of providers, then the preferred
    type. `bare_names` are the named models without their provider.
    """
    target, order = candidate.target, requirements.provider_order
    at = 0
    if order:
        places = [order.index(name) for name in (target.provider_id, target.provider_type) if name in order]
        at = min(places, default=len(order))
    return (
        len(requirements.named) if candidate.named is None else candidate.named,
        target.model_id not in bare_names,
        candidate.priority != 0,
        at,
        target.provider_type != requirements.preferred_type,
    )
