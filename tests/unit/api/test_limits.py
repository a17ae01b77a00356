"""A limit that is reached, as callers hear it: whole answers, streams, vectors, calls through handles."""

import asyncio
import pickle
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import httpx
import orjson
import pytest

from serve_app.api.app import build_api
from serve_app.api.errors import admin_error, error_headers
from serve_app.deployments.router import RouterDeployment
from serve_app.errors import BudgetExceeded, RateLimitExceeded
from serve_app.observability.metrics import exposition
from serve_app.pricing.usage import Usage
from serve_app.providers.base import Answer, StreamEnd, StreamHead
from tests.support.clock import FakeClock
from tests.support.harness import Harness, ListedProvider
from tests.support.keyrings import keyring
from tests.support.settings import two_providers

pytestmark = pytest.mark.anyio

HI = {"messages": [{"role": "user", "content": "hi"}]}
STREAM = {**HI, "stream": True}
HELD = {"X-Sekha-On-Stream-Failure": "hold"}
ANSWER = Answer(b'{"id":"1"}', Usage(10, 5), 0.1)
FRAMES = [StreamHead(0.1), b'data: {"id":"1","choices":[]}\n\n', StreamEnd(Usage(10, 5), 0.1, 8)]
PRICED = {"cost_per_1k_input": 0.001, "cost_per_1k_output": 0.001}  # 4096 tokens of an answer: $0.0041


class StillClock(FakeClock):
    """29.5 s before the next minute, and it stays so; who sleeps waits."""

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


Start = Callable[..., Awaitable[Harness]]


@pytest.fixture
async def start() -> AsyncIterator[Start]:
    """Starts a house with these limits, of which every model has the same price; stops what it started."""
    started: list[Harness] = []

    async def make(streams: bool = False, **limits: Any) -> Harness:
        models = [
            {"model_id": "chat", "task": "chat_smart", **PRICED},
            {"model_id": "embed", "task": "embedding", **PRICED},
        ]
        settings = two_providers({"models": models}, default_models={}, **limits)
        answer = FRAMES if streams else ANSWER
        providers = {name: ListedProvider(answer) for name in ("first", "second")}
        harness = Harness(settings, providers, StillClock(1_000_050.5))
        await harness.control.start()
        started.append(harness)
        return harness

    yield make
    for harness in started:
        await harness.control.stop()


def client_of(harness: Harness) -> httpx.AsyncClient:
    app = build_api(harness.running, keyring(), exposition)
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)  # type: ignore[arg-type]
    return httpx.AsyncClient(transport=transport, base_url="http://localhost")


@pytest.mark.parametrize(
    ("path", "body", "headers"),
    [
        ("/v1/chat/completions", HI, {}),
        ("/v1/chat/completions", STREAM, {}),
        ("/v1/chat/completions", STREAM, HELD),
        ("/v1/embeddings", {"input": "hi"}, {}),
    ],
    ids=["whole", "stream", "held stream", "embedding"],
)
async def test_a_rate_that_is_used_up_is_a_429_that_says_when_to_come_back(
    start: Start, path: str, body: dict[str, Any], headers: dict[str, str]
) -> None:
    async with client_of(await start("stream" in body, rates={"requests_per_minute": 2})) as client:
        answers = [await client.post(path, json=body, headers=headers) for _ in range(3)]

    assert [answer.status_code for answer in answers] == [200, 200, 429]
    refused = answers[-1]
    told = {name: refused.headers[f"x-ratelimit-{name}"] for name in ("limit", "remaining", "reset")}
    assert told == {"limit": "2", "remaining": "0", "reset": "30"}
    assert refused.headers["retry-after"] == "30"
    assert refused.json()["error"]["code"] == "RATE_LIMIT_EXCEEDED"
    assert refused.json()["error"]["type"] == "rate_limit_error"
    assert "x-ratelimit-limit" not in answers[0].headers


async def test_a_rate_of_tokens_says_how_many_are_left(start: Start) -> None:
    harness = await start(rates={"tokens_per_minute": 5000})
    async with client_of(harness) as client:
        await client.post("/v1/chat/completions", json=HI)  # uses 15
        refused = await client.post("/v1/chat/completions", json={**HI, "max_tokens": 4999})

    assert refused.status_code == 429
    assert refused.headers["x-ratelimit-limit"] == "5000"
    assert refused.headers["x-ratelimit-remaining"] == "4985"


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/chat/completions", HI),
        ("/v1/chat/completions", STREAM),
        ("/v1/embeddings", {"input": "hi" * 9999}),
    ],
    ids=["whole", "stream", "embedding"],
)
async def test_an_empty_budget_is_a_402_with_its_figures(start: Start, path: str, body: Any) -> None:
    harness = await start(budgets={"limit": 0.001, "window": "total"})
    async with client_of(harness) as client:
        refused = await client.post(path, json=body)

    assert refused.status_code == 402
    assert refused.json()["error"]["code"] == "BUDGET_EXCEEDED"
    details = refused.json()["detail"]["details"]
    assert {name: details[name] for name in ("budget", "limit", "current")} == {
        "budget": "gateway/total",
        "limit": 0.001,
        "current": 0.0,
    }
    assert details["requested_cost"] > 0.001
    assert not any(provider.calls for provider in harness.providers.values())


async def test_a_caller_through_a_handle_gets_the_refusal_as_a_value_that_travels(start: Start) -> None:
    harness = await start(rates={"requests_per_minute": 1})
    router = RouterDeployment.__new__(RouterDeployment)
    router._running, router._control = harness.running, harness.control
    body = orjson.dumps(HI)

    await router.chat(body, "r1")
    whole = await router.chat(body, "r2")
    [item] = [item async for item in router.chat_stream(orjson.dumps(STREAM), "r3")]
    vectors = await router.embed(orjson.dumps({"input": "hi"}), "r4")

    for refusal in (whole, item, vectors):
        travelled = pickle.loads(pickle.dumps(refusal))
        assert isinstance(travelled, RateLimitExceeded)
        assert (travelled.limit, travelled.remaining) == (1, 0)
        assert 0 < travelled.retry_after_s <= 29.5


def test_the_admin_api_tells_a_budgets_figures_as_its_details() -> None:
    error = BudgetExceeded("gateway/total", "total", 10.0, 9.5, 0.75)

    told = orjson.loads(admin_error(error))

    assert told["code"] == "BUDGET_EXCEEDED"
    assert {"limit": 10.0, "current": 9.5, "requested_cost": 0.75}.items() <= told["details"].items()
    assert error_headers(error) == []
