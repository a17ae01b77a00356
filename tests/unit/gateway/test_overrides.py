"""What operators change about providers and prices, and when it counts: at once, on every router."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from serve_app.clock import SystemClock
from serve_app.control.control_cache import ControlCache
from serve_app.errors import NoSuitableProviders
from serve_app.formats.chat_request import ChatRequest
from serve_app.formats.openai_chat.request import read_chat
from serve_app.ledger.store import Change, Record
from serve_app.pricing.money import nano_dollars
from serve_app.pricing.target_prices import prices_of
from serve_app.pricing.usage import Usage
from serve_app.providers.base import Answer
from serve_app.routing.eligibility import Obstacle
from serve_app.storage.sql import SqlStore
from tests.support.harness import Harness, ListedProvider
from tests.support.settings import two_providers

pytestmark = pytest.mark.anyio

ANSWER = Answer(b'{"id":"1"}', Usage(1000, 500), upstream_s=0.2)


def request(**fields: object) -> ChatRequest:
    return read_chat(orjson.dumps({"messages": [{"role": "user", "content": "hi"}], **fields}))


@pytest.fixture
async def harness(tmp_path: Path) -> AsyncIterator[Harness]:
    providers = {"first": ListedProvider(ANSWER), "second": ListedProvider(ANSWER)}
    store = SqlStore(f"sqlite:///{tmp_path}/ledger.db")
    harness = Harness(two_providers(), providers, SystemClock(), store)
    await harness.authority.start()
    yield await harness.open()
    await harness.authority.stop()


async def tell(
    harness: Harness, kind: str, id_: str, body: dict[str, Any] | None, *more: ControlCache
) -> None:
    """An operator changes something, and the routers hear of it."""
    await harness.authority.change([Record(kind, id_, body)], Change(1.0, "ops", f"{kind}.set", id_))
    for replica in (harness.control, *more):
        await replica.introduce()


async def served_by(harness: Harness, **fields: object) -> str:
    return (await harness.chat(request(**fields), "r")).routed.target.provider_id


async def test_a_provider_that_is_switched_off_is_not_asked_and_the_plan_says_why(harness: Harness) -> None:
    assert await served_by(harness) == "first"

    await tell(harness, "provider", "first", {"enabled": False})

    assert await served_by(harness) == "second"
    plan = harness.plan(harness.requirements(request()))
    (dropped,) = [d for d in plan.dropped if d.obstacle is Obstacle.DISABLED]
    assert dropped.candidate.target.provider_id == "first"
    assert dropped.reason == "its provider is disabled by an operator"


async def test_when_every_provider_is_switched_off_the_caller_hears_why(harness: Harness) -> None:
    await tell(harness, "provider", "first", {"enabled": False})
    await tell(harness, "provider", "second", {"enabled": False})

    with pytest.raises(NoSuitableProviders, match="disabled by an operator"):
        await served_by(harness)


async def test_a_request_that_was_planned_before_is_not_sent_to_it_either(harness: Harness) -> None:
    assert await harness.control.admit("first") is not None

    await tell(harness, "provider", "first", {"enabled": False})

    assert await harness.control.admit("first") is None


async def test_an_operators_priority_comes_before_the_configured_one(harness: Harness) -> None:
    await tell(harness, "provider", "first", {"priority": 50})

    assert await served_by(harness) == "second"


async def test_what_is_taken_back_leaves_what_is_configured(harness: Harness) -> None:
    await tell(harness, "provider", "first", {"enabled": False, "priority": 9})
    await tell(harness, "provider", "first", None)

    assert await served_by(harness) == "first"
    assert {target.priority for target in harness.access.targets} == {1, 2}


async def test_targets_are_made_once_for_a_book_and_not_for_each_request(harness: Harness) -> None:
    await tell(harness, "provider", "first", {"priority": 50})
    targets = harness.access.targets

    await served_by(harness)

    assert harness.access.targets is targets


async def test_an_operators_price_counts_for_the_choice_and_for_the_bill(harness: Harness) -> None:
    price = {"cost_per_1k_input": 1.0, "cost_per_1k_output": 2.0}

    await tell(harness, "price", "first/first-chat", price)

    reply = await harness.chat(request(), "r")
    assert reply.routed.actual_cost == nano_dollars(1000 / 1000 * 1.0 + 500 / 1000 * 2.0)
    plan = harness.plan(harness.requirements(request(max_cost=0.01)))
    assert "first/first-chat" in [
        d.candidate.target.name for d in plan.dropped if d.obstacle is Obstacle.COST
    ]


async def test_an_operators_price_is_the_same_on_every_router(harness: Harness) -> None:
    other = ControlCache(
        "replica-2", two_providers(), harness.authority, SystemClock(), prices_of(two_providers())
    )

    await tell(harness, "price", "second/second-chat", {"cost_per_1k_input": 0.5}, other)

    assert harness.control.price("second/second-chat") == other.price("second/second-chat")
    assert other.price("second/second-chat").cost(Usage(1000)) == nano_dollars(0.5)  # type: ignore[union-attr]


async def test_without_the_operators_price_the_configured_one_counts_again(harness: Harness) -> None:
    before = harness.control.price("first/first-chat")

    await tell(harness, "price", "first/first-chat", {"cost_per_1k_input": 1.0})
    assert harness.control.price("first/first-chat") != before
    await tell(harness, "price", "first/first-chat", None)

    assert harness.control.price("first/first-chat") == before


async def test_what_is_read_from_a_cache_has_the_price_that_an_operator_gives_it(harness: Harness) -> None:
    await tell(harness, "price", "first/first-chat", {"cost_per_1k_input": 1.0, "cost_per_1k_cached": 0.1})

    price = harness.control.price("first/first-chat")

    assert price is not None
    assert price.cost(Usage(cached_read=1000)) == nano_dollars(0.1)
    assert price.cost(Usage(cache_write_5m=1000)) == nano_dollars(1.0)
