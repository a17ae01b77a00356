"""The unified client before a real HTTP server, with a clock that does not wait."""

import asyncio
import json
import logging
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from random import Random
from typing import Any

import pytest

from serve_app.clients.unified import BackendManager, BaseAgent, LLMBackend, UnifiedLLMClient
from serve_app.errors import (
    BudgetExceeded,
    ConfigError,
    GatewayError,
    InvalidRequest,
    ProviderAuthError,
    UpstreamError,
)
from tests.support.api import eventually
from tests.support.clock import FakeClock
from tests.support.upstream import ScriptedUpstream

pytestmark = [
    pytest.mark.anyio,
    # LiteLLM's types are loaded when they are first used, and pydantic has something to say about them.
    pytest.mark.filterwarnings("ignore:Item .* on TypedDict class:UserWarning"),
]

KEY = "sk-ant-canary"


class NotedClock(FakeClock):
    """Notes what it was asked to let pass."""

    def __init__(self) -> None:
        super().__init__()
        self.slept: list[float] = []

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        await super().sleep(seconds)


@pytest.fixture(scope="module")
def running() -> Iterator[ScriptedUpstream]:
    with ScriptedUpstream() as upstream:
        yield upstream


@pytest.fixture
def upstream(running: ScriptedUpstream) -> ScriptedUpstream:
    running.recover()
    running.requests.clear()
    return running


@pytest.fixture
def clock() -> NotedClock:
    return NotedClock()


@pytest.fixture
async def client(upstream: ScriptedUpstream, clock: NotedClock) -> AsyncIterator[UnifiedLLMClient]:
    client = client_of(upstream, clock)
    yield client
    await client.aclose()


def client_of(upstream: ScriptedUpstream, clock: FakeClock, **environ: str) -> UnifiedLLMClient:
    environ = {"ANTHROPIC_API_KEY": KEY, "ANTHROPIC_BASE_URL": upstream.url, **environ}
    return UnifiedLLMClient(environ, clock=clock, rng=Random(7))


def said(text: str = "hi", **orders: Any) -> list[dict[str, str]]:
    return [{"role": "user", "content": f"{text} [[{json.dumps(orders)}]]" if orders else text}]


def overview(client: UnifiedLLMClient) -> dict[str, Any]:
    found: dict[str, Any] = client.get_metrics_summary()["overview"]
    return found


# --- asking -------------------------------------------------------------------------------------------


@pytest.mark.contract(111)
async def test_a_tier_and_messages_in_a_text_out(
    client: UnifiedLLMClient, upstream: ScriptedUpstream
) -> None:
    text = await client.chat_completion(messages=said("good day"), model_tier="haiku")

    assert text == "Hello from claude-3-haiku-20240307: good day"
    assert upstream.last.path == "/v1/messages"
    assert upstream.last.headers["x-api-key"] == KEY
    assert (upstream.last.json["temperature"], upstream.last.json["max_tokens"]) == (0.7, 4096)


@pytest.mark.contract(111)
async def test_a_call_is_counted_and_priced(client: UnifiedLLMClient) -> None:
    await client.chat_completion(said(usage=[1000, 500]), model_tier="haiku")

    assert overview(client)["total_calls"] == overview(client)["successful_calls"] == 1
    assert overview(client)["total_tokens"] == 1500
    assert client.get_cost_summary()["anthropic"] == 0.000875


@pytest.mark.contract(111)
async def test_a_stream_says_in_pieces_what_a_whole_answer_says(client: UnifiedLLMClient) -> None:
    whole = await client.chat_completion(said("tell me a story"), model_tier="sonnet")

    pieces = [p async for p in client.stream_chat_completion(said("tell me a story"), model_tier="sonnet")]

    assert len(pieces) > 3
    assert "".join(pieces) == whole


@pytest.mark.contract(111)
async def test_a_stream_is_counted_and_priced_as_well(client: UnifiedLLMClient) -> None:
    pieces = [piece async for piece in client.stream_chat_completion(said(usage=[1000, 500]), "haiku")]

    assert pieces
    assert overview(client)["successful_calls"] == 1
    assert client.get_cost_summary()["anthropic"] == 0.000875


async def test_a_stream_that_is_left_early_ends_upstream_and_is_counted(
    client: UnifiedLLMClient, upstream: ScriptedUpstream
) -> None:
    stream = client.stream_chat_completion(said(chunks=10_000, chunk_delay_s=0.005))
    await anext(stream)
    await stream.aclose()

    await asyncio.to_thread(eventually, lambda: upstream.open_streams == 0)
    assert overview(client)["total_calls"] == 1
    assert client.get_cost_summary()["anthropic"] > 0


async def test_what_a_caller_sets_reaches_the_model(
    client: UnifiedLLMClient, upstream: ScriptedUpstream
) -> None:
    await client.chat_completion(said(), "opus", temperature=0.0, max_tokens=12, stop=["END"])

    body = upstream.last.json
    assert body["model"] == "claude-3-opus-20240229"
    assert (body["temperature"], body["max_tokens"], body["stop_sequences"]) == (0.0, 12, ["END"])


