"""The model registry: routing and breakers in the caller's own process."""

import subprocess
import sys
from typing import Any

import pytest

from serve_app.api.routing_schemas import ModelEntry
from serve_app.clients.bridge import (
    ChatMessage,
    CircuitOpen,
    CircuitState,
    MessageRole,
    ModelRegistry,
    ModelTask,
    ProviderError,
)
from serve_app.config.settings import Settings
from serve_app.errors import FailureKind, InvalidRequest, upstream_error
from tests.support.clock import FakeClock
from tests.support.settings import HYBRID, LOCAL, settings, two_providers

pytestmark = pytest.mark.anyio


def registry_of(configured: Settings, clock: FakeClock | None = None) -> ModelRegistry:
    return ModelRegistry(configured, environ={}, clock=clock or FakeClock())


def break_down(registry: ModelRegistry, provider_id: str) -> None:
    breaker = registry.circuit_breakers[provider_id]
    for _ in range(breaker.policy.failure_threshold):
        breaker.record_failure()


async def test_the_usage_example_works() -> None:
    registry = registry_of(two_providers())

    result = await registry.route_with_fallback(
        task=ModelTask.CHAT_SMART, preferred_model="second-chat", max_cost=0.10
    )
    response = await registry.execute_with_circuit_breaker(
        provider_id=result.provider.provider_id,
        operation=result.provider.chat_completion,
        messages=[ChatMessage(role=MessageRole.USER, content="Hello!")],
        model=result.model_id,
    )

    assert f"{result.provider.provider_id}/{result.model_id}" == "second/second-chat"
    assert f"${result.estimated_cost:.4f}" == "$0.0000"
    assert "preferred" in result.reason.lower()
    assert response.usage["total_tokens"] > 0
    assert "Hello!" in response.content


async def test_the_price_of_a_route_is_in_dollars() -> None:
    result = await registry_of(settings(HYBRID)).route_with_fallback("chat_smart", max_cost=0.10)

    assert (result.provider.provider_id, result.model_id) == ("openai_cloud", "gpt-4o")
    assert result.estimated_cost == 0.0125


async def test_the_fallbacks_come_in_the_order_of_the_plan() -> None:
    result = await registry_of(two_providers()).route_with_fallback(ModelTask.CHAT_SMART)

    assert result.model_id == "first-chat"
    assert [(f.provider.provider_id, f.model_id, f.reason) for f in result.fallbacks] == [
        ("second", "second-chat", "Selected by priority (2)")
    ]


async def test_without_automatic_fallback_there_is_one_choice() -> None:
    configured = two_providers(routing={"auto_fallback": False})

    assert (await registry_of(configured).route_with_fallback("chat_smart")).fallbacks == ()


async def test_a_provider_with_an_open_breaker_is_passed_over() -> None:
    registry = registry_of(two_providers())
    break_down(registry, "first")

    assert (await registry.route_with_fallback("chat_smart")).model_id == "second-chat"


@pytest.mark.contract(22)
async def test_with_every_breaker_open_nobody_is_suitable() -> None:
    registry = registry_of(two_providers())
    break_down(registry, "first")
    break_down(registry, "second")

    with pytest.raises(RuntimeError, match=r"^No suitable providers available for task 'chat_smart'"):
        await registry.route_with_fallback(ModelTask.CHAT_SMART)


@pytest.mark.contract(23)
async def test_a_task_without_a_model_has_no_provider() -> None:
    with pytest.raises(RuntimeError, match=r"^No providers available for task 'audio'"):
        await registry_of(two_providers()).route_with_fallback(ModelTask.AUDIO)


@pytest.mark.contract(36)
async def test_an_image_needs_somebody_who_sees() -> None:
    with pytest.raises(RuntimeError, match=r"^No providers available .*vision=True"):
        await registry_of(settings(LOCAL)).route_with_fallback("chat_smart", require_vision=True)


async def test_over_every_budget_the_error_speaks_of_cost() -> None:
    configured = settings(HYBRID, routing={"max_cost_per_request": 0.001})

    with pytest.raises(RuntimeError, match=r"^No suitable .*provider.*cost"):
        await registry_of(configured).route_with_fallback("chat_smart", max_cost=1.0)


async def test_a_window_that_is_too_small_is_no_choice() -> None:
    registry = registry_of(settings(HYBRID))

    with pytest.raises(RuntimeError, match=r"^No providers available"):
        await registry.route_with_fallback("chat_smart", context_size=9_000_000)


async def test_an_unknown_task_is_answered_with_those_there_are() -> None:
    with pytest.raises(InvalidRequest, match=r"Invalid task 'foo'.*chat_small"):
        await registry_of(settings(LOCAL)).route_with_fallback("foo")


