"""What every strategy can do: put candidates in order. Each is one file in `strategies/`."""

from collections.abc import Sequence
from importlib import import_module
from random import Random
from typing import Protocol

from serve_app.config.plugins import find
from serve_app.config.routing import StrategyName
from serve_app.routing.candidate import Candidate


class Strategy(Protocol):
    """
    Orders candidates, best first.

    Returns exactly the candidates it was given: nothing lost, invented or changed. What the caller prefers
    (priority 0) comes first under every strategy; `plan` sees to that.
    """

    name: str

    def order(self, candidates: Sequence[Candidate], rng: Random) -> list[Candidate]:
        """The candidates, best first."""


def load_strategy(name: StrategyName | str) -> Strategy:
    """The strategy of that name; ValueError names what there is."""
    module, _, cls = find("strategies", str(name)).partition(":")
    strategy: Strategy = getattr(import_module(module), cls)()
    return strategy