async def test_many_calls_at_once_are_answered_each_with_its_own(client: UnifiedLLMClient) -> None:
    answers = await asyncio.gather(*(client.chat_completion(said(f"number {n}")) for n in range(20)))

    assert [answer.split()[-1] for answer in answers] == [str(n) for n in range(20)]
    assert overview(client)["total_calls"] == 20


def test_one_event_loop_after_another_may_use_the_same_client(upstream: ScriptedUpstream) -> None:
    client = client_of(upstream, FakeClock())

    async def ask() -> str:
        answer = await client.chat_completion(said())
        await client.aclose()
        return answer

    assert asyncio.run(client.chat_completion(said())) == asyncio.run(ask()) == asyncio.run(ask())


async def test_a_client_that_was_closed_opens_again(client: UnifiedLLMClient) -> None:
    first = await client.chat_completion(said())
    await client.aclose()

    assert await client.chat_completion(said()) == first


async def test_an_agent_asks_with_its_system_prompt(
    client: UnifiedLLMClient, upstream: ScriptedUpstream
) -> None:
    class Agent(BaseAgent):
        model_tier = "sonnet"
        llm_client = client

    answer = await Agent().call_llm(system_prompt="Be brief.", user_message="good day")

    assert answer == "Hello from claude-3-5-sonnet-20241022: good day"
    assert "Be brief." in json.dumps(upstream.last.json["system"])


# --- failing ------------------------------------------------------------------------------------------


@pytest.mark.contract(112)
async def test_a_429_is_waited_out_twice(
    client: UnifiedLLMClient, upstream: ScriptedUpstream, clock: NotedClock
) -> None:
    assert await client.chat_completion(said(status=429, times=2))

    first_s, second_s = clock.slept
    assert len(upstream.asked) == 3
    assert 1.0 <= first_s <= 1.25
    assert 2.0 <= second_s <= 2.5
    assert overview(client)["failed_calls"] == 0


