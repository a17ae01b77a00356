"""What is set aside for an attempt, what is sent of it, and when it is free again."""

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import orjson
import pytest

from serve_app.config.routing import OnStreamFailure
from serve_app.errors import (
    FailureKind,
    GatewayError,
    PriceUnknown,
    RateLimitExceeded,
    ToolPriceUnknown,
    upstream_error,
)
from serve_app.formats.chat_request import ChatRequest
from serve_app.formats.openai_chat.request import read_chat
from serve_app.gateway.charging import RequestCharges
from serve_app.gateway.request import GatewayRequest, Operation
from serve_app.ledger.entry import Entry
from serve_app.limits.client import Reservation
from serve_app.pricing.usage import Usage
from serve_app.providers.base import Answer, StreamEnd, StreamHead
from tests.support.clock import FakeClock
from tests.support.harness import Harness, ListedProvider
from tests.support.settings import settings
from tests.unit.gateway.streaming.test_resume import frame, frames, text_of

pytestmark = pytest.mark.anyio

ANSWER = Answer(b'{"id":"1"}', Usage(0, 1000), 0.1)
OFF_THE_MINUTE = 999_990.0  # 30 s before a minute begins
BUDGET = {"budgets": {"limit": 100, "window": "total"}}
SEARCH = {"type": "web_search_20250305", "name": "web_search"}


def provider(
    name: str = "one", type_: str = "openai_compatible", model: str = "chat", **more: Any
) -> dict[str, Any]:
    priced = {"cost_per_1k_input": 0.0, "cost_per_1k_output": 1.0, "context_window": 200_000, **more}
    offered = {"model_id": model, "task": "chat_smart", **priced}
    return {"id": name, "type": type_, "api_key": "k", "base_url": "http://localhost:1", "models": [offered]}


def request(stream: bool = False, **fields: Any) -> ChatRequest:
    messages = [{"role": "user", "content": "hi"}]
    return read_chat(orjson.dumps({"messages": messages, "stream": stream, **fields}))


Start = Callable[..., Awaitable[Harness]]


@pytest.fixture
async def start() -> AsyncIterator[Start]:
    """Starts a house of these providers and limits; stops what it started."""
    started: list[Harness] = []

    async def make(*offered: dict[str, Any], answers: Any = ANSWER, **limits: Any) -> Harness:
        offered = offered or (provider(),)
        config = settings({"llm_providers": list(offered), "default_models": {}}, **limits)
        providers = {each["id"]: ListedProvider(answers) for each in offered}
        harness = Harness(config, providers, FakeClock(OFF_THE_MINUTE))
        await harness.control.start()
        started.append(harness)
        return harness

    yield make
    for harness in started:
        await harness.control.stop()


async def sent(harness: Harness, name: str = "one", **fields: Any) -> int | None:
    await harness.chat(request(**fields), "r")
    return harness.providers[name].calls[-1].output_tokens


@pytest.mark.parametrize("limit", [BUDGET, {"rates": {"tokens_per_minute": 1_000_000}}])
async def test_under_a_limit_a_request_without_a_bound_gets_one(start: Start, limit: dict[str, Any]) -> None:
    harness = await start(**limit)

    assert await sent(harness) == 4096
    assert await sent(harness, max_completion_tokens=5, max_tokens=7) == 7
    assert await sent(harness, reasoning_effort="high") == 4096 + 4096


@pytest.mark.parametrize("limit", [{}, {"rates": {"requests_per_minute": 100}}])
async def test_without_one_nothing_is_added_to_what_was_asked(start: Start, limit: dict[str, Any]) -> None:
    assert await sent(await start(**limit)) is None


async def test_a_free_model_writes_as_long_as_it_likes_on_any_budget(start: Start) -> None:
    free = provider("free", "vllm", cost_per_1k_output=0.0)

    assert await sent(await start(free, **BUDGET), "free") is None


async def test_claude_always_gets_a_bound_because_it_must_have_one(start: Start) -> None:
    claude = provider("claude", "anthropic", "claude-sonnet-4-5")

    assert await sent(await start(claude), "claude") == 64_000, "the longest that it can write"
    limited = await start(claude, **BUDGET)
    assert await sent(limited, "claude") == 4096
    assert await sent(limited, "claude", max_tokens=9, thinking={"budget_tokens": 60_000}) == 60_009


