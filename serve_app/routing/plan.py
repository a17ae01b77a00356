"""The plan for one request: who may serve it, in which order, and why the others may not."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import takewhile
from random import Random
from typing import Protocol

from serve_app.config.model import ModelTask
from serve_app.errors import (
    GatewayError,
    InvalidRequest,
    LimitReached,
    ModelNotAllowed,
    NoProvidersAvailable,
    NoSuitableProviders,
)
from serve_app.routing.candidate import Candidate
from serve_app.routing.eligibility import (
    Dropped,
    Obstacle,
    held_back,
    incapable,
    is_allowed,
    is_preferred,
)
from serve_app.routing.requirements import Requirements
from serve_app.routing.strategy import Strategy
from serve_app.routing.target import Target


class Conditions(Protocol):
    """What is known at this moment about targets: prices, breakers, latencies."""

    def cost(self, target: Target, wanted: Requirements) -> int | None:
        """The estimate in nano-dollars; None when the price is unknown."""

    def is_open(self, provider_id: str) -> bool:
        """Whether the provider's breaker keeps requests away."""

    def latency_s(self, target: Target) -> float | None:
        """The measured latency; None before the first answer."""

    def is_ready(self, provider_id: str) -> bool:
        """Whether a request would be worked on at once, and not wait for a machine."""


class Purse(Protocol):
    """What the caller may still spend, as far as it is known."""

    def refusal(self, target: Target, wanted: Requirements, estimate: int | None) -> LimitReached | None:
        """Why this target, which will probably cost that much, cannot be paid for; None: it can be tried."""


@dataclass(frozen=True, slots=True)
class Plan:
    """
    `ordered` are the eligible candidates, best first; the rest are `dropped`, each with its reason.

    `missed` are those who would come before the first one that is ready, if they were ready themselves.
    """

    wanted: Requirements
    strategy: str
    ordered: tuple[Candidate, ...]
    dropped: tuple[Dropped, ...]
    missed: tuple[Candidate, ...] = ()

    def reason(self, chosen: Candidate) -> str:
        """Why this one was chosen (contract 1.2)."""
        if chosen.priority == 0:
            return "Matched preferred model"
        if chosen.target.provider_type == self.wanted.preferred_type:
            return f"Selected by current backend ({chosen.target.provider_type})"
        if self.strategy == "fallback":
            return f"Selected by priority ({chosen.priority})"
        return f"Selected by strategy {self.strategy} (priority {chosen.priority})"

    @property
    def unpaid(self) -> LimitReached | None:
        """What the first budget says, where budgets are all that stands in the way."""
        errors = [dropped.error for dropped in self._held_back]
        return errors[0] if errors and all(errors) else None

    @property
    def _held_back(self) -> list[Dropped]:
        """Who could serve, but not just now."""
        for_now = (Obstacle.DISABLED, Obstacle.BREAKER, Obstacle.COST, Obstacle.BUDGET)
        return [dropped for dropped in self.dropped if dropped.obstacle in for_now]

    def refusal(self, retry_after_s: float | None = None) -> GatewayError:
        """
        What the caller hears when nobody is eligible (contract 1.2).

        `retry_after_s` is when the first of the breakers lets somebody through again.
        """
        task, vision = self.wanted.task, self.wanted.require_vision
        if able := self._held_back:
            why = "; ".join(f"provider {d.candidate.target.name}: {d.reason}" for d in able)
            return NoSuitableProviders(task, why, retry_after_s)
        crowded = [d for d in self.dropped if d.obstacle is Obstacle.IMAGES]
        if crowded:
            most = max(d.candidate.target.vision.max_images for d in crowded if d.candidate.target.vision)
            return InvalidRequest(f"Too many images: {self.wanted.images}, at most {most}", param="messages")
        # Nobody hears of a target that is not for them.
        mine = [d for d in self.dropped if is_allowed(d.candidate.target, self.wanted)]
        if any(d.obstacle is Obstacle.FORBIDDEN for d in self.dropped):
            return ModelNotAllowed(None, dict.fromkeys(d.candidate.target.model_id for d in mine))
        close = [d for d in mine if d.obstacle is not Obstacle.TASK]
        return NoProvidersAvailable(
            task, vision, "; ".join(f"{d.candidate.target.name}: {d.reason}" for d in close)
        )


def make_plan(
    wanted: Requirements,
    targets: Iterable[Target],
    conditions: Conditions,
    strategy: Strategy,
    rng: Random,
    defaults: Mapping[ModelTask, str] | None = None,
    purse: Purse | None = None,
) -> Plan:
    """
    Drop who may not serve, order the rest (contract 3.1).

    A model listed under several tasks is one candidate: the entry for the wanted task speaks for it.
    `purse` is the caller's; None: nothing it spends is limited.
    """
    default_model = (defaults or {}).get(wanted.task)
    eligible: dict[str, Candidate] = {}
    dropped: list[Dropped] = []
    for target in targets:
        preferred = wanted.preferred_model is not None and is_preferred(target, wanted)
        if lack := incapable(target, preferred, wanted):
            dropped.append(Dropped(Candidate(target, target.priority), *lack))
            continue
        candidate = Candidate(
            target=target,
            priority=0 if preferred else target.priority,
            is_default=target.model_id == default_model,
            cost=conditions.cost(target, wanted),
            latency_s=conditions.latency_s(target),
            is_open=conditions.is_open(target.provider_id),
            is_ready=conditions.is_ready(target.provider_id),
        )
        if hold := held_back(candidate, wanted.max_cost):
            dropped.append(Dropped(candidate, *hold))
        elif purse is not None and (unpaid := purse.refusal(target, wanted, candidate.cost)):
            dropped.append(Dropped(candidate, Obstacle.BUDGET, unpaid.reason, unpaid))
        elif target.name not in eligible or target.task is wanted.task:
            eligible[target.name] = candidate
    ordered = strategy.order(list(eligible.values()), rng)
    # Stable: the caller's wish comes before the operators', and both before any strategy's; but who is there
    # comes before who has to be waited for.
    ordered.sort(key=lambda c: (c.priority != 0, c.target.provider_type != wanted.preferred_type))
    missed = tuple(takewhile(lambda c: not c.is_ready, ordered))
    ordered.sort(key=lambda c: not c.is_ready)
    return Plan(wanted, strategy.name, tuple(ordered), tuple(dropped), missed)
