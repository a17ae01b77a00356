"""
Endpoints with a task of their own, through the whole application: routed, charged, and honest about faults.

Upstreams, providers and the gateway with its HTTP face are real; all share a loop whose clock jumps.
"""

from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from random import Random
from typing import Any

import httpx
import openai
import pytest

from serve_app.api.app import build_api
from serve_app.deployments.embedded import LocalGateway, local_gateway
from serve_app.observability.metrics import exposition
from serve_app.pricing.price import FREE
from serve_app.pricing.target_prices import prices_of
from serve_app.providers.factory import build_provider
from tests.support.jumping import JUMPING, LoopClock
from tests.support.keyrings import keyring
from tests.support.settings import settings
from tests.support.upstream import ScriptedUpstream

pytestmark = pytest.mark.anyio

RERANK = ("/v1/rerank", {"documents": ["one cat", "two dogs", "three cats"], "query": "two dogs"})
MODERATION = ("/v1/moderations", {"input": ["hello", "violence"]})
IMAGES = ("/v1/images/generations", {"prompt": "two dogs", "n": 2})
ENDPOINTS = [pytest.param(*given, id=given[0]) for given in (RERANK, MODERATION, IMAGES)]
TASKS = {RERANK[0]: "rerank", MODERATION[0]: "moderation", IMAGES[0]: "image_generation"}
PRICED = {"cost_per_1k_input": 0.01, "cost_per_1k_output": 0.02}


@pytest.fixture
def anyio_backend() -> object:
    return JUMPING


@dataclass(frozen=True, slots=True)
class Scene:
    """A gateway before its upstreams `first` and `last`."""

    upstreams: list[ScriptedUpstream]
    api: httpx.AsyncClient
    gateway: LocalGateway

    @property
    def asked(self) -> list[int]:
        """How often each upstream was asked."""
        return [len(upstream.requests) for upstream in self.upstreams]


@asynccontextmanager
async def scene(
    task: str, *, alone: bool = True, model: Mapping[str, Any] | None = None, at: str = "/v1", **config: Any
) -> AsyncIterator[Scene]:
    """A gateway with a model for this task and one for chats, at one provider or at two."""
    clock = LoopClock()
    async with AsyncExitStack() as stack:
        servers = [await stack.enter_async_context(ScriptedUpstream()) for _ in range(1 if alone else 2)]
        providers = [
            {
                "id": name,
                "type": "openai_compatible",
                "base_url": server.url + at,
                "priority": place,
                "transport": "inline",
                "max_answer_mb": 1,
                "retry": {"max_retries": 0},
                "models": [
                    {"model_id": "same", "task": task, **(model or PRICED)},
                    {"model_id": "talks", "task": "chat_smart"},
                ],
            }
            for place, (name, server) in enumerate(zip(("first", "last"), servers, strict=False), 1)
        ]
        made = settings({"llm_providers": providers, "default_models": {}, **config})
        built = {config.id: build_provider(config, {}, clock) for config in made.llm_providers}
        gateway = await local_gateway(made, built, clock, Random(7), environ={})
        stack.push_async_callback(gateway.aclose)
        app = build_api(gateway.running, keyring(), exposition)
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)  # type: ignore[arg-type]
        api = httpx.AsyncClient(transport=transport, base_url="http://localhost", timeout=600)
        yield Scene(servers, await stack.enter_async_context(api), gateway)


@pytest.mark.parametrize(
    "named", [{}, {"model": "auto"}, {"model": "same"}, {"model": "first/same"}], ids=str
)
@pytest.mark.parametrize(("path", "body"), ENDPOINTS)
async def test_a_request_goes_to_a_model_of_its_task(
    path: str, body: dict[str, Any], named: dict[str, str]
) -> None:
    async with scene(TASKS[path]) as made:
        answer = await made.api.post(path, json={**body, **named})
        [sent] = made.upstreams[0].requests

    assert answer.status_code == 200, answer.text
    assert answer.headers["x-sekha-model"] == "same"
    assert answer.json()["sekha_metadata"]["routing"]["task"] == TASKS[path]
    assert sent.path == path
    assert sent.json == {**body, "model": "same"}


