"""Budgets in routing: a target that cannot be paid for is not planned, as far as the router knows."""

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from random import Random
from typing import Any

import orjson
import pytest
from typer.testing import CliRunner

from serve_app.cli.main import app
from serve_app.config.model import ModelTask
from serve_app.errors import BudgetExceeded, LimitReached, NoSuitableProviders, PriceUnknown
from serve_app.events import RequestServed
from serve_app.formats.openai_chat.request import read_chat
from serve_app.pricing.target_prices import prices_of
from serve_app.pricing.usage import Usage
from serve_app.providers.base import Answer
from serve_app.routing.eligibility import Obstacle
from serve_app.routing.plan import Plan, make_plan
from serve_app.routing.requirements import Requirements
from serve_app.routing.strategy import load_strategy
from serve_app.routing.target import Target, targets_of
from serve_app.routing.target_index import TargetIndex
from serve_app.routing.target_stats import TargetStats
from tests.support.clock import FakeClock
from tests.support.harness import Harness, ListedProvider
from tests.support.settings import settings

pytestmark = pytest.mark.anyio

ANSWER = Answer(b'{"id":"1"}', Usage(0, 1000), 0.1)
SMART = Requirements(ModelTask.CHAT_SMART, input_tokens=0, output_limit=1000)
HI = orjson.dumps({"messages": [{"role": "user", "content": ""}], "max_tokens": 1000})


def provider(name: str, priority: int, price: float | None) -> dict[str, Any]:
    """One chat model at so many dollars for a thousand tokens of either kind; None: nobody knows."""
    model: dict[str, Any] = {"model_id": f"{name}-chat", "task": "chat_smart"}
    if price is not None:
        model |= {"cost_per_1k_input": price, "cost_per_1k_output": price}
    return {"id": name, "type": "openai", "priority": priority, "api_key": "k", "models": [model]}


DEAR, CHEAP, FREE = provider("dear", 1, 1.0), provider("cheap", 2, 0.1), provider("free", 3, 0.0)

Start = Callable[..., Awaitable[Harness]]


@pytest.fixture
async def start() -> AsyncIterator[Start]:
    """Starts a house of these providers and limits; stops what it started."""
    started: list[Harness] = []

    async def make(*offered: dict[str, Any], **limits: Any) -> Harness:
        config = settings({"llm_providers": list(offered), "default_models": {}}, **limits)
        providers = {each["id"]: ListedProvider(ANSWER) for each in offered}
        harness = Harness(config, providers, FakeClock())
        await harness.control.start()
        started.append(harness)
        return harness

    yield make
    for harness in started:
        await harness.control.stop()


async def served_by(harness: Harness) -> str:
    return (await harness.chat(read_chat(HI), "r")).routed.target.provider_id


def planned(harness: Harness) -> list[str]:
    return [candidate.target.provider_id for candidate in harness.plan(SMART).ordered]


async def test_what_no_longer_fits_the_budget_is_left_out_of_the_plan(start: Start) -> None:
    harness = await start(DEAR, CHEAP, FREE, budgets={"limit": 1.5, "window": "total"})

    assert planned(harness) == ["dear", "cheap", "free"]
    assert [await served_by(harness) for _ in range(2)] == ["dear", "cheap"]

    plan = harness.plan(SMART)
    [dropped] = plan.dropped
    assert [candidate.target.provider_id for candidate in plan.ordered] == ["cheap", "free"]
    assert dropped.obstacle is Obstacle.BUDGET
    assert dropped.reason == "may cost up to $1, for which the budget 'gateway/total' has no room"


async def test_a_free_model_serves_on_an_empty_budget(start: Start) -> None:
    harness = await start(DEAR, FREE, budgets={"limit": 1.5, "window": "total"})

    assert [await served_by(harness) for _ in range(3)] == ["dear", "free", "free"]
    fell_back = [event.fell_back for event in harness.events if isinstance(event, RequestServed)]
    assert fell_back == [False, False, False], "what the first one had spent is known without asking"


async def test_when_budgets_alone_exclude_everything_routing_says_so_and_a_call_gets_a_402(
    start: Start,
) -> None:
    harness = await start(DEAR, CHEAP, budgets={"limit": 0.05, "window": "month"})
    with pytest.raises(BudgetExceeded):
        await served_by(harness)

    with pytest.raises(NoSuitableProviders, match=r"cost .* budget 'gateway/month'") as routed:
        harness.route(SMART)
    with pytest.raises(BudgetExceeded) as refused:
        await served_by(harness)

    assert routed.value.status == 503
    assert (refused.value.status, refused.value.requested_cost) == (402, 1.125)
    assert not any(provider.calls for provider in harness.providers.values())


