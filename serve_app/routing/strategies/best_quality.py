"""Best quality: by the maker's standing, then by price as the market's own judgement."""

from collections.abc import Sequence
from random import Random

from serve_app.routing.candidate import Candidate

_STANDING = {"anthropic": 0, "openai": 1, "gemini": 2, "ollama": 3}  # best first; unknown makers last


class BestQuality:
    """Within one maker the dearer model is taken for the better one."""

    name = "best_quality"

    def order(self, candidates: Sequence[Candidate], rng: Random) -> list[Candidate]:
        return sorted(
            candidates,
            key=lambda c: (
                _STANDING.get(c.target.provider_type, len(_STANDING)),
                -(c.cost or 0),
                c.rank,
            ),
        )
