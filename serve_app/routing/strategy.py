"""What every strategy can do: put candidates in order. Each built-in one is a file in `strategies/`."""

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
    Orders candidates, best first.

    Returns exactly the candidates it was given: nothing lost, invented or changed. What the caller prefers
    (priority 0) comes first under every strategy; `plan` sees to that.
    """

    name: str

    def order(self, candidates: Sequence[Candidate], request: RequestView, rng: Random) -> list[Candidate]:
        """
        Return the candidates, best first.

        Args:
            candidates: who may serve the request, in the order of the configuration.
            request: what is asked, and how busy each candidate is. Reading it is what costs time.
            rng: chance, where it decides.
        """


class PluginStrategy:
    """
    A strategy of an installed package, which cannot break a request.

    Where it fails, or returns other candidates than it was given, they are ordered by priority. The log says
    why, once for each kind of failure.
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

    Raises ConfigError for a name that nothing stands behind, and for a package that cannot be imported.
    """
    strategy: Strategy = make_plugin(STRATEGIES, name)
    return strategy if name in STRATEGIES.built_in else PluginStrategy(name, strategy)
