"""Routing decisions, those that callers rely on and the corners between them."""

from dataclasses import dataclass, field
from random import Random
from typing import Any

import pytest

from serve_app.config.model import ModelTask
from serve_app.errors import InvalidRequest, NoProvidersAvailable, NoSuitableProviders
from serve_app.pricing.target_prices import prices_of
from serve_app.pricing.usage import Usage
from serve_app.routing.plan import Plan, make_plan
from serve_app.routing.requirements import Requirements
from serve_app.routing.strategy import load_strategy
from serve_app.routing.target import Target, defaults_by_task, targets_of
from serve_app.routing.target_index import MOST_KEPT, TargetIndex
from tests.support.settings import HYBRID, LOCAL, settings

SMART, SMALL, EMBEDDING = ModelTask.CHAT_SMART, ModelTask.CHAT_SMALL, ModelTask.EMBEDDING


@dataclass
class TargetStats:
    """Prices as the catalogue has them; breakers and latencies as the test says."""

    prices: dict[str, Any]
    down: set[str] = field(default_factory=set)
    asleep: set[str] = field(default_factory=set)

    def cost(self, target: Target, wanted: Requirements) -> int | None:
        price = self.prices[target.name]
        return None if price is None else price.cost(Usage(wanted.input_tokens, wanted.output_tokens))

    def is_open(self, provider_id: str) -> bool:
        return provider_id in self.down

    def latency_s(self, target: Target) -> float | None:
        return None

    def is_ready(self, provider_id: str) -> bool:
        return provider_id not in self.asleep


def plan(
    data: dict[str, Any],
    task: ModelTask,
    down: tuple[str, ...] = (),
    asleep: tuple[str, ...] = (),
    **asked: Any,
) -> Plan:
    config = settings(data)
    output = 0 if task is EMBEDDING else 500
    return make_plan(
        Requirements(task, **{"output_tokens": output, **asked}),
        TargetIndex(targets_of(config)),
        TargetStats(prices_of(config), set(down), set(asleep)),
        load_strategy("fallback"),
        Random(0),
        defaults_by_task(config.default_models),
    )


def chosen(made: Plan) -> str:
    return made.ordered[0].target.name


def cloud(
    models: list[dict[str, Any]], defaults: dict[str, str] | None = None, **more: Any
) -> dict[str, Any]:
    provider = {"id": "cloud", "type": "openai", "priority": 1, "models": models, **more}
    return {"llm_providers": [provider], "default_models": defaults or {}}


@pytest.mark.contract(14)
def test_an_embedding_goes_to_the_local_model_for_nothing() -> None:
    made = plan(LOCAL, EMBEDDING)

    assert chosen(made) == "ollama_local/nomic-embed-text"
    assert made.ordered[0].cost == 0
    assert made.reason(made.ordered[0]) == "Selected by priority (1)"


@pytest.mark.parametrize(("table", "cost"), [("current", 7_500_000), ("classic", 12_500_000)])
@pytest.mark.contract(17)
def test_the_hybrid_example_costs_what_the_chosen_price_table_says(table: str, cost: int) -> None:
    made = plan({**HYBRID, "pricing": {"table": table}}, SMART, max_cost=100_000_000)

    assert chosen(made) == "openai_cloud/gpt-4o"
    assert made.ordered[0].cost == cost


@pytest.mark.contract(20)
def test_of_two_equals_the_cheaper_is_chosen() -> None:
    models = [{"model_id": "gpt-4o", "task": "chat_smart"}, {"model_id": "gpt-4o-mini", "task": "chat_smart"}]

    assert chosen(plan(cloud(models), SMART)) == "cloud/gpt-4o-mini"


def test_the_configured_default_comes_before_the_cheaper_one() -> None:
    models = [{"model_id": "gpt-4o-mini", "task": "chat_smart"}, {"model_id": "gpt-4o", "task": "chat_smart"}]

    assert chosen(plan(cloud(models, {"chat_smart": "gpt-4o"}), SMART)) == "cloud/gpt-4o"


@pytest.mark.contract(21)
def test_an_open_breaker_sends_the_request_to_the_next_provider() -> None:
    made = plan(HYBRID, SMALL, down=("ollama_local",))

    assert chosen(made) == "openai_cloud/gpt-4o-mini"
    assert any("breaker" in dropped.reason for dropped in made.dropped)


@pytest.mark.contract(22)
def test_all_breakers_open_is_no_suitable_provider() -> None:
    refusal = plan(HYBRID, SMALL, down=("ollama_local", "openai_cloud")).refusal()

    assert isinstance(refusal, NoSuitableProviders)
    assert isinstance(refusal, RuntimeError)
    assert str(refusal).startswith("No suitable providers available for task 'chat_small'")


