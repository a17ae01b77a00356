"""The protocol of strategies, which order candidates. Each built-in one is a file in `strategies/`."""

import logging
from collections.abc import Sequence
from random import Random
from typing import Protocol

from serve_app.config.plugins import STRATEGIES, make_plugin
from serve_app.routing.candidate import Candidate
from serve_app.routing.request_view import RequestView

log = logging.getLogger("sekha.routing")


class Strategy(Protocol):
    """
    An order of candidates, best first.

    Returns exactly the candidates that it was given: none lost, invented or changed. What the caller prefers
    (priority 0) comes first under every strategy; `plan` ensures that.
    """

    name: str

    def order(self, candidates: Sequence[Candidate], request: RequestView, rng: Random) -> list[Candidate]:
        """
        Return the candidates, best first.

        Args:
            candidates: the eligible targets, in the order of the configuration.
            request: the request, and each candidate's load. Both are computed when they are read.
            rng: the source of random numbers.
        """


class PluginStrategy:
    """
    A strategy of an installed package, whose errors do not fail requests.

    If it raises, or returns other candidates than it was given, they are ordered by priority. Each kind of
    failure is logged once.
    """

    def __init__(self, name: str, strategy: Strategy) -> None:
        self.name = name
        self._strategy = strategy
        self._logged: set[str] = set()

    def order(self, candidates: Sequence[Candidate], request: RequestView, rng: Random) -> list[Candidate]:
        """Return the candidates as the plugin orders them."""
        try:
            ordered = list(self._strategy.order(list(candidates), request, rng))
            if sorted(map(id, ordered)) == sorted(map(id, candidates)):
                return ordered
            self._log("it returned other candidates than it was given", None)
        except Exception as error:  # noqa: BLE001 - whatever the package's code raises
            self._log(type(error).__name__, error)
        return sorted(candidates, key=lambda c: c.rank)

    def _log(self, why: str, error: Exception | None) -> None:
        if why not in self._logged:
            self._logged.add(why)
            message = "strategy '%s' failed, targets are ordered by priority: %s"
            log.error(message, self.name, why, exc_info=error)


def load_strategy(name: str) -> Strategy:
    """
    Make the strategy of that name.

    Raises:
        ConfigError: the name is unknown, or its package cannot be imported.
    """
    strategy: Strategy = make_plugin(STRATEGIES, name)
    return strategy if name in STRATEGIES.built_in else PluginStrategy(name, strategy)