async def test_what_was_heard_a_while_ago_is_asked_again(start: Start) -> None:
    harness = await start(DEAR, FREE, budgets={"limit": 1.5, "window": "total"})
    await served_by(harness)
    await served_by(harness)
    assert planned(harness) == ["free"]

    harness.clock.advance(1.1)  # type: ignore[attr-defined]

    assert planned(harness) == ["dear", "free"]
    assert await served_by(harness) == "free"


async def test_a_budget_for_one_provider_leaves_the_others_alone(start: Start) -> None:
    harness = await start(DEAR, CHEAP, budgets={"limit": 1.5, "window": "total", "provider": "dear"})

    assert [await served_by(harness) for _ in range(3)] == ["dear", "cheap", "cheap"]
    assert planned(harness) == ["cheap"]


async def test_a_spent_budget_of_one_provider_bars_no_dearer_one(start: Start) -> None:
    first, second = provider("cheap", 1, 0.1), provider("dear", 2, 1.0)
    harness = await start(first, second, budgets={"limit": 0.15, "window": "total", "provider": "cheap"})

    assert [await served_by(harness) for _ in range(3)] == ["cheap", "dear", "dear"]
    assert planned(harness) == ["dear"]


async def test_one_low_budget_of_several_is_enough_to_go_for_the_cheapest(start: Start) -> None:
    budgets = [{"limit": 1000, "window": "month"}, {"limit": 4.5, "window": "day"}]
    harness = await start(DEAR, CHEAP, budgets=budgets, routing={"cheaper_below_percent": 75})

    assert [await served_by(harness) for _ in range(3)] == ["dear", "dear", "cheap"]


async def test_what_has_no_price_is_not_planned_on_a_budget(start: Start) -> None:
    stranger = provider("stranger", 1, None)
    alone = await start(stranger, budgets={"limit": 1.0})
    beside = await start(stranger, CHEAP, budgets={"limit": 1.0})
    unlimited = await start(stranger)

    with pytest.raises(PriceUnknown):
        await served_by(alone)
    assert planned(beside) == ["cheap"]
    assert planned(unlimited) == ["stranger"]


async def test_when_a_budget_runs_low_the_cheapest_goes_first(start: Start) -> None:
    routing = {"cheaper_below_percent": 75}
    harness = await start(DEAR, CHEAP, budgets={"limit": 4.5, "window": "day"}, routing=routing)

    assert [await served_by(harness) for _ in range(3)] == ["dear", "dear", "cheap"]
    plan = harness.plan(SMART)
    assert plan.reason(plan.ordered[0]) == "Selected by strategy cheapest (priority 2)"

    harness.clock.advance(86_400)  # type: ignore[attr-defined]
    assert planned(harness) == ["dear", "cheap"], "with the next day the budget begins anew"


def test_an_open_breaker_beside_an_empty_budget_is_no_402() -> None:
    config = settings({"llm_providers": [DEAR, CHEAP], "default_models": {}})
    broke = BudgetExceeded("gateway/total", "total", 1.0, 1.0, 0.5)
    conditions = TargetStats(prices_of(config).get, {"dear"}.__contains__)

    class Empty:
        def __init__(self, *providers: str) -> None:
            self.providers = providers

        def refusal(self, target: Target, wanted: Requirements, estimate: int | None) -> LimitReached | None:
            return broke if target.provider_id in self.providers else None

    def planned(budget_filter: Empty) -> Plan:
        strategy = load_strategy("fallback")
        return make_plan(
            SMART,
            TargetIndex(targets_of(config)),
            conditions,
            strategy,
            Random(0),
            budget_filter=budget_filter,
        )

    assert planned(Empty("cheap")).budget_refusal is None, "the breaker may close soon"
    assert planned(Empty("cheap", "dear")).budget_refusal is broke, "and would help nobody"


def test_explain_knows_what_no_budget_could_pay_for(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    budget = {"limit": 1.0, "window": "day"}
    path.write_bytes(orjson.dumps({"llm_providers": [DEAR, CHEAP], "default_models": {}, "budgets": budget}))

    wide = CliRunner(env={"COLUMNS": "200"})
    told = wide.invoke(app, ["explain", "--task", "chat_smart", "--config", str(path)])

    assert told.exit_code == 0, told.output
    assert "for which the budget 'gateway/day' has no room" in told.output
    assert "cheap/cheap-chat" in told.output