@pytest.mark.parametrize(("path", "body"), ENDPOINTS)
async def test_a_model_for_something_else_is_told_what_it_is_for(path: str, body: dict[str, Any]) -> None:
    async with scene(TASKS[path]) as made:
        here = await made.api.post(path, json={**body, "model": "talks"})
        chat = {"model": "same", "messages": [{"role": "user", "content": "hi"}]}
        elsewhere = await made.api.post("/v1/chat/completions", json=chat)

    assert (here.status_code, elsewhere.status_code) == (404, 404)
    assert "'talks' does not serve this endpoint; it is for chat_smart" in here.json()["error"]["message"]
    assert f"it is for {TASKS[path]} (POST {path})" in elsewhere.json()["error"]["message"]
    assert made.asked == [0]


FAULTS = [
    ({"status": 500}, 502, "upstream_broken"),
    ({"status": 429, "retry_after": 60}, 429, "upstream_rate_limited"),
    ({"reset": True}, 502, "upstream_unreachable"),
    ({"stall": True}, 504, "upstream_timeout"),
    ({"cut_after": 2}, 502, "upstream_broken"),
    ({"malformed": True}, 502, "upstream_broken"),
    ({"oversize": 2_000_000}, 502, "upstream_broken"),
    ({"html": True}, 502, "upstream_broken"),
    ({"empty": True}, 502, "upstream_broken"),
]


@pytest.mark.parametrize(("orders", "status", "code"), FAULTS, ids=str)
@pytest.mark.parametrize(("path", "body"), ENDPOINTS)
async def test_a_fault_is_told_where_nobody_else_is_there_and_another_answers_where_somebody_is(
    path: str, body: dict[str, Any], orders: dict[str, Any], status: int, code: str
) -> None:
    async with scene(TASKS[path]) as made:
        made.upstreams[0].mode = orders
        refused = await made.api.post(path, json=body)
    async with scene(TASKS[path], alone=False) as made:
        made.upstreams[0].mode = orders
        answered = await made.api.post(path, json=body)
        asked = made.asked

    assert refused.status_code == status, refused.text
    assert code in (refused.json()["error"]["code"], "upstream_broken")
    assert (answered.status_code, answered.headers["x-sekha-provider"]) == (200, "last")
    assert asked == [1, 1]


async def test_search_units_are_charged_as_the_vendor_reports_them() -> None:
    documents = ["a cat"] * 250
    async with scene("rerank", at="/v2", model={"cost_per_search": 0.002}) as made:
        answer = await made.api.post("/v2/rerank", json={"query": "cat", "documents": documents, "top_n": 1})

    assert answer.headers["x-sekha-cost-usd"] == "0.006"
    assert [result["index"] for result in answer.json()["results"]] == [0]


async def test_tokens_are_charged_where_the_price_is_for_those() -> None:
    async with scene("rerank") as made:
        answer = await made.api.post("/v1/rerank", json=RERANK[1])

    assert answer.headers["x-sekha-cost-usd"] == "0.00012"  # twelve words read


async def test_without_a_report_the_estimate_is_charged() -> None:
    async with scene("rerank", model={"cost_per_search": 0.002}) as made:
        made.upstreams[0].mode = {"no_usage": True}
        answer = await made.api.post("/v1/rerank", json=RERANK[1])

    assert answer.headers["x-sekha-cost-usd"] == "0.002"


@pytest.mark.parametrize(("path", "body"), ENDPOINTS)
async def test_under_a_budget_an_unknown_price_is_refused(path: str, body: dict[str, Any]) -> None:
    async with scene(TASKS[path], model={"cost_per_1k_cached": 0}, budgets=[{"limit": 1}]) as made:
        answer = await made.api.post(path, json=body)
        asked = made.asked

    assert (answer.status_code, answer.json()["error"]["code"]) == (402, "price_unknown")
    assert asked == [0]


async def test_a_budget_that_is_too_small_for_the_worst_case_refuses() -> None:
    documents = ["a cat"] * 250
    async with scene("rerank", at="/v2", model={"cost_per_search": 1}, budgets=[{"limit": 5}]) as made:
        first, second = [
            await made.api.post("/v2/rerank", json={"query": "cat", "documents": documents}) for _ in range(2)
        ]
        asked = made.asked

    assert (first.status_code, second.status_code, asked) == (200, 402, [1])


