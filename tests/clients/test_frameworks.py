"""LangChain and LlamaIndex, as their documentation sets them up."""

import pytest
from langchain_anthropic import ChatAnthropic
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import HumanMessage
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI
from llama_index.llms.openai_like import OpenAILike
from pydantic import BaseModel, SecretStr

from tests.clients.conftest import CHAT, CLAUDE, GPT, KEY

EVERY_MODEL = pytest.mark.parametrize("name", [CLAUDE, CHAT, GPT])
EVERY_CLASS = pytest.mark.parametrize("kind", ["anthropic", "chat completions", "responses"])


class Place(BaseModel):
    """A place."""

    city: str


@tool
def weather(city: str) -> str:
    """Tell the weather in a city."""
    return f"sunny in {city}"


def chat_model(gateway: str, kind: str, name: str) -> BaseChatModel:
    if kind == "anthropic":
        return ChatAnthropic(
            model_name=name, base_url=gateway, api_key=SecretStr(KEY), max_retries=0, timeout=30, stop=None
        )
    return ChatOpenAI(
        model=name,
        base_url=f"{gateway}/v1",
        api_key=SecretStr(KEY),
        max_retries=0,
        use_responses_api=kind == "responses",
    )


@EVERY_CLASS
@EVERY_MODEL
def test_langchain_answers_and_streams(gateway: str, kind: str, name: str) -> None:
    chat = chat_model(gateway, kind, name)

    assert chat.invoke("hi").text == f"Hello from {name}"
    assert "".join(chunk.text for chunk in chat.stream("hi")) == f"Hello from {name}"


@EVERY_CLASS
@EVERY_MODEL
def test_langchain_calls_tools(gateway: str, kind: str, name: str) -> None:
    chat = chat_model(gateway, kind, name).bind_tools([weather])
    asked = HumanMessage("weather?")

    called = chat.invoke([asked])
    [call] = called.tool_calls
    answer = chat.invoke([asked, called, weather.invoke(call)])

    assert (call["name"], call["args"]) == ("weather", {"city": "Paris"})
    assert answer.text == "It says: sunny in Paris"


@EVERY_MODEL
def test_langchain_reads_structured_answers(gateway: str, name: str) -> None:
    chat = chat_model(gateway, "responses", name).with_structured_output(Place)

    assert chat.invoke("where?") == Place(city="Paris")


@EVERY_MODEL
def test_llama_index_chats(gateway: str, name: str) -> None:
    model = OpenAILike(model=name, api_base=f"{gateway}/v1", api_key=KEY, is_chat_model=True, max_retries=0)

    assert model.complete("hi").text == f"Hello from {name}"
    assert "".join(piece.delta or "" for piece in model.stream_complete("hi")) == f"Hello from {name}"