@pytest.mark.contract(46)
async def test_a_value_is_returned_and_nothing_held_against_the_provider() -> None:
    registry = registry_of(two_providers())

    async def operation(left: int, right: int) -> int:
        return left + right

    assert await registry.execute_with_circuit_breaker("first", operation, 1, right=2) == 3
    assert registry.circuit_breakers["first"].failure_count == 0


@pytest.mark.contract(46)
async def test_after_enough_failures_the_operation_is_no_longer_called() -> None:
    registry = registry_of(two_providers(circuit_breaker={"failure_threshold": 3}))
    breaker = registry.circuit_breakers["first"]
    calls = 0

    async def operation() -> None:
        nonlocal calls
        calls += 1
        raise ValueError("boom")

    with pytest.raises(ValueError, match="boom"):
        await registry.execute_with_circuit_breaker("first", operation)
    assert (breaker.failure_count, breaker.state) == (1, CircuitState.CLOSED)
    for _ in range(2):
        with pytest.raises(ValueError, match="boom"):
            await registry.execute_with_circuit_breaker("first", operation)
    assert breaker.state is CircuitState.OPEN
    with pytest.raises(CircuitOpen):
        await registry.execute_with_circuit_breaker("first", operation)
    assert calls == 3


async def test_a_callers_mistake_is_raised_and_not_counted() -> None:
    registry = registry_of(two_providers())

    async def operation() -> None:
        raise upstream_error("too long", "first", FailureKind.CONTEXT_LENGTH, 400)

    with pytest.raises(ProviderError, match="too long"):
        await registry.execute_with_circuit_breaker("first", operation)
    assert registry.circuit_breakers["first"].failure_count == 0


async def test_an_unknown_provider_is_answered_with_those_there_are() -> None:
    async def operation() -> None:
        pytest.fail("called")

    with pytest.raises(KeyError, match="no provider 'third'; configured: first, second"):
        await registry_of(two_providers()).execute_with_circuit_breaker("third", operation)


async def test_health_goes_by_provider_and_looks_at_the_breakers_now() -> None:
    clock = FakeClock()
    registry = registry_of(settings(LOCAL), clock)
    break_down(registry, "ollama_local")
    assert health_of(registry)["circuit_breaker"]["state"] == "open"

    clock.advance(60)

    health = health_of(registry)
    assert (health["provider_type"], health["models_count"]) == ("ollama", 3)
    assert (health["circuit_breaker"]["state"], health["circuit_breaker"]["failure_count"]) == (
        "half_open",
        5,
    )


def health_of(registry: ModelRegistry) -> dict[str, Any]:
    return registry.get_provider_health()["ollama_local"]


@pytest.mark.contract(1)
def test_every_model_is_listed_once_for_each_of_its_tasks() -> None:
    registry = registry_of(settings(LOCAL))

    models = registry.list_all_models()

    assert [(model["model_id"], model["task"]) for model in models] == [
        ("nomic-embed-text", "embedding"),
        ("llama3.1:8b", "chat_small"),
        ("llama3.1:8b", "chat_smart"),
    ]
    assert set(models[0]) == set(ModelEntry.model_fields)
    assert models[0] == {
        "model_id": "nomic-embed-text",
        "provider_id": "ollama_local",
        "task": "embedding",
        "context_window": 512,
        "dimension": 768,
        "supports_vision": False,
        "supports_audio": False,
    }
    assert list(registry.model_cache)[1] == "ollama_local:llama3.1:8b:chat_small"


def test_a_key_is_looked_up_in_the_registrys_environment_and_never_shown() -> None:
    secret = {**HYBRID["llm_providers"][1], "api_key": "${CLOUD_KEY}"}
    configured = settings({**HYBRID, "llm_providers": [HYBRID["llm_providers"][0], secret]})

    provider = registry_of(configured).providers["openai_cloud"]

    assert "CLOUD_KEY" in repr(provider.config["api_key"])
    assert "sk-" not in repr(provider.config)


@pytest.mark.process
def test_importing_the_registry_reads_no_configuration_and_starts_no_ray() -> None:
    code = (
        "import sys\n"
        "from serve_app.clients.bridge import registry\n"
        "assert 'settings' not in registry.__dict__\n"
        "assert not {'ray', 'litellm'} & set(sys.modules)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], env={"CONFIG_PATH": "/not/there.yaml"}, capture_output=True, check=False
    )

    assert done.returncode == 0, done.stderr.decode()


def test_the_registry_finds_its_configuration_at_first_use() -> None:
    found = {"SEKHA__LLM_PROVIDERS": '[{"id": "sim", "type": "scripted", "models": []}]'}

    registry = ModelRegistry(environ={**found, "SEKHA__DEFAULT_MODELS": "{}"})

    assert list(registry.providers) == list(registry.circuit_breakers) == ["sim"]