async def test_the_bound_leaves_room_for_the_prompt(start: Start) -> None:
    small = provider(context_window=1000)

    assert await sent(await start(small, **BUDGET), messages=[{"role": "user", "content": "x" * 2400}]) == 256
    assert await sent(await start(provider(context_window=2000), **BUDGET)) == 1999


async def test_what_was_set_aside_for_an_attempt_that_was_never_sent_is_free_again(start: Start) -> None:
    harness = await start(budgets={"limit": 1.5, "window": "total"})

    real, told = harness.control.breakers.admit, []

    async def refused_once(provider_id: str) -> Any:
        told.append(provider_id)
        return None if len(told) == 1 else await real(provider_id)

    harness.control.breakers.admit = refused_once  # type: ignore[method-assign]
    with pytest.raises(GatewayError):
        await sent(harness, max_tokens=1000)

    assert await sent(harness, max_tokens=1000) == 1000


async def test_a_resumed_stream_counts_as_one_request(start: Start) -> None:
    cut = upstream_error("was cut off", "one", FailureKind.BROKEN)
    harness = await start(provider("one"), provider("two"), rates={"requests_per_minute": 1})
    harness.providers["one"].answers_with([StreamHead(0.1), *frames(["One ", "two "]), cut])
    rest = [*frames(["One ", "two ", "three"], "b"), frame({}, "b", "stop")]
    harness.providers["two"].answers_with([StreamHead(0.1), *rest, StreamEnd(Usage(1, 3), 0.3, 16)])

    stream = await harness.chat_stream(request(stream=True), "r", on_failure=OnStreamFailure.RESUME)
    items = [item async for item in stream]

    assert text_of(b"".join(item for item in items if isinstance(item, bytes))) == "One two three"


async def test_who_has_been_answered_makes_room_for_the_next(start: Start) -> None:
    harness = await start(rates={"concurrent_requests": 1})

    assert [await sent(harness, max_tokens=n) for n in (1, 2, 3)] == [1, 2, 3]


async def test_a_rate_begins_anew_with_each_minute(start: Start) -> None:
    harness = await start(rates={"requests_per_minute": 1})
    await sent(harness)
    with pytest.raises(RateLimitExceeded) as refused:
        await sent(harness)
    assert refused.value.retry_after_s == pytest.approx(30.0)

    harness.clock.advance(30.0)  # type: ignore[attr-defined]
    await sent(harness)
    harness.clock.advance(59.0)  # type: ignore[attr-defined]
    with pytest.raises(RateLimitExceeded):
        await sent(harness)
    harness.clock.advance(1.0)  # type: ignore[attr-defined]
    await sent(harness)


# Tools that the vendor runs


@pytest.mark.parametrize(
    ("fields", "tool"),
    [
        ({"tools": [SEARCH]}, "web search"),
        ({"web_search_options": {}}, "web search"),
        ({"tools": [{"googleSearch": {}}]}, "googleSearch"),
        ({"tools": [{"type": "code_execution_20250522", "name": "code"}]}, "code_execution_20250522"),
        ({"plugins": [{"id": "web"}]}, "plugins"),
        ({"search_parameters": {"mode": "on"}}, "search_parameters"),
    ],
)
async def test_a_tool_of_the_vendors_that_has_no_price_is_refused_under_a_budget(
    start: Start, fields: dict[str, Any], tool: str
) -> None:
    limited, free = await start(**BUDGET), await start()

    with pytest.raises(ToolPriceUnknown) as refused:
        await sent(limited, max_tokens=1, **fields)

    assert (refused.value.status, refused.value.code, refused.value.tool) == (402, "price_unknown", tool)
    assert not limited.providers["one"].calls
    assert await sent(free, max_tokens=1, **fields) == 1, "without a budget it passes"


