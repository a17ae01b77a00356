"""One provider as a class of its own, over the simulator and over real HTTP on the loopback."""

import asyncio
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from serve_app.clients.bridge import (
    ChatMessage,
    LiteLlmProvider,
    LlmProvider,
    MessageRole,
    ProviderAuthError,
    ProviderError,
    ProviderRateLimitError,
    ProviderTimeoutError,
)
from serve_app.errors import InvalidRequest
from tests.support.clock import FakeClock
from tests.support.upstream import ScriptedUpstream

pytestmark = pytest.mark.anyio

HELLO = [ChatMessage(role=MessageRole.USER, content="Hello!")]
MODELS = [
    {"model_id": "sim-chat", "task": "chat_smart", "supports_vision": True, "context_window": 4096},
    {"model_id": "sim-embed", "task": "embedding", "dimension": 16},
]


def simulated(**script: Any) -> LiteLlmProvider:
    config = {"provider_type": "scripted", "models": MODELS, "script": script}
    return LiteLlmProvider("sim", config, environ={}, clock=FakeClock())


@pytest.fixture(scope="module")
def upstream() -> Iterator[ScriptedUpstream]:
    with ScriptedUpstream() as running:
        yield running


@asynccontextmanager
async def over_http(upstream: ScriptedUpstream, **config: Any) -> AsyncIterator[LiteLlmProvider]:
    upstream.requests.clear()
    provider = LiteLlmProvider("ollama_local", {"base_url": upstream.url, **config}, environ={})
    try:
        yield provider
    finally:
        await provider.aclose()


@pytest.mark.contract(79)
def test_the_base_class_cannot_be_instantiated() -> None:
    with pytest.raises(TypeError):
        LlmProvider()  # type: ignore[abstract, call-arg]


@pytest.mark.contract(79)
def test_without_a_type_it_is_an_ollama() -> None:
    provider = LiteLlmProvider("minimal", {})

    assert (provider.provider_id, provider.provider_type, provider.settings.timeout) == (
        "minimal",
        "ollama",
        120,
    )


@pytest.mark.contract(79)
async def test_the_health_of_one_that_works() -> None:
    health = await simulated().health_check()

    assert health == {
        "status": "healthy",
        "latency_ms": 0.0,
        "error": None,
        "models_available": ["sim-chat", "sim-embed"],
        "last_check": "1970-01-12T13:46:40+00:00",
    }


async def test_without_models_it_is_not_healthy() -> None:
    health = await LiteLlmProvider("minimal", {}).health_check()

    assert (health["status"], health["error"]) == ("unhealthy", "No models configured")


async def test_the_usage_example_works(upstream: ScriptedUpstream) -> None:
    async with over_http(upstream, provider_type="ollama", timeout=120) as provider:
        response = await provider.chat_completion(messages=HELLO, model="llama3.1:8b", temperature=0.7)
        sent = upstream.last
        embedding = await provider.generate_embedding(text="Sample text", model="nomic-embed-text")

    assert (sent.path, sent.json) == (
        "/v1/chat/completions",
        {
            "messages": [{"role": "user", "content": "Hello!"}],
            "temperature": 0.7,
            "model": "llama3.1:8b",
        },
    )
    assert response.content == "Hello from llama3.1:8b: Hello!"
    assert (response.model, response.provider_id, response.finish_reason) == (
        "llama3.1:8b",
        "ollama_local",
        "stop",
    )
    assert response.usage == {"prompt_tokens": 1, "completion_tokens": 4, "total_tokens": 5}
    assert response.metadata == {"litellm_model": "ollama/llama3.1:8b"}
    assert embedding.dimension == len(embedding.embedding) == 8
    assert (embedding.model, embedding.usage) == (
        "nomic-embed-text",
        {"prompt_tokens": 2, "total_tokens": 2},
    )


async def test_a_stream_says_the_same_as_a_whole_answer() -> None:
    provider = simulated()

    pieces = [piece async for piece in provider.chat_completion_stream(HELLO, "sim-chat")]

    assert len(pieces) > 1
    assert "".join(pieces) == (await provider.chat_completion(HELLO, "sim-chat")).content


async def test_a_limit_of_tokens_reaches_the_model(upstream: ScriptedUpstream) -> None:
    async with over_http(upstream) as provider:
        await provider.chat_completion(HELLO, "m", temperature=0.0, max_tokens=7)

    assert (upstream.last.json["temperature"], upstream.last.json["max_tokens"]) == (0.0, 7)


