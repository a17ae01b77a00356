"""Fallback, the default: by the operator's priority, and down the list when a target fails."""

from collections.abc import Sequence
from random import Random

from serve_app.routing.candidate import Candidate


class Fallback:
    """Order by priority, the configured default, estimated cost, and place in the configuration."""

    name = "fallback"

    def order(self, candidates: Sequence[Candidate], rng: Random) -> list[Candidate]:
        return sorted(candidates, key=lambda c: c.rank)
