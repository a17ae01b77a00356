"""A strategy: the requests of one session go to one target, as long as it can take them."""

from collections.abc import Sequence
from hashlib import blake2b
from random import Random

from serve_app.routing.candidate import Candidate
from serve_app.routing.request_view import RequestView


class Sticky:
    """Orders by a hash of session and target, so that a target which leaves moves its own sessions only."""

    name = "sticky"

    def order(self, candidates: Sequence[Candidate], request: RequestView, rng: Random) -> list[Candidate]:
        key = request.session or request.text_hash
        return sorted(candidates, key=lambda c: blake2b(f"{key} {c.target.name}".encode()).digest())