async def test_tools_of_the_callers_need_no_price(start: Start) -> None:
    ours = [
        {"type": "function", "function": {"name": "f"}},
        {"type": "custom", "custom": {"name": "c"}},
        {"name": "f", "input_schema": {}},
        {"type": "computer_20250124", "name": "computer"},
        {"type": "bash_20250124", "name": "bash"},
    ]
    assert await sent(await start(**BUDGET), max_tokens=1, tools=ours) == 1


@pytest.mark.parametrize(
    ("tool", "uses"), [(SEARCH, 5), ({**SEARCH, "max_uses": 3}, 3), ({**SEARCH, "max_uses": 8}, 8)]
)
async def test_a_priced_search_is_set_aside_for_and_charged_by_the_use(
    start: Start, tool: dict[str, Any], uses: int
) -> None:
    told = Answer(b'{"id":"1"}', Usage(0, 0, searches=2), 0.1)
    priced = provider(cost_per_search=1.0)
    tight = await start(priced, answers=told, budgets={"limit": uses + 0.5, "window": "total"})

    reply = await tight.chat(request(max_tokens=100, tools=[tool]), "r")

    assert reply.routed.actual_cost == 2 * 10**9
    assert tight.providers["one"].calls[-1].limits_tools is (tool is SEARCH)
    with pytest.raises(GatewayError):  # two are spent of it
        await tight.chat(request(max_tokens=100, tools=[tool]), "r")


async def test_what_the_gateway_marks_for_a_cache_is_set_aside_for_and_its_saving_is_told(
    start: Start,
) -> None:
    prices = {"cost_per_1k_input": 1.0, "cost_per_1k_output": 0.0}
    cache = {"cost_per_1k_cached": 0.1, "cost_per_1k_cache_write": 1.25}
    models = {"one": "auto", "two": "off"}
    offered = [
        provider(id_, "anthropic", f"claude-{id_}", prompt_cache=choice, **prices, **cache)
        for id_, choice in models.items()
    ]
    told = Answer(b'{"id":"1"}', Usage(10, 5, cached_read=2000, cache_write_5m=400), 0.1)
    harness = await start(*offered, answers=told, budgets={"limit": 100_000, "window": "total"})
    entries: list[Entry] = []
    account = harness.control.account

    def kept(entry: Entry, ticket: int, reservation: Reservation | None) -> None:
        entries.append(entry)
        account(entry, ticket, reservation)

    harness.control.account = kept  # type: ignore[method-assign]
    worst = {}
    for id_ in models:
        asked = request(max_tokens=5, model=f"claude-{id_}")
        wanted = harness.requirements(asked)
        charges = RequestCharges(
            GatewayRequest("r", Operation.CHAT, asked), wanted, harness.control, harness.clock
        )
        [target] = [target for target in harness.access.targets if target.provider_id == id_]
        worst[id_] = charges.at_worst(target)[1]
        await harness.chat(asked, "r")

    assert worst["two"] is not None
    assert worst["one"] == worst["two"] * 5 // 4
    assert [entry.provider_id for entry in entries] == ["one", "two"]
    # 2000 tokens at a tenth of $1 per 1,000, and 400 at a quarter more.
    assert {entry.cache_saving for entry in entries} == {1_800_000_000 - 100_000_000}


async def test_a_model_that_always_searches_pays_for_a_search_that_it_does_not_report(start: Start) -> None:
    harness = await start(provider(model="gpt-4o-search-preview", cost_per_search=0.5), **BUDGET)

    reply = await harness.chat(request(max_tokens=1), "r")

    assert reply.routed.actual_cost == 10**9 + 5 * 10**8


async def test_the_price_list_knows_what_a_search_costs(start: Start) -> None:
    claude = {"model_id": "claude-sonnet-4-5", "task": "chat_smart"}
    harness = await start({**provider("claude", "anthropic"), "models": [claude]}, **BUDGET)

    price = harness.control.price("claude/claude-sonnet-4-5")

    assert price is not None
    assert price.search == 10_000_000, "ten dollars a thousand"


async def test_a_model_without_a_price_is_refused_by_its_name(start: Start) -> None:
    unpriced = {**provider(), "models": [{"model_id": "my-finetune", "task": "chat_smart"}]}

    with pytest.raises(PriceUnknown, match="one/my-finetune"):
        await sent(await start(unpriced, **BUDGET))
