"""What every strategy must keep, ours and other people's."""

from random import Random

import pytest

from serve_app.config.model import ModelTask
from serve_app.config.routing import StrategyName
from serve_app.errors import ConfigError
from serve_app.routing.candidate import Candidate
from serve_app.routing.request_view import RequestView
from serve_app.routing.requirements import Requirements
from serve_app.routing.strategy import load_strategy
from serve_app.routing.target import Target

REQUEST = RequestView(Requirements(ModelTask.CHAT_SMART))


def candidates(rng: Random) -> list[Candidate]:
    kinds = ("openai", "anthropic", "ollama", "gemini", "acme")
    return [
        Candidate(
            target=Target(
                provider_id=f"p{place}",
                provider_type=rng.choice(kinds),
                model_id="m",
                name=f"p{place}/m",
                task=ModelTask.CHAT_SMART,
                priority=rng.randint(1, 3),
                position=place,
                context_window=8192,
            ),
            priority=rng.randint(0, 3),
            cost=rng.choice([None, 0, rng.randint(1, 10**9)]),
            latency_s=rng.choice([None, rng.random()]),
        )
        for place in range(rng.randint(0, 8))
    ]


@pytest.mark.parametrize("name", list(StrategyName))
def test_orders_the_candidates_and_nothing_else(name: str) -> None:
    """Nothing is lost, invented or changed, and the same dice give the same order."""
    for seed in range(50):
        given = candidates(Random(seed))

        ordered = load_strategy(name).order(given, REQUEST, Random(seed))

        assert sorted(ordered, key=lambda c: c.target.position) == given, seed
        assert ordered == load_strategy(name).order(given, REQUEST, Random(seed)), seed


def test_there_is_no_strategy_of_a_name_nobody_knows() -> None:
    with pytest.raises(ConfigError, match=r"there is no strategy 'luckiest'; there are: fallback, cheapest"):
        load_strategy("luckiest")
