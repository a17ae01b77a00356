"""Fallback, the default: by the operator's priority."""

from collections.abc import Sequence
from random import Random

from serve_app.routing.candidate import Candidate
from serve_app.routing.request_view import RequestView


class Fallback:
    """The order by priority, the configured default, estimated cost, and place in the configuration."""

    name = "fallback"

    def order(self, candidates: Sequence[Candidate], request: RequestView, rng: Random) -> list[Candidate]:
        return sorted(candidates, key=lambda c: c.rank)