async def test_moderations_are_free_at_openai_and_nowhere_else() -> None:
    def priced(**provider: Any) -> Any:
        models = [{"model_id": "omni-moderation-latest", "task": "moderation"}]
        configured = {"id": "p", "api_key": "k", "models": models, **provider}
        return prices_of(settings({"llm_providers": [configured], "default_models": {}}))

    assert set(priced(type="openai").values()) == {FREE}
    assert set(priced(type="openai", base_url="https://example.org/v1").values()) == {None}
    assert set(priced(type="mistral").values()) == {None}


async def test_images_are_charged_by_the_tokens_that_the_vendor_reports() -> None:
    async with scene("image_generation") as made:
        answer = await made.api.post(IMAGES[0], json=IMAGES[1])

    assert answer.headers["x-sekha-cost-usd"] == "0.04226"  # two words read, twice 1,056 tokens made


async def test_images_are_charged_by_the_piece_where_that_is_the_price() -> None:
    async with scene("image_generation", model={"cost_per_image": 0.04}, budgets=[{"limit": 0.1}]) as made:
        made.upstreams[0].mode = {"no_usage": True}
        two = await made.api.post(IMAGES[0], json=IMAGES[1])
        three = await made.api.post(IMAGES[0], json={"prompt": "a dog", "n": 3})
        asked = made.asked

    assert two.headers["x-sekha-cost-usd"] == "0.08"
    assert (three.status_code, asked) == (402, [1])


async def test_a_size_and_a_quality_make_room_in_a_budget() -> None:
    small = {"prompt": "a dog", "size": "1024x1024", "quality": "low"}
    async with scene("image_generation", budgets=[{"limit": 0.1}]) as made:
        largest = await made.api.post(IMAGES[0], json={"prompt": "a dog"})
        named = await made.api.post(IMAGES[0], json=small)
        asked = made.asked

    assert (largest.status_code, named.status_code, asked) == (402, 200, [1])


async def test_a_stream_of_images_is_refused_before_anything_is_sent() -> None:
    async with scene("image_generation") as made:
        streamed = await made.api.post(IMAGES[0], json={"prompt": "a dog", "stream": True})
        partial = await made.api.post(IMAGES[0], json={"prompt": "a dog", "partial_images": 2})
        asked = made.asked

    assert [answer.status_code for answer in (streamed, partial)] == [400, 400]
    assert [answer.json()["error"]["param"] for answer in (streamed, partial)] == ["stream", "partial_images"]
    assert asked == [0]


async def test_openais_own_client_reads_moderations_and_images() -> None:
    async with scene("moderation") as made:
        client = openai.AsyncOpenAI(
            api_key="k", base_url="http://localhost/v1", http_client=made.api, max_retries=0
        )
        checked = await client.moderations.create(input=["hello", "violence"])
    async with scene("image_generation") as made:
        client = openai.AsyncOpenAI(
            api_key="k", base_url="http://localhost/v1", http_client=made.api, max_retries=0
        )
        images = await client.images.generate(model="same", prompt="two dogs", n=2, size="1024x1024")
        with pytest.raises(openai.NotFoundError):
            await client.images.generate(model="talks", prompt="two dogs")

    assert [result.flagged for result in checked.results] == [False, True]
    assert images.data is not None
    assert [image.b64_json for image in images.data] == ["aGVsbG8="] * 2
    assert images.usage is not None
    assert images.usage.output_tokens == 2112


@pytest.mark.parametrize(
    ("task", "model", "cost"),
    [
        ("rerank", {"cost_per_search": 0.002}, 0.002),
        ("image_generation", {"cost_per_image": 0.04}, 0.04),
        ("moderation", {"cost_per_1k_input": 0.01}, 0.01),
    ],
)
async def test_a_question_to_the_router_is_about_one_piece(
    task: str, model: dict[str, float], cost: float
) -> None:
    async with scene(task, model=model) as made:
        answer = await made.api.post("/api/v1/route", json={"task": task})

    assert answer.status_code == 200, answer.text
    assert answer.json()["estimated_cost"] == cost
