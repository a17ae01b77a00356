"""OpenAI's own client for Python, by its Responses API."""

import json
from collections.abc import Iterator
from typing import Any

import openai
import pytest
from pydantic import BaseModel

from tests.clients.conftest import CHAT, CLAUDE, GPT, KEY
from tests.clients.scripted_model import ScriptedModel

WEATHER: Any = {
    "type": "function",
    "name": "weather",
    "description": "The weather in a city",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    "strict": False,
}
EVERY_MODEL = pytest.mark.parametrize("name", [GPT, CHAT, CLAUDE])


class Place(BaseModel):
    """What a structured answer holds."""

    city: str


@pytest.fixture
def client(gateway: str) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{gateway}/v1", api_key=KEY, max_retries=0) as client:
        yield client


@EVERY_MODEL
def test_a_response_is_given_by_any_model(client: openai.OpenAI, name: str) -> None:
    response = client.responses.create(model=name, input="hi", store=False)

    assert (response.output_text, response.status) == (f"Hello from {name}", "completed")
    assert response.usage is not None
    assert (response.usage.input_tokens, response.usage.output_tokens) == (20, 5)


@EVERY_MODEL
def test_a_stream_says_the_same(client: openai.OpenAI, name: str) -> None:
    with client.responses.stream(model=name, input="hi", store=False) as stream:
        text = "".join(event.delta for event in stream if event.type == "response.output_text.delta")
        response = stream.get_final_response()

    assert text == response.output_text == f"Hello from {name}"


@EVERY_MODEL
@pytest.mark.parametrize("streamed", [False, True])
def test_a_tool_is_called_and_its_result_read(client: openai.OpenAI, name: str, streamed: bool) -> None:
    def create(items: list[Any]) -> Any:
        given: Any = {"model": name, "input": items, "tools": [WEATHER], "store": False}
        if not streamed:
            return client.responses.create(**given)
        with client.responses.stream(**given) as stream:
            for _ in stream:
                pass
            return stream.get_final_response()

    asked = [{"role": "user", "content": "weather?"}]
    called = create(asked)
    [call] = [item for item in called.output if item.type == "function_call"]
    result = {"type": "function_call_output", "call_id": call.call_id, "output": "sunny"}
    answer = create([*asked, call.model_dump(exclude_none=True), result])

    assert (call.name, json.loads(call.arguments)) == ("weather", {"city": "Paris"})
    assert answer.output_text == "It says: sunny"


@EVERY_MODEL
def test_an_answer_is_parsed_into_a_class(client: openai.OpenAI, name: str) -> None:
    response = client.responses.parse(model=name, input="where?", text_format=Place, store=False)

    assert response.output_parsed == Place(city="Paris")


@EVERY_MODEL
@pytest.mark.parametrize("streamed", [False, True])
def test_a_conversation_goes_on_from_a_stored_response(
    client: openai.OpenAI, upstream: ScriptedModel, name: str, streamed: bool
) -> None:
    def create(text: str, previous: Any) -> Any:
        given: Any = {"model": name, "input": text, "previous_response_id": previous}
        if not streamed:
            return client.responses.create(**given)
        with client.responses.stream(**given) as stream:
            for _ in stream:
                pass
            return stream.get_final_response()

    first = create("hi", openai.omit)
    second = create("again", first.id)

    assert (second.previous_response_id, second.output_text) == (first.id, f"Hello from {name}")
    assert len(upstream.requests[-1][1].get("input") or upstream.requests[-1][1]["messages"]) == 3
    assert client.responses.retrieve(second.id).output_text == second.output_text
    listed: Any = list(client.responses.input_items.list(second.id, limit=1, order="asc"))
    assert [item.content[0].text for item in listed] == ["hi", f"Hello from {name}", "again"]
    client.responses.delete(first.id)
    with pytest.raises(openai.NotFoundError, match=first.id):
        create("again", second.id)


def test_the_upstream_is_asked_to_store_nothing(client: openai.OpenAI, upstream: ScriptedModel) -> None:
    client.responses.create(model=GPT, input="hi")

    [(path, body)] = upstream.requests
    assert (path, body["store"]) == ("/v1/responses", False)


def test_errors_are_of_the_clients_own_classes(client: openai.OpenAI) -> None:
    with pytest.raises(openai.NotFoundError, match="does not exist"):
        client.responses.create(model="nobody", input="hi")
    with pytest.raises(openai.BadRequestError, match="background"):
        client.responses.create(model=GPT, input="hi", background=True)
