"""OpenAI's official client, unchanged: only `base_url` differs."""

from collections.abc import Iterator
from typing import Any

import openai
import pytest
from openai.types.chat import ChatCompletionMessageParam, ChatCompletionToolParam

from serve_app.config.load import load_settings
from tests.support.api import PIXEL
from tests.support.serving import CANARIES, ONE_REPLICA, Cluster, gateway_config, inline
from tests.support.upstream import ScriptedUpstream

CALLER = CANARIES["SEKHA_TEST_CALLER_KEY"]
MAX_BODY_MB = 1
WEATHER: ChatCompletionToolParam = {
    "type": "function",
    "function": {"name": "weather", "parameters": {"type": "object", "properties": {"city": {}}}},
}

GPT, CLAUDE = "gpt-4o", "claude-3-opus-20240229"


@pytest.fixture(scope="module")
def upstream() -> Iterator[ScriptedUpstream]:
    with ScriptedUpstream() as upstream:
        yield upstream


@pytest.fixture(scope="module")
def base_url(cluster: Cluster, upstream: ScriptedUpstream) -> str:
    """A gateway that asks for a key; OpenAI's bytes pass through, Anthropic's are translated."""
    pass_through = inline(
        "openai_cloud",
        upstream.url,
        {"model_id": GPT, "task": "chat_smart", "supports_vision": True},
        {"model_id": "text-embedding-3-small", "task": "embedding", "dimension": 8},
    )
    translated = inline(
        "anthropic_direct",
        upstream.url,
        {"model_id": CLAUDE, "task": "chat_large"},
        type="anthropic",
        base_url=upstream.url,
        transport="handle",
        **ONE_REPLICA,
    )
    config = gateway_config(
        pass_through,
        translated,
        auth={"api_keys": ["${SEKHA_TEST_CALLER_KEY}"]},
        router={**ONE_REPLICA, "max_body_mb": MAX_BODY_MB},
        circuit_breaker={"failure_threshold": 10},
    )
    return f"{cluster.gateway(load_settings(config, {}), 'openai').url}/v1"


@pytest.fixture(scope="module")
def client(base_url: str) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=base_url, api_key=CALLER, max_retries=0) as client:
        yield client


def ask(text: str) -> list[ChatCompletionMessageParam]:
    return [{"role": "user", "content": text}]


def joined(chunks: list[Any]) -> str:
    return "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)


# --- answers ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("model", [GPT, CLAUDE])
def test_a_chat_is_answered(client: openai.OpenAI, model: str) -> None:
    completion = client.chat.completions.create(model=model, messages=ask("how are you?"))

    assert completion.choices[0].message.content == f"Hello from {model}: how are you?"
    assert completion.choices[0].finish_reason == "stop"
    assert completion.usage is not None
    assert (completion.usage.prompt_tokens, completion.usage.total_tokens) == (3, 9)


@pytest.mark.parametrize("model", [GPT, CLAUDE])
def test_a_stream_says_what_a_whole_answer_says(client: openai.OpenAI, model: str) -> None:
    whole = client.chat.completions.create(model=model, messages=ask("tell me a story"))

    chunks = list(client.chat.completions.create(model=model, messages=ask("tell me a story"), stream=True))

    assert joined(chunks) == whole.choices[0].message.content
    assert chunks[-1].choices[0].finish_reason == "stop"
    assert not any(chunk.usage for chunk in chunks)  # nobody asked


@pytest.mark.parametrize("model", [GPT, CLAUDE])
def test_a_stream_ends_with_its_usage_when_asked(client: openai.OpenAI, model: str) -> None:
    chunks = list(
        client.chat.completions.create(
            model=model,
            messages=ask("how are you?"),
            stream=True,
            stream_options={"include_usage": True},
        )
    )

    assert chunks[-1].choices == []
    assert chunks[-1].usage is not None
    assert (chunks[-1].usage.prompt_tokens, chunks[-1].usage.completion_tokens) == (3, 6)


def test_a_text_becomes_a_vector(client: openai.OpenAI) -> None:
    answer = client.embeddings.create(model="text-embedding-3-small", input=["one", "two"])

    assert [row.index for row in answer.data] == [0, 1]
    assert len(answer.data[0].embedding) == 8
    assert answer.data[0].embedding != answer.data[1].embedding


def test_models_are_listed_and_found(client: openai.OpenAI) -> None:
    assert [model.id for model in client.models.list()] == [GPT, "text-embedding-3-small", CLAUDE]
    assert client.models.retrieve(CLAUDE).owned_by == "anthropic_direct"