async def ask(verb: str, provider: LiteLlmProvider) -> None:
    """One call, whole or drained."""
    if verb == "chat":
        await provider.chat_completion(HELLO, "sim-chat")
    elif verb == "stream":
        [piece async for piece in provider.chat_completion_stream(HELLO, "sim-chat")]
    else:
        await provider.generate_embedding("Hello!", "sim-embed")


@pytest.mark.parametrize(
    ("script", "kind", "retryable"),
    [
        ({"fail_with": 401}, ProviderAuthError, False),
        ({"stall": True}, ProviderTimeoutError, True),
        ({"fail_with": 429}, ProviderRateLimitError, True),
        ({"fail_with": 500}, ProviderError, True),
    ],
    ids=["auth", "timeout", "rate limit", "5xx"],
)
@pytest.mark.parametrize("verb", ["chat", "stream", "embedding"])
@pytest.mark.contract(50)
async def test_a_failure_is_raised_as_the_class_that_goes_with_it(
    verb: str, script: dict[str, Any], kind: type[ProviderError], retryable: bool
) -> None:
    with pytest.raises(ProviderError) as failure:
        await ask(verb, simulated(**script))

    assert type(failure.value) is kind
    assert (failure.value.retryable, failure.value.provider_id) == (retryable, "sim")


@pytest.mark.parametrize("verb", ["chat", "stream", "embedding"])
@pytest.mark.contract(50)
async def test_a_refused_connection_is_worth_another_try(verb: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        closed_port = server.getsockname()[1]
    provider = LiteLlmProvider("gone", {"base_url": f"http://127.0.0.1:{closed_port}"})

    with pytest.raises(ProviderError, match="cannot be reached") as failure:
        await ask(verb, provider)

    assert (type(failure.value), failure.value.retryable) == (ProviderError, True)
    await provider.aclose()


async def test_a_stream_that_is_cut_off_raises_after_its_last_piece(upstream: ScriptedUpstream) -> None:
    messages = [ChatMessage(role="user", content='hi [[{"chunks": 5, "cut_after": 2}]]')]
    heard = []
    async with over_http(upstream) as provider:
        pieces = provider.chat_completion_stream(messages, "m")
        heard += [await anext(pieces), await anext(pieces)]
        with pytest.raises(ProviderError, match="cut off"):
            await anext(pieces)

    assert "".join(heard) == "w0 w1 "


async def test_a_stream_that_is_left_early_ends_upstream_as_well(upstream: ScriptedUpstream) -> None:
    messages = [ChatMessage(role="user", content='hi [[{"chunks": 1000, "chunk_delay_s": 0.001}]]')]
    async with over_http(upstream) as provider:
        pieces = provider.chat_completion_stream(messages, "m")
        assert await anext(pieces) == "w0 "
        await pieces.aclose()
        while upstream.open_streams:  # noqa: ASYNC110 (the upstream lives in another thread)
            await asyncio.sleep(0)


def test_each_event_loop_gets_connections_of_its_own(upstream: ScriptedUpstream) -> None:
    """A script may call `asyncio.run` again and again."""
    provider = LiteLlmProvider("p", {"base_url": upstream.url}, environ={})

    first = asyncio.run(provider.chat_completion(HELLO, "m"))
    second = asyncio.run(provider.chat_completion(HELLO, "m"))

    assert first == second


@pytest.mark.parametrize("image", ["file:///etc/passwd", "ftp://x/a.png", "photo.png", "no base64!"])
async def test_an_image_nobody_could_look_at_is_refused_before_anyone_is_called(image: str) -> None:
    message = ChatMessage(role="user", content="What is this?", images=[image])

    with pytest.raises(InvalidRequest, match="Unsupported image"):
        await simulated().chat_completion([message], "sim-chat")


async def test_the_configured_models_are_listed_with_what_they_can_do() -> None:
    chat, embed = await simulated().list_models()

    assert (chat.model_id, chat.context_window, chat.supports_vision) == ("sim-chat", 4096, True)
    assert (embed.dimension, embed.metadata) == (16, {"task": "embedding", "provider_type": "scripted"})


@pytest.mark.parametrize(
    ("provider_type", "model", "expected"),
    [
        ("ollama", "llama3.1:8b", "ollama/llama3.1:8b"),
        ("openai", "gpt-4o", "openai/gpt-4o"),
        ("anthropic", "claude-3-opus", "anthropic/claude-3-opus"),
        ("openrouter", "anthropic/claude-3.5-sonnet", "openrouter/anthropic/claude-3.5-sonnet"),
        ("openai", "openai/gpt-4o", "openai/gpt-4o"),
    ],
)
def test_a_model_string_has_its_providers_prefix_once(provider_type: str, model: str, expected: str) -> None:
    assert LiteLlmProvider("p", {"provider_type": provider_type}).get_model_string(model) == expected
