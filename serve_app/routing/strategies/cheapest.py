"""Cheapest: by the estimated cost of this request; an unknown price comes last."""

from collections.abc import Sequence
from random import Random

from serve_app.routing.candidate import UNKNOWN_COST, Candidate
from serve_app.routing.request_view import RequestView


class Cheapest:
    """The order by estimated cost; equal costs by the operator's priority."""

    name = "cheapest"

    def order(self, candidates: Sequence[Candidate], request: RequestView, rng: Random) -> list[Candidate]:
        return sorted(candidates, key=lambda c: (UNKNOWN_COST if c.cost is None else c.cost, c.rank))