@pytest.mark.parametrize("stream", [False, True])
def test_a_tool_is_called(client: openai.OpenAI, stream: bool) -> None:
    wanted: dict[str, Any] = {"model": GPT, "messages": ask("weather?"), "tools": [WEATHER]}

    answer = client.chat.completions.create(**wanted, tool_choice="required", stream=stream)

    if stream:
        # To its end: one that is left open is closed by the collector, which may come while the client's pool
        # is locked by this very thread, and then waits for ever.
        [choice] = [chunk.choices[0].delta for chunk in answer if chunk.choices[0].delta.tool_calls]
    else:
        choice = answer.choices[0].message
        assert answer.choices[0].finish_reason == "tool_calls"
    assert choice.tool_calls[0].function.name == "weather"
    assert choice.tool_calls[0].function.arguments == '{"city": "Paris"}'


def test_a_translated_tool_is_called(client: openai.OpenAI) -> None:
    answer = client.chat.completions.create(
        model=CLAUDE, messages=ask("weather?"), tools=[WEATHER], tool_choice="required"
    )

    assert answer.choices[0].finish_reason == "tool_calls"
    assert answer.choices[0].message.tool_calls[0].function.name == "weather"  # type: ignore[index,union-attr]


def test_a_picture_is_looked_at(client: openai.OpenAI, upstream: ScriptedUpstream) -> None:
    picture = {"type": "image_url", "image_url": {"url": PIXEL, "detail": "low"}}
    content: Any = [{"type": "text", "text": "what is this?"}, picture]

    answer = client.chat.completions.create(model=GPT, messages=[{"role": "user", "content": content}])

    assert answer.choices[0].message.content == f"Hello from {GPT}: what is this?"
    assert upstream.last.json["messages"][0]["content"] == content


# --- errors -------------------------------------------------------------------------------------------


def test_a_wrong_key_is_an_authentication_error(base_url: str) -> None:
    with (
        openai.OpenAI(base_url=base_url, api_key="sk-wrong", max_retries=0) as stranger,
        pytest.raises(openai.AuthenticationError) as caught,
    ):
        stranger.chat.completions.create(model=GPT, messages=ask("hi"))

    assert (caught.value.status_code, caught.value.code) == (401, "invalid_api_key")


def test_an_unknown_model_is_not_found(client: openai.OpenAI) -> None:
    with pytest.raises(openai.NotFoundError) as caught:
        client.chat.completions.create(model="gpt-9", messages=ask("hi"))

    assert (caught.value.code, caught.value.param) == ("model_not_found", "model")
    assert GPT in caught.value.message
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("gpt-9")


@pytest.mark.parametrize("model", [GPT, CLAUDE])
@pytest.mark.parametrize("stream", [False, True])
def test_an_upstream_that_is_overrun_is_a_rate_limit_error(
    client: openai.OpenAI, model: str, stream: bool
) -> None:
    orders = ask('[[{"status": 429, "retry_after": 1}]]')

    with pytest.raises(openai.RateLimitError) as caught:
        client.chat.completions.create(model=model, messages=orders, stream=stream)

    assert caught.value.response.headers["retry-after"] == "1"
    # The breaker stays closed, and the next request waits until it may be sent.
    assert client.chat.completions.create(model=model, messages=ask("and now?"))


@pytest.mark.parametrize("model", [GPT, CLAUDE])
@pytest.mark.parametrize("stream", [False, True])
def test_what_the_upstream_calls_bad_is_a_bad_request(
    client: openai.OpenAI, model: str, stream: bool
) -> None:
    with pytest.raises(openai.BadRequestError):
        client.chat.completions.create(model=model, messages=ask('[[{"status": 400}]]'), stream=stream)


def test_a_field_out_of_range_is_an_unprocessable_entity(client: openai.OpenAI) -> None:
    with pytest.raises(openai.UnprocessableEntityError) as caught:
        client.chat.completions.create(model=GPT, messages=ask("hi"), temperature=3)

    assert caught.value.param == "temperature"


def test_a_body_over_the_limit_is_refused_as_too_large(client: openai.OpenAI) -> None:
    with pytest.raises(openai.APIStatusError) as caught:
        client.chat.completions.create(model=GPT, messages=ask("x" * (MAX_BODY_MB * 1_000_000)))

    assert (caught.value.status_code, caught.value.code) == (413, "request_too_large")


@pytest.mark.parametrize("model", [GPT, CLAUDE])
@pytest.mark.parametrize(
    "orders",
    ['{"chunks": 5, "cut_after": 3}', '{"chunks": 5, "error_after": 3}'],
    ids=["cut", "error"],
)
def test_a_stream_cut_short_never_looks_whole(client: openai.OpenAI, model: str, orders: str) -> None:
    heard: list[Any] = []
    stream = client.chat.completions.create(model=model, messages=ask(f"[[{orders}]]"), stream=True)

    with pytest.raises(openai.APIError):
        heard.extend(stream)

    assert joined(heard) == "w0 w1 w2 "
    assert not any(choice.finish_reason for chunk in heard for choice in chunk.choices)
