"""LangChain's own standard tests of a chat model, for both vendors' classes behind the gateway."""

from typing import Any

import pytest
from langchain_anthropic import ChatAnthropic
from langchain_core.language_models import BaseChatModel
from langchain_openai import ChatOpenAI
from langchain_tests.integration_tests import ChatModelIntegrationTests

from tests.clients.conftest import CHAT, CLAUDE, GPT, KEY


class Standard(ChatModelIntegrationTests):
    """What both have in common."""

    name = ""
    address = ""

    @pytest.fixture(autouse=True)
    def _reached(self, gateway: str) -> None:
        type(self).address = gateway


class TestAnthropicsClass(Standard):
    name = CLAUDE

    @property
    def chat_model_class(self) -> type[BaseChatModel]:
        return ChatAnthropic

    @property
    def chat_model_params(self) -> dict[str, Any]:
        return {"model": self.name, "base_url": self.address, "api_key": KEY, "max_retries": 0}


class TestOpenAIsClass(Standard):
    name = GPT

    @property
    def chat_model_class(self) -> type[BaseChatModel]:
        return ChatOpenAI

    @property
    def chat_model_params(self) -> dict[str, Any]:
        return {
            "model": self.name,
            "base_url": f"{self.address}/v1",
            "api_key": KEY,
            "max_retries": 0,
            "use_responses_api": True,
        }


class TestAnthropicsClassByTranslation(TestAnthropicsClass):
    name = CHAT


class TestOpenAIsClassByTranslation(TestOpenAIsClass):
    name = CLAUDE
