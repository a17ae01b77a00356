"""Fastest: by measured latency, with a static rank for targets that have not answered yet."""

from collections.abc import Sequence
from random import Random

from serve_app.providers.catalogue.rows import vendor
from serve_app.routing.candidate import Candidate
from serve_app.routing.request_view import RequestView


class Fastest:
    """
    The order of measured targets by latency; then of unmeasured ones by their vendor's speed rank.

    One in twenty requests starts with a random other target, so that a target that was slow once is measured
    again.
    """

    name = "fastest"
    explore = 0.05

    def order(self, candidates: Sequence[Candidate], request: RequestView, rng: Random) -> list[Candidate]:
        ordered = sorted(candidates, key=self._key)
        if len(ordered) > 1 and rng.random() < self.explore:
            ordered.insert(0, ordered.pop(rng.randrange(1, len(ordered))))
        return ordered

    @staticmethod
    def _key(candidate: Candidate) -> tuple[bool, float, int, tuple[int, bool, int, bool, int]]:
        guess = vendor(candidate.target.provider_type).speed_rank
        return (candidate.latency_s is None, candidate.latency_s or 0.0, guess, candidate.rank)
