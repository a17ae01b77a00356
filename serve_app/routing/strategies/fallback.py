"""Fallback, the default: by the operator's priority, and down the list when a target fails."""

from collections.abc import Sequence
from random import Random

from serve_app.routing.candidate import Candidate


class Fallback:
    """The order of contract 3.1 step 6."""

    name = "fallback"

    def order(self, candidates: Sequence[Candidate], rng: Random) -> list[Candidate]:
        return sorted(candidates, key=lambda c: c.rank)
