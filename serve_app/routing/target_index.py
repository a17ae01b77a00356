"""
The configured targets, and which of them have the models and the task that a request asks for.

That depends on the configuration and a few words of the request, so it is found once for each combination of
them. What depends on the rest of the request, on budgets or on health is checked for every plan.
"""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from serve_app.routing.candidate import Candidate
from serve_app.routing.eligibility import (
    Dropped,
    is_preferred,
    lacks_task_or_name,
    place_of,
)
from serve_app.routing.requirements import Requirements
from serve_app.routing.target import Target

MOST_KEPT = 1024  # combinations; callers choose the names, from those that are configured


class Listed(NamedTuple):
    """
    A target with the right model and task.

    Fields:
        target: the target.
        named: its place among the models that the caller named; None: not named.
        is_wished: it is named or preferred.
    """

    target: Target
    named: int | None
    is_wished: bool


class Shortlist(NamedTuple):
    """The targets with the right model and task, and the others, each with its reason."""

    listed: tuple[Listed, ...]
    dropped: tuple[Dropped, ...]


class TargetIndex:
    """The targets of one configuration."""

    def __init__(self, targets: Iterable[Target]) -> None:
        self.targets = tuple(targets)
        self._shortlists: dict[tuple[object, ...], Shortlist] = {}

    def __iter__(self) -> Iterator[Target]:
        return iter(self.targets)

    def shortlist(self, requirements: Requirements) -> Shortlist:
        """Return the targets with the models and the task that the request asks for."""
        key = (
            requirements.task,
            requirements.named,
            requirements.only_named,
            requirements.preferred_model,
        )
        found = self._shortlists.get(key)
        if found is None:
            found = self._made(requirements)
            if len(self._shortlists) >= MOST_KEPT:
                self._shortlists.clear()
            self._shortlists[key] = found
        return found

    def _made(self, requirements: Requirements) -> Shortlist:
        listed: list[Listed] = []
        dropped: list[Dropped] = []
        for target in self.targets:
            named = place_of(target, requirements) if requirements.named else None
            is_wished = named is not None or (
                requirements.preferred_model is not None and is_preferred(target, requirements)
            )
            if lack := lacks_task_or_name(target, named, is_wished, requirements):
                dropped.append(Dropped(Candidate(target, target.priority, named=named), *lack))
            else:
                listed.append(Listed(target, named, is_wished))
        return Shortlist(tuple(listed), tuple(dropped))