@pytest.mark.contract(23)
def test_no_model_for_the_task_is_no_provider_at_all() -> None:
    refusal = plan(LOCAL, ModelTask.CHAT_LARGE).refusal()

    assert isinstance(refusal, NoProvidersAvailable)
    assert str(refusal).startswith("No providers available for task 'chat_large' (vision=False)")


@pytest.mark.contract(25)
def test_when_all_are_too_dear_the_refusal_speaks_of_cost() -> None:
    refusal = plan(HYBRID, SMART, max_cost=1_000).refusal()

    assert isinstance(refusal, NoSuitableProviders)
    assert "cost" in str(refusal)


@pytest.mark.contract(26)
def test_a_cost_equal_to_the_limit_is_allowed() -> None:
    assert chosen(plan(HYBRID, SMART, max_cost=7_500_000)) == "openai_cloud/gpt-4o"
    assert not plan(HYBRID, SMART, max_cost=7_499_999).ordered


@pytest.mark.contract(28)
def test_a_preferred_model_wins_and_the_reason_says_so() -> None:
    made = plan(HYBRID, SMALL, preferred_model="gpt-4o-mini")

    assert chosen(made) == "openai_cloud/gpt-4o-mini"
    assert "preferred" in made.reason(made.ordered[0]).lower()


@pytest.mark.contract(29)
def test_a_preference_for_what_is_not_there_is_ignored_and_not_claimed() -> None:
    made = plan(HYBRID, SMART, preferred_model="gpt-7")

    assert chosen(made) == "openai_cloud/gpt-4o"
    assert made.reason(made.ordered[0]) == "Selected by priority (2)"


@pytest.mark.contract(30)
def test_a_preferred_model_behind_an_open_breaker_gives_way() -> None:
    made = plan(HYBRID, SMALL, down=("openai_cloud",), preferred_model="gpt-4o-mini")

    assert chosen(made) == "ollama_local/llama3.1:8b"


@pytest.mark.contract(32)
def test_an_embedding_never_goes_to_a_chat_model_however_preferred() -> None:
    assert chosen(plan(HYBRID, EMBEDDING, preferred_model="gpt-4o")) == "ollama_local/nomic-embed-text"


@pytest.mark.contract(33)
def test_a_preferred_model_that_does_not_see_is_passed_over_for_images() -> None:
    made = plan(HYBRID, SMART, require_vision=True, preferred_model="llama3.1:8b")

    assert chosen(made) == "openai_cloud/gpt-4o"


@pytest.mark.contract(34)
def test_a_model_that_sees_serves_the_vision_task_whatever_it_is_listed_under() -> None:
    assert chosen(plan(HYBRID, ModelTask.VISION)) == "openai_cloud/gpt-4o"


@pytest.mark.contract(38)
def test_the_context_window_must_hold_the_request() -> None:
    models = [
        {"model_id": "gpt-4o-mini", "task": "chat_smart", "context_window": 8192},
        {"model_id": "gpt-4o", "task": "chat_smart", "context_window": 128000},
    ]

    assert chosen(plan(cloud(models), SMART, context_size=100_000)) == "cloud/gpt-4o"
    assert isinstance(plan(cloud(models), SMART, context_size=9_000_000).refusal(), NoProvidersAvailable)


@pytest.mark.contract(78)
def test_too_many_images_are_the_callers_mistake() -> None:
    refusal = plan(HYBRID, SMART, require_vision=True, images=11).refusal()

    assert isinstance(refusal, InvalidRequest)
    assert (refusal.status, refusal.param) == (400, "messages")
    assert str(refusal) == "Too many images: 11, at most 10"


def test_an_unknown_price_of_a_paid_provider_fits_no_limit() -> None:
    models = [{"model_id": "brand-new", "task": "chat_smart"}]

    assert chosen(plan(cloud(models), SMART)) == "cloud/brand-new"
    assert "price is unknown" in str(plan(cloud(models), SMART, max_cost=10**12).refusal())


def test_a_model_under_two_tasks_is_one_candidate() -> None:
    made = plan(LOCAL, SMART, preferred_model="llama3.1:8b")

    assert [c.target.name for c in made.ordered] == ["ollama_local/llama3.1:8b"]
    assert made.ordered[0].target.task is SMART


def test_a_named_embedding_model_is_never_swapped_for_another() -> None:
    models = [
        {"model_id": "text-embedding-3-small", "task": "embedding", "dimension": 1536},
        {"model_id": "text-embedding-3-large", "task": "embedding", "dimension": 3072},
    ]
    made = plan(cloud(models), EMBEDDING, named=("text-embedding-3-large",), only_named=True)

    assert [c.target.model_id for c in made.ordered] == ["text-embedding-3-large"]


@pytest.mark.parametrize("name", ["fallback", "cheapest", "fastest", "best_quality", "round_robin"])
def test_the_callers_wish_comes_before_any_strategy(name: str) -> None:
    config = settings(HYBRID)
    made = make_plan(
        Requirements(SMALL, preferred_model="gpt-4o-mini"),
        TargetIndex(targets_of(config)),
        TargetStats(prices_of(config)),
        load_strategy(name),
        Random(3),
    )

    assert chosen(made) == "openai_cloud/gpt-4o-mini"


