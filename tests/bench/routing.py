"""What a routing decision costs: the plan over 50 targets, all able to serve, all prices known."""

from collections.abc import Callable
from random import Random
from statistics import median
from time import perf_counter

from serve_app.config.model import ModelTask
from serve_app.config.settings import Settings
from serve_app.routing.plan import make_plan
from serve_app.routing.request_view import Load
from serve_app.routing.requirements import Requirements
from serve_app.routing.strategy import load_strategy
from serve_app.routing.target import Target, targets_of
from serve_app.routing.target_index import TargetIndex

TARGETS = 50
BATCH, BATCHES = 200, 15


class Known:
    """Every price and latency is known, every breaker closed, everyone there."""

    def cost(self, target: Target, wanted: Requirements) -> int | None:
        return 1_000 * (target.position % 7)

    def is_open(self, provider_id: str) -> bool:
        return False

    def latency_s(self, target: Target) -> float | None:
        return 0.1 + target.position % 5

    def is_ready(self, provider_id: str) -> bool:
        return True

    def load(self, target: Target) -> Load:
        return Load(latency_s=self.latency_s(target))


def settings() -> Settings:
    providers = [
        {
            "id": f"provider_{n}",
            "type": "openai",
            "priority": 1 + n % 5,
            "models": [{"model_id": f"model_{n}", "task": "chat_smart", "context_window": 128_000}],
        }
        for n in range(TARGETS)
    ]
    return Settings.model_validate({"llm_providers": providers, "default_models": {"chat_smart": "model_1"}})


def median_us(action: Callable[[], object]) -> float:
    """Of one call, over batches: a clock that is read for each call would be measured with it."""
    seconds = []
    for _ in range(BATCHES):
        started = perf_counter()
        for _ in range(BATCH):
            action()
        seconds.append((perf_counter() - started) / BATCH)
    return median(seconds) * 1e6


def decision_us(strategy_name: str = "fallback") -> float:
    """Microseconds for one plan."""
    targets, strategy, rng = TargetIndex(targets_of(settings())), load_strategy(strategy_name), Random(1)
    wanted = Requirements(ModelTask.CHAT_SMART, context_size=2_000, max_cost=10_000_000)
    plan = make_plan(wanted, targets, Known(), strategy, rng)
    assert len(plan.ordered) == TARGETS
    return median_us(lambda: make_plan(wanted, targets, Known(), strategy, rng))
