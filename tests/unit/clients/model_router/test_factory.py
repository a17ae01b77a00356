"""Model routers from the environment, before a real HTTP server."""

import asyncio
import subprocess
import sys
from collections.abc import Iterator

import pytest

from serve_app.clients.model_router import (
    GatewayProvider,
    LLMMessage,
    LLMProviderConfig,
    OpenAIProvider,
    RouterStrategy,
    create_balanced_router,
    create_cheapest_router,
    create_custom_router,
    create_default_router,
    get_router_instance,
    reset_router_instance,
)
from serve_app.errors import ConfigError, UpstreamError
from tests.support.clock import FakeClock
from tests.support.upstream import ScriptedUpstream

pytestmark = pytest.mark.anyio


@pytest.fixture(scope="module")
def running() -> Iterator[ScriptedUpstream]:
    with ScriptedUpstream() as upstream:
        yield upstream


@pytest.fixture
def upstream(running: ScriptedUpstream) -> ScriptedUpstream:
    running.recover()
    running.requests.clear()
    return running


def openai(upstream: ScriptedUpstream, **more: str) -> dict[str, str]:
    return {"OPENAI_API_KEY": "sk-canary", "OPENAI_API_BASE": f"{upstream.url}/v1", **more}


@pytest.mark.contract(110)
async def test_one_key_is_one_provider(upstream: ScriptedUpstream) -> None:
    router = await create_default_router(environ=openai(upstream))

    answer = await router.chat([LLMMessage("system", "Be brief."), LLMMessage("user", "Tell me a joke")])

    assert list(router.providers) == ["openai"]
    assert router.default_strategy is RouterStrategy.FALLBACK
    assert (answer.text, answer.provider) == ("Hello from gpt-3.5-turbo: Tell me a joke", "openai")
    assert answer.usage is not None
    assert answer.usage["total_tokens"] > 0
    assert upstream.last.headers["authorization"] == "Bearer sk-canary"
    assert (upstream.last.json["max_tokens"], upstream.last.json["temperature"]) == (2000, 0.7)
    await router.aclose()


@pytest.mark.contract(110)
async def test_the_environment_names_strategy_model_and_numbers(upstream: ScriptedUpstream) -> None:
    environ = openai(
        upstream,
        LLM_ROUTER_STRATEGY="cheapest",
        OPENAI_MODEL="gpt-4o-mini",
        OPENAI_MAX_TOKENS="7",
        OPENAI_TEMPERATURE="0",
    )
    router = await create_default_router(environ=environ)

    await router.complete("hi")

    assert router.default_strategy is RouterStrategy.CHEAPEST
    assert upstream.last.json["model"] == "gpt-4o-mini"
    assert (upstream.last.json["max_tokens"], upstream.last.json["temperature"]) == (7, 0.0)
    await router.aclose()


async def test_providers_may_be_included_and_excluded(upstream: ScriptedUpstream) -> None:
    environ = openai(upstream, OLLAMA_BASE_URL=upstream.url)

    both = await create_default_router(environ=environ)
    local = await create_default_router(environ=environ, include_providers=["ollama"])
    cloud = await create_default_router(environ=environ, exclude_providers=["ollama"])

    assert both.provider_order == ["openai", "ollama"]
    assert (local.provider_order, cloud.provider_order) == (["ollama"], ["openai"])
    for router in (both, local, cloud):
        await router.aclose()


async def test_the_named_factories_set_their_strategy(upstream: ScriptedUpstream) -> None:
    environ = openai(upstream, OLLAMA_BASE_URL=upstream.url)

    cheapest, balanced = [
        await make(environ=environ) for make in (create_cheapest_router, create_balanced_router)
    ]

    assert (await cheapest.complete("hi")).provider == "ollama"
    assert balanced.default_strategy is RouterStrategy.ROUND_ROBIN
    await cheapest.aclose()
    await balanced.aclose()


@pytest.mark.contract(109)
async def test_a_provider_that_is_down_is_not_added(upstream: ScriptedUpstream) -> None:
    upstream.models_mode = {"status": 500}

    router = await create_default_router(environ=openai(upstream))

    assert router.provider_order == []


