"""Best quality: by the vendor's rank, then by price, as the market's measure of quality."""

from collections.abc import Sequence
from random import Random

from serve_app.providers.catalogue.rows import vendor
from serve_app.routing.candidate import Candidate
from serve_app.routing.request_view import RequestView


class BestQuality:
    """The order by the vendor's quality rank; within one vendor the more expensive model first."""

    name = "best_quality"

    def order(self, candidates: Sequence[Candidate], request: RequestView, rng: Random) -> list[Candidate]:
        return sorted(
            candidates,
            key=lambda c: (
                vendor(c.target.provider_type).quality_rank,
                -(c.cost or 0),
                c.rank,
            ),
        )
