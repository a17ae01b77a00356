"""The Python clients where a gateway runs: their calls go through it, and are counted there."""

import asyncio

import pytest

from serve_app.clients.model_router import LLMProviderConfig, ModelRouter, RunningGatewayProvider
from serve_app.clients.unified import BackendManager, UnifiedLLMClient
from serve_app.errors import FailureKind, ModelNotFound, UpstreamError
from tests.support.api import Api
from tests.support.upstream import ScriptedUpstream

pytestmark = pytest.mark.anyio

NO_KEYS: dict[str, str] = {}


class Running(RunningGatewayProvider):
    """The gateway of these tests."""

    def __init__(self, config: LLMProviderConfig) -> None:
        super().__init__(config, app_name="local")


async def test_the_unified_client_asks_the_gateway_that_runs(
    local: Api, ollama_upstream: ScriptedUpstream
) -> None:
    client = UnifiedLLMClient(NO_KEYS, app_name="local")
    ollama_upstream.requests.clear()

    whole = await client.chat_completion([{"role": "user", "content": "tell me a story"}], model_tier="haiku")
    told = client.stream_chat_completion([{"role": "user", "content": "tell me a story"}], "haiku")
    pieces = [piece async for piece in told]

    assert whole == "".join(pieces) == "Hello from llama3.1:8b: tell me a story"
    assert [seen.json["model"] for seen in ollama_upstream.asked] == ["llama3.1:8b"] * 2
    assert client.get_metrics_summary()["overview"]["successful_calls"] == 2
    assert client.get_cost_summary()["anthropic"] == 0.0, "priced by who answered, not by the tier"


async def test_many_of_its_calls_at_once_look_for_the_gateway_once(local: Api) -> None:
    client = UnifiedLLMClient(NO_KEYS, app_name="local")

    asked = (client.chat_completion([{"role": "user", "content": f"number {n}"}]) for n in range(20))

    assert [text.split()[-1] for text in await asyncio.gather(*asked)] == [str(n) for n in range(20)]


def test_one_event_loop_after_another_may_use_it(local: Api) -> None:
    client = UnifiedLLMClient(NO_KEYS, app_name="local")

    first, second = (asyncio.run(client.chat_completion([{"role": "user", "content": "hi"}])) for _ in "12")

    assert first == second


async def test_what_the_gateway_refuses_is_raised_and_counted(local: Api) -> None:
    client = UnifiedLLMClient(NO_KEYS, app_name="local")
    order = '[[{"error_code": "context_length_exceeded"}]]'

    with pytest.raises(UpstreamError) as refused:
        await client.chat_completion([{"role": "user", "content": order}])

    assert refused.value.failure is FailureKind.CONTEXT_LENGTH
    assert client.get_metrics_summary()["overview"]["failed_calls"] == 1


async def test_before_a_running_gateway_a_backend_is_only_a_choice_of_tiers(local: Api) -> None:
    client = UnifiedLLMClient(NO_KEYS, app_name="local")

    answer = await BackendManager(client).switch_backend("vllm")

    assert (answer["success"], answer["previous_backend"]) == (True, "anthropic")
    assert client.get_available_models() == ["qwen"]
    with pytest.raises(ModelNotFound, match="served by providers of type 'vllm', and none is configured"):
        await client.chat_completion([{"role": "user", "content": "hi"}], model_tier="opus")


async def test_the_model_router_has_it_as_a_provider(local: Api) -> None:
    router = ModelRouter()

    assert await router.add_provider(Running, LLMProviderConfig("local", model_name="chat_small"))

    answer = await router.complete("hi")
    assert (answer.text, answer.provider) == ("Hello from llama3.1:8b: hi", "local")
    assert len((await router.embed("hi")).embeddings) == 8


async def test_an_application_that_is_not_there_is_no_provider(local: Api) -> None:
    assert not await RunningGatewayProvider(app_name="nowhere").is_available()