@pytest.mark.contract(109)
async def test_as_many_numbers_as_dimensions(upstream: ScriptedUpstream) -> None:
    router = await create_default_router(environ=openai(upstream))

    assert len((await router.embed("Some text to embed")).embeddings) == 8
    await router.aclose()


async def test_retries_are_the_gateways_and_then_comes_the_next(upstream: ScriptedUpstream) -> None:
    clock = FakeClock()
    environ = openai(upstream, OLLAMA_BASE_URL=upstream.url, OPENAI_RETRY_ATTEMPTS="2")
    router = await create_default_router(environ=environ, clock=clock)
    upstream.mode = {"status": 503, "only_for": "gpt-3.5-turbo"}

    answer = await router.complete("hi")

    assert answer.provider == "ollama"
    assert [seen.json["model"] for seen in upstream.asked] == [*["gpt-3.5-turbo"] * 3, "llama2"]
    await router.aclose()


async def test_what_one_refuses_the_next_is_asked_as_well(upstream: ScriptedUpstream) -> None:
    router = await create_default_router(environ=openai(upstream, OLLAMA_BASE_URL=upstream.url))
    upstream.mode = {"status": 400, "only_for": "gpt-3.5-turbo"}

    assert (await router.complete("hi")).provider == "ollama"
    upstream.mode = {"status": 400}
    with pytest.raises(UpstreamError):
        await router.complete("hi")
    await router.aclose()


async def test_a_custom_router_takes_several_of_one_type(upstream: ScriptedUpstream) -> None:
    configs = [
        LLMProviderConfig(name, api_key="sk-1", api_base=f"{upstream.url}/v1", model_name=model)
        for name, model in (("Fast EU", "gpt-4o-mini"), ("smart", "gpt-4o"))
    ]

    router = await create_custom_router([("openai", configs[0]), (OpenAIProvider, configs[1])])

    assert router.provider_order == ["Fast EU", "smart"]
    assert (await router.complete("hi", preferred_provider="smart")).model == "gpt-4o"
    assert (await router.complete("hi")).provider == "Fast EU"
    await router.aclose()


async def test_a_type_without_a_usual_model_needs_one() -> None:
    with pytest.raises(ConfigError, match="needs a model_name"):
        GatewayProvider(LLMProviderConfig("groq"))


async def test_a_number_that_is_none_and_an_unknown_strategy_are_refused_by_name(
    upstream: ScriptedUpstream,
) -> None:
    with pytest.raises(ConfigError, match="OPENAI_MAX_TOKENS must be a number, not 'many'"):
        await create_default_router(environ=openai(upstream, OPENAI_MAX_TOKENS="many"))
    with pytest.raises(ConfigError, match=r"unknown strategy 'dearest'; known: fallback, cheapest"):
        await create_default_router("dearest", environ={})


@pytest.mark.contract(110)
async def test_there_is_one_instance_until_it_is_reset(
    upstream: ScriptedUpstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("ANTHROPIC_API_KEY", "GEMINI_API_KEY", "OLLAMA_BASE_URL", "LLM_ROUTER_STRATEGY"):
        monkeypatch.delenv(name, raising=False)
    for name, value in openai(upstream).items():
        monkeypatch.setenv(name, value)
    reset_router_instance()

    first, second = await asyncio.gather(get_router_instance(), get_router_instance())
    reset_router_instance()
    third = await get_router_instance()
    reset_router_instance()

    assert first is second
    assert third is not first
    assert third.provider_order == ["openai"]


async def test_the_key_is_in_no_repr() -> None:
    assert "sk-canary" not in repr(LLMProviderConfig("openai", api_key="sk-canary"))


@pytest.mark.process
def test_the_import_connects_nothing_and_brings_neither_ray_nor_litellm() -> None:
    code = (
        "import sys, serve_app.clients.model_router; "
        "print([m for m in ('ray', 'litellm', 'aiohttp') if m in sys.modules])"
    )

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "[]"