@pytest.mark.contract(112)
async def test_a_refused_key_is_not_tried_again(
    client: UnifiedLLMClient, upstream: ScriptedUpstream, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(ProviderAuthError):
        await client.chat_completion(said(status=401))

    assert len(upstream.asked) == 1
    assert overview(client)["failed_calls"] == 1
    assert [r.levelno for r in caplog.records if facts(r).get("event") == "provider_key_refused"] == [
        logging.ERROR
    ]


@pytest.mark.contract(112)
async def test_a_503_is_tried_four_times_and_told_once(
    client: UnifiedLLMClient, upstream: ScriptedUpstream, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(UpstreamError) as refused:
        await client.chat_completion(said(status=503))

    assert refused.value.upstream_status == 503
    assert len(upstream.asked) == 4
    assert (overview(client)["total_calls"], overview(client)["failed_calls"]) == (1, 1)
    told = [facts(record) for record in caplog.records if facts(record).get("event") == "llm_call_failed"]
    assert len(told) == 1
    assert (told[0]["backend"], told[0]["model"]) == ("anthropic", "claude-3-haiku-20240307")
    assert told[0]["retry_count"] == 3
    assert {"error_type", "error_message"} <= told[0].keys()


async def test_an_anthropic_that_is_down_is_not_answered_for_by_vllm(
    upstream: ScriptedUpstream, clock: NotedClock
) -> None:
    client = client_of(upstream, clock, VLLM_ENDPOINT=upstream.url)
    for _ in range(8):  # the breaker opens in the meantime
        with pytest.raises(GatewayError, match=r"refused the gateway's credentials|No suitable providers"):
            await client.chat_completion(said(status=401))
    await client.aclose()

    assert {seen.path for seen in upstream.asked} == {"/v1/messages"}


async def test_a_stream_that_breaks_off_is_a_failed_call(client: UnifiedLLMClient) -> None:
    with pytest.raises(UpstreamError):
        async for _ in client.stream_chat_completion(said(chunks=9, cut_after=4)):
            pass

    assert overview(client)["failed_calls"] == 1


def facts(record: logging.LogRecord) -> dict[str, Any]:
    found: dict[str, Any] = getattr(record, "facts", {})
    return found


# --- backends -----------------------------------------------------------------------------------------


@pytest.mark.contract(115)
async def test_without_an_endpoint_nothing_is_switched(client: UnifiedLLMClient) -> None:
    answer = await BackendManager(client).switch_backend(LLMBackend.VLLM)

    assert (answer["success"], answer["backend"]) == (False, "anthropic")
    assert "endpoint" in answer["message"]
    assert client.get_current_backend() is LLMBackend.ANTHROPIC


@pytest.mark.contract(115)
async def test_with_an_endpoint_that_is_well_vllm_is_switched_to(
    client: UnifiedLLMClient, upstream: ScriptedUpstream
) -> None:
    manager = BackendManager(client)
    assert manager.set_vllm_endpoint(f"{upstream.url}/")["endpoint"] == upstream.url

    answer = await manager.switch_backend("vllm")

    assert (answer["success"], answer["backend"], answer["previous_backend"]) == (True, "vllm", "anthropic")
    assert client.get_available_models() == ["qwen"]
    assert await client.chat_completion(said(), "opus") == "Hello from Qwen/Qwen2.5-7B-Instruct: hi"
    assert upstream.last.path == "/v1/chat/completions"
    assert client.get_metrics_summary()["by_backend"]["vllm"]["total_cost"] == 0.0


@pytest.mark.contract(115)
async def test_an_endpoint_that_is_not_well_is_switched_to_only_without_the_look(
    client: UnifiedLLMClient, upstream: ScriptedUpstream, clock: NotedClock
) -> None:
    client.set_vllm_endpoint(upstream.url)
    upstream.models_mode = {"status": 500}

    answer = await client.switch_backend("vllm")
    assert (answer["success"], client.get_current_backend()) == (False, LLMBackend.ANTHROPIC)
    assert "not healthy" in answer["message"]

    assert (await client.switch_backend("vllm", skip_health_check=True))["success"]
    assert client.get_backend_info() == {
        "current_backend": "vllm",
        "vllm_endpoint": upstream.url,
        "vllm_configured": True,
        "available_models": ["qwen"],
        "available_backends": ["anthropic", "vllm"],
    }


async def test_a_backend_that_is_well_again_can_be_switched_to_a_moment_later(
    client: UnifiedLLMClient, upstream: ScriptedUpstream, clock: NotedClock
) -> None:
    client.set_vllm_endpoint(upstream.url)
    upstream.models_mode = {"status": 500}
    assert not (await client.switch_backend("vllm"))["success"]
    upstream.recover()
    clock.advance(1.0)

    assert (await client.switch_backend("vllm"))["success"]


async def test_another_endpoint_counts_from_the_next_call_on(
    client: UnifiedLLMClient, upstream: ScriptedUpstream
) -> None:
    client.set_vllm_endpoint("http://127.0.0.1:9")
    await client.switch_backend("vllm", skip_health_check=True)
    with pytest.raises(UpstreamError):
        await client.chat_completion(said())

    client.set_vllm_endpoint(upstream.url)

    assert await client.chat_completion(said())


async def test_an_unknown_backend_and_a_bad_endpoint_are_refused(client: UnifiedLLMClient) -> None:
    with pytest.raises(InvalidRequest, match="anthropic, vllm"):
        await client.switch_backend("bedrock")
    with pytest.raises(InvalidRequest, match="http://"):
        client.set_vllm_endpoint("10.0.0.5:8000")
    assert client.get_backend_info()["vllm_endpoint"] is None


async def test_both_backends_are_looked_at(client: UnifiedLLMClient, upstream: ScriptedUpstream) -> None:
    assert await client.health_check() == {"anthropic": True, "vllm": False}

    looks = await client.check_all_backends()

    assert looks["anthropic"].keys() == {"healthy", "latency_ms", "last_check", "error"}
    assert looks["vllm"]["error"] == "vLLM has no endpoint"
    assert not upstream.asked, "a look must not cost a token"


# --- what it came to ----------------------------------------------------------------------------------


@pytest.mark.contract(117)
async def test_vllm_is_paid_by_the_hour(upstream: ScriptedUpstream, clock: NotedClock) -> None:
    client = client_of(upstream, clock, VLLM_ENDPOINT=upstream.url, BUDGET_LIMIT="2")
    assert client.get_cost_summary()["vllm"] == 0.0

    clock.advance(2 * 3600)

    assert client.get_cost_summary() == {
        "anthropic": 0.0,
        "vllm": 0.32,
        "total": 0.32,
        "budget_limit": 2.0,
        "remaining": 1.68,
        "budget_used_percent": 16.0,
    }


async def test_what_the_budget_has_no_room_for_is_refused_and_nobody_is_asked(
    upstream: ScriptedUpstream, clock: NotedClock, caplog: pytest.LogCaptureFixture
) -> None:
    client = client_of(upstream, clock, BUDGET_LIMIT="0.0055")  # 4096 tokens of an answer cost 0.00512
    await client.chat_completion(said(usage=[20_000, 0]))

    with pytest.raises(BudgetExceeded):
        await client.chat_completion(said())
    await client.aclose()
    with pytest.raises(BudgetExceeded):  # a client that opens again has not forgotten
        await client.chat_completion(said())
    await client.aclose()

    assert len(upstream.asked) == 1
    assert client.get_cost_summary()["remaining"] == 0.0005
    assert [facts(r)["threshold"] for r in caplog.records if facts(r).get("event") == "budget_alert"] == [
        75,
        90,
    ]


async def test_an_amount_that_is_none_is_refused_by_name(
    upstream: ScriptedUpstream, clock: NotedClock
) -> None:
    with pytest.raises(ConfigError, match="BUDGET_LIMIT must be an amount"):
        client_of(upstream, clock, BUDGET_LIMIT="plenty").get_cost_summary()


@pytest.mark.process
def test_the_import_connects_nothing_and_brings_neither_ray_nor_litellm() -> None:
    code = (
        "import sys, serve_app.clients.unified as u; u.llm_client.get_available_models(); "
        "print([m for m in ('ray', 'litellm', 'aiohttp') if m in sys.modules])"
    )

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "[]"
