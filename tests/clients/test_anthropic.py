"""Anthropic's own client for Python."""

from collections.abc import Iterator
from typing import Any

import anthropic
import pytest

from tests.clients.conftest import CHAT, CLAUDE, GPT, KEY
from tests.clients.scripted_model import SIGNATURE, ScriptedModel

WEATHER: Any = {
    "name": "weather",
    "description": "The weather in a city",
    "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}},
}
EVERY_MODEL = pytest.mark.parametrize("name", [CLAUDE, CHAT, GPT])


@pytest.fixture
def client(gateway: str) -> Iterator[anthropic.Anthropic]:
    with anthropic.Anthropic(base_url=gateway, api_key=KEY, max_retries=0) as client:
        yield client


def ask(text: str) -> list[Any]:
    return [{"role": "user", "content": text}]


@EVERY_MODEL
def test_a_message_is_answered_by_any_model(client: anthropic.Anthropic, name: str) -> None:
    message = client.messages.create(model=name, max_tokens=100, messages=ask("hi"))

    assert [block.text for block in message.content if block.type == "text"] == [f"Hello from {name}"]
    assert (message.stop_reason, message.usage.input_tokens, message.usage.output_tokens) == (
        "end_turn",
        20,
        5,
    )


@EVERY_MODEL
def test_a_stream_says_the_same(client: anthropic.Anthropic, name: str) -> None:
    with client.messages.stream(model=name, max_tokens=100, messages=ask("hi")) as stream:
        text = "".join(stream.text_stream)
        message = stream.get_final_message()

    assert text == f"Hello from {name}"
    assert (message.stop_reason, message.usage.output_tokens) == ("end_turn", 5)


@EVERY_MODEL
@pytest.mark.parametrize("streamed", [False, True])
def test_a_tool_is_called_and_its_result_read(client: anthropic.Anthropic, name: str, streamed: bool) -> None:
    def create(messages: list[Any]) -> Any:
        given: Any = {"model": name, "max_tokens": 100, "messages": messages, "tools": [WEATHER]}
        if not streamed:
            return client.messages.create(**given)
        with client.messages.stream(**given) as stream:
            return stream.get_final_message()

    called = create(ask("weather?"))
    [use] = [block for block in called.content if block.type == "tool_use"]
    result = {"type": "tool_result", "tool_use_id": use.id, "content": "sunny"}
    turns = [{"role": "assistant", "content": called.content}, {"role": "user", "content": [result]}]
    answer = create([*ask("weather?"), *turns])

    assert called.stop_reason == "tool_use"
    assert (use.name, use.input) == ("weather", {"city": "Paris"})
    assert [block.text for block in answer.content if block.type == "text"] == ["It says: sunny"]


@pytest.mark.parametrize("streamed", [False, True])
def test_thoughts_keep_their_signature(client: anthropic.Anthropic, streamed: bool) -> None:
    given: Any = {
        "model": CLAUDE,
        "max_tokens": 4000,
        "messages": ask("hi"),
        "thinking": {"type": "enabled", "budget_tokens": 1024},
    }
    if streamed:
        with client.messages.stream(**given) as stream:
            message: Any = stream.get_final_message()
    else:
        message = client.messages.create(**given)

    assert (message.content[0].type, message.content[0].signature) == ("thinking", SIGNATURE)


def test_what_the_gateway_does_not_know_passes(client: anthropic.Anthropic, upstream: ScriptedModel) -> None:
    client.messages.create(
        model=CLAUDE,
        max_tokens=100,
        messages=ask("hi"),
        extra_body={"brand_new": {"a": 1}},
        extra_headers={"anthropic-beta": "brand-new-2026-11-01"},
    )

    [(path, body)] = upstream.requests
    assert path == "/v1/messages"
    assert body["brand_new"] == {"a": 1}


def test_tokens_are_counted_and_models_listed(client: anthropic.Anthropic) -> None:
    counted = client.messages.count_tokens(model=CLAUDE, messages=ask("four bytes a token, about"))

    assert 3 <= counted.input_tokens <= 12
    assert {listed.id for listed in client.models.list()} == {CHAT, CLAUDE, GPT}


def test_errors_are_of_the_clients_own_classes(client: anthropic.Anthropic, gateway: str) -> None:
    with pytest.raises(anthropic.NotFoundError, match="does not exist"):
        client.messages.create(model="nobody", max_tokens=10, messages=ask("hi"))
    with pytest.raises(anthropic.APIStatusError) as unfit:
        client.messages.create(model=CLAUDE, max_tokens=10, messages=[])
    stranger = anthropic.Anthropic(base_url=gateway, api_key="sk-wrong", max_retries=0)
    with stranger, pytest.raises(anthropic.AuthenticationError):
        stranger.messages.create(model=CLAUDE, max_tokens=10, messages=ask("hi"))

    assert unfit.value.status_code in (400, 422)
    assert unfit.value.request_id
