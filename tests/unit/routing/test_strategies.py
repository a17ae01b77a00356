"""What each strategy is for."""

from random import Random

from serve_app.config.model import ModelTask
from serve_app.routing.candidate import Candidate
from serve_app.routing.request_view import RequestView
from serve_app.routing.requirements import Requirements
from serve_app.routing.strategies.best_quality import BestQuality
from serve_app.routing.strategies.cheapest import Cheapest
from serve_app.routing.strategies.fallback import Fallback
from serve_app.routing.strategies.fastest import Fastest
from serve_app.routing.strategies.round_robin import RoundRobin
from serve_app.routing.target import Target


def candidate(
    kind: str, position: int, priority: int = 1, cost: int | None = 0, latency_s: float | None = None
) -> Candidate:
    target = Target(kind, kind, "m", f"{kind}/m", ModelTask.CHAT_SMART, priority, position, 8192)
    return Candidate(target, priority, cost=cost, latency_s=latency_s)


OPENAI = candidate("openai", 0, priority=1, cost=500)
ANTHROPIC = candidate("anthropic", 1, priority=2, cost=700)
OLLAMA = candidate("ollama", 2, priority=3, cost=0)
REQUEST = RequestView(Requirements(ModelTask.CHAT_SMART))
ALL = [OPENAI, ANTHROPIC, OLLAMA]


def test_fallback_follows_the_operators_priority() -> None:
    assert Fallback().order([OLLAMA, ANTHROPIC, OPENAI], REQUEST, Random(0)) == ALL


def test_cheapest_puts_an_unknown_price_last() -> None:
    unknown = candidate("acme", 3, cost=None)

    assert Cheapest().order([unknown, *ALL], REQUEST, Random(0)) == [OLLAMA, OPENAI, ANTHROPIC, unknown]


def test_fastest_prefers_what_was_measured_and_the_quicker_of_it() -> None:
    slow, quick = candidate("openai", 0, latency_s=2.0), candidate("anthropic", 1, latency_s=0.5)

    assert Fastest().order([OLLAMA, slow, quick], REQUEST, Random(1))[:2] == [quick, slow]


def test_fastest_now_and_then_tries_another_first() -> None:
    slow, quick = candidate("openai", 0, latency_s=2.0), candidate("anthropic", 1, latency_s=0.5)
    rng = Random(0)
    firsts = [Fastest().order([slow, quick], REQUEST, rng)[0] for _ in range(400)]

    assert 0 < firsts.count(slow) < 60


def test_best_quality_goes_by_the_makers_standing_and_then_by_price() -> None:
    dear = candidate("anthropic", 5, cost=9000)

    assert BestQuality().order([*ALL, dear], REQUEST, Random(0)) == [dear, ANTHROPIC, OPENAI, OLLAMA]


def test_round_robin_gives_everyone_the_first_place_in_turn() -> None:
    turns = RoundRobin()

    assert [turns.order(ALL, REQUEST, Random(0))[0] for _ in range(4)] == [OPENAI, ANTHROPIC, OLLAMA, OPENAI]