# Who has to be waited for


def three(**more: Any) -> dict[str, Any]:
    """Two clouds, and between them a model of our own."""
    models = [{"model_id": "m", "task": "chat_smart"}]
    own = {
        "id": "own",
        "type": "vllm",
        "priority": 2,
        "models": [{"model_id": "llama", "task": "chat_smart"}],
    }
    return {
        "llm_providers": [
            {"id": "first", "type": "openai", "priority": 1, "models": models},
            {**own, **more},
            {"id": "last", "type": "openai", "priority": 3, "models": models},
        ],
        "default_models": {},
    }


def order(made: Plan) -> list[str]:
    return [candidate.target.provider_id for candidate in made.ordered]


def missed(made: Plan) -> list[str]:
    return [candidate.target.provider_id for candidate in made.missed]


def test_who_is_not_ready_comes_last_and_nobody_else_changes_places() -> None:
    assert order(plan(three(), SMART)) == ["first", "own", "last"]
    assert order(plan(three(), SMART, asleep=("own",))) == ["first", "last", "own"]


@pytest.mark.parametrize("wish", [{"preferred_model": "llama"}, {"preferred_type": "vllm"}], ids=str)
def test_who_is_not_ready_comes_last_even_if_the_caller_prefers_it(wish: dict[str, Any]) -> None:
    assert order(plan(three(), SMART, **wish)) == ["own", "first", "last"]
    assert order(plan(three(), SMART, asleep=("own",), **wish)) == ["first", "last", "own"]


@pytest.mark.parametrize("name", ["fallback", "cheapest", "fastest", "best_quality", "round_robin"])
def test_who_is_not_ready_comes_last_with_every_strategy(name: str) -> None:
    config = settings(three(priority=1))
    conditions = TargetStats(prices_of(config), asleep={"own"})
    for seed in range(20):
        made = make_plan(
            Requirements(SMART),
            TargetIndex(targets_of(config)),
            conditions,
            load_strategy(name),
            Random(seed),
        )
        assert order(made)[-1] == "own"


def test_who_is_not_ready_serves_where_there_is_nobody_else() -> None:
    made = plan(three(), SMART, asleep=("own",), named=("llama",), only_named=True)

    assert order(made) == ["own"]
    assert missed(made) == ["own"]


def test_where_nobody_is_ready_the_wish_decides_again() -> None:
    made = plan(three(), SMART, asleep=("first", "own", "last"), preferred_model="llama")

    assert order(made) == ["own", "first", "last"]


def test_missed_is_who_would_have_been_asked_before_the_first_that_is_ready() -> None:
    assert missed(plan(three(), SMART)) == []
    assert missed(plan(three(priority=1), SMART, asleep=("own",), preferred_model="llama")) == ["own"]
    assert missed(plan(three(), SMART, asleep=("first", "own"))) == ["first", "own"]


def test_a_stand_in_that_nobody_needs_is_not_missed() -> None:
    assert missed(plan(three(), SMART, asleep=("own",))) == []
    assert missed(plan(three(), SMART, asleep=("first", "last"))) == ["first"]


# Sound


def test_audio_goes_to_who_takes_it_whatever_it_is_listed_under() -> None:
    models = [
        {"model_id": "deaf", "task": "chat_smart"},
        {"model_id": "hearing", "task": "chat_smart", "supports_audio": True},
        {"model_id": "listed", "task": "audio"},
    ]

    by_task = plan(cloud(models), ModelTask.AUDIO)
    assert {c.target.model_id for c in by_task.ordered} == {"hearing", "listed"}
    required = plan(cloud(models), SMART, require_audio=True)
    assert [c.target.model_id for c in required.ordered] == ["hearing"]
    [deaf] = [d for d in required.dropped if d.candidate.target.model_id == "deaf"]
    assert deaf.reason == "takes no audio"


def test_targets_are_sorted_by_name_and_task_once_for_each_combination_of_them() -> None:
    index = TargetIndex(targets_of(settings(HYBRID)))

    smart = index.shortlist(Requirements(SMART))
    small = index.shortlist(Requirements(SMALL))

    assert index.shortlist(Requirements(SMART, max_cost=1)) is smart
    assert {listed.target.task for listed in smart.listed} == {SMART}
    assert {listed.target.task for listed in small.listed} == {SMALL}
    assert len(smart.listed) + len(smart.dropped) == len(index.targets)


def test_names_that_callers_make_up_do_not_fill_the_memory() -> None:
    index = TargetIndex(targets_of(settings(HYBRID)))

    for number in range(3 * MOST_KEPT):
        index.shortlist(Requirements(SMART, preferred_model=f"m{number}"))

    assert len(index._shortlists) <= MOST_KEPT
