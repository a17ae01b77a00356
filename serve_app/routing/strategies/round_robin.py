"""Round robin: each target is first in turn."""

from collections.abc import Sequence
from random import Random

from serve_app.routing.candidate import Candidate
from serve_app.routing.request_view import RequestView


class RoundRobin:
    """
    The order of the configuration, starting one place further at every request.

    The turn is counted by each router for itself, which spreads requests as evenly.
    """

    name = "round_robin"

    def __init__(self) -> None:
        self._turn = -1

    def order(self, candidates: Sequence[Candidate], request: RequestView, rng: Random) -> list[Candidate]:
        ordered = sorted(candidates, key=lambda c: c.target.position)
        if not ordered:
            return ordered
        self._turn += 1
        start = self._turn % len(ordered)
        return ordered[start:] + ordered[:start]
