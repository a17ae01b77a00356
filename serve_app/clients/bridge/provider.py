"""The providers of the LLM bridge's Python interface, which return answers and raise failures."""

import asyncio
import os
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import aclosing
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import orjson

from serve_app.clients.bridge.circuit_breaker import SYSTEM_CLOCK
from serve_app.clients.bridge.messages import ChatMessage, ChatResponse, EmbeddingResponse, ModelInfo
from serve_app.clock import Clock
from serve_app.config.model import ModelConfig
from serve_app.config.provider import ProviderConfig
from serve_app.errors import UpstreamError
from serve_app.formats.exact_json import dumps
from serve_app.formats.openai_chat.chunks import chunks_in, text_in
from serve_app.formats.openai_chat.images import check_images
from serve_app.pricing.usage import Usage, estimate_tokens
from serve_app.providers.base import Answer, Call, Provider
from serve_app.providers.catalogue.rows import OLLAMA, vendor
from serve_app.providers.catalogue.wire_format import WireFormat
from serve_app.providers.factory import build_provider
from serve_app.providers.openai_compatible.failures import broken
from serve_app.providers.translating import speaking


class LlmProvider(ABC):
    """The interface of a provider. Failures are raised as ProviderError or one of its subclasses."""

    def __init__(self, provider_id: str, config: Mapping[str, Any]) -> None:
        self.provider_id = provider_id
        self.config = config

    @property
    @abstractmethod
    def provider_type(self) -> str:
        """Return the type of the provider: `ollama`, `openai`, `anthropic`, …"""

    @abstractmethod
    async def chat_completion(
        self,
        messages: Sequence[ChatMessage],
        model: str,
        temperature: float = 0.7,
        max_tokens: int | None = None,
        stream: bool = False,
    ) -> ChatResponse:
        """Return one complete answer; `stream` changes how it is requested, not how it is returned."""

    @abstractmethod
    def chat_completion_stream(
        self,
        messages: Sequence[ChatMessage],
        model: str,
        temperature: float = 0.7,
        max_tokens: int | None = None,
    ) -> AsyncIterator[str]:
        """Yield the answer's text in pieces."""

    @abstractmethod
    async def generate_embedding(self, text: str, model: str) -> EmbeddingResponse:
        """Return the embedding of one text."""

    @abstractmethod
    async def list_models(self) -> list[ModelInfo]:
        """Return the configured models."""

    @abstractmethod
    async def health_check(self) -> dict[str, Any]:
        """
        Check the provider's health; return `status`, `latency_ms`, `error`, `models_available`, `last_check`.
        """

    @abstractmethod
    def get_model_string(self, model: str) -> str:
        """Return the model's name for LiteLLM, such as `ollama/llama3.1:8b`."""


class LiteLlmProvider(LlmProvider):
    """
    Any provider that the gateway supports.

    `config` takes the settings of a provider in the configuration file; without a `provider_type` it is an
    Ollama. LiteLLM is used only for APIs that need translation. Connects at the first call.
    """

    def __init__(
        self,
        provider_id: str,
        config: Mapping[str, Any],
        *,
        environ: Mapping[str, str] = os.environ,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        super().__init__(provider_id, config)
        has_type = "type" in config or "provider_type" in config
        self.settings = ProviderConfig.model_validate(
            {**({} if has_type else {"type": OLLAMA.type}), **config, "id": provider_id}
        )
        self._environ = environ
        self._clock = clock
        self._built: Provider | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    @property
    def provider_type(self) -> str:
        return self.settings.type

    @property
    def _provider(self) -> Provider:
        """
        Return the provider of this event loop; connections belong to one, and `asyncio.run` makes new ones.
        """
        loop = asyncio.get_running_loop()
        if self._built is None or loop is not self._loop:
            built = build_provider(self.settings, self._environ, self._clock)
            chat, spoken = WireFormat.OPENAI_CHAT, self.settings.spoken_formats
            self._built = speaking(chat, built, self.provider_id, spoken, self._clock) or built
            self._loop = loop
        return self._built

    async def chat_completion(
        self,
        messages: Sequence[ChatMessage],
        model: str,
        temperature: float = 0.7,
        max_tokens: int | None = None,
        stream: bool = False,
    ) -> ChatResponse:
        call = self._chat_call(messages, model, temperature, max_tokens)
        answer = _answer(await self._provider.chat(call))
        choice = self._first(answer, "choices")
        content = choice["message"].get("content") or ""
        usage = answer.usage or _guess(len(call.body), len(content))
        return ChatResponse(
            content=content,
            model=model,
            provider_id=self.provider_id,
            finish_reason=choice.get("finish_reason"),
            usage={
                "prompt_tokens": usage.input_tokens,
                "completion_tokens": usage.output_tokens,
                "total_tokens": usage.total_tokens,
            },
            metadata=self._metadata(model),
        )

    async def chat_completion_stream(
        self,
        messages: Sequence[ChatMessage],
        model: str,
        temperature: float = 0.7,
        max_tokens: int | None = None,
    ) -> AsyncGenerator[str, None]:
        call = self._chat_call(messages, model, temperature, max_tokens)
        async with aclosing(self._provider.chat_stream(call)) as items:
            async for item in items:
                if isinstance(item, UpstreamError):
                    raise item
                if isinstance(item, bytes):
                    for chunk in chunks_in(item):
                        if text := text_in(chunk):
                            yield text

    async def generate_embedding(self, text: str, model: str) -> EmbeddingResponse:
        body = orjson.dumps({"input": text})
        answer = _answer(await self._provider.embed(self._call(model, body)))
        vector = self._first(answer, "data")["embedding"]
        usage = answer.usage or _guess(len(text), 0)
        return EmbeddingResponse(
            embedding=vector,
            model=model,
            provider_id=self.provider_id,
            dimension=len(vector),
            usage={"prompt_tokens": usage.input_tokens, "total_tokens": usage.total_tokens},
            metadata=self._metadata(model),
        )

    async def list_models(self) -> list[ModelInfo]:
        return [model_info(self.settings, model) for model in self.settings.models]

    async def health_check(self) -> dict[str, Any]:
        health = await self._provider.health()
        return {
            "status": health.status,
            "latency_ms": health.latency_ms,
            "error": health.error,
            "models_available": list(health.models_available),
            "last_check": datetime.fromtimestamp(health.last_check, UTC).isoformat(),
        }

    def get_model_string(self, model: str) -> str:
        return vendor(self.provider_type).model_string(model)

    async def aclose(self) -> None:
        """Close all connections."""
        if self._built is not None:
            await self._built.aclose()
            self._built = None

    def _chat_call(
        self, messages: Sequence[ChatMessage], model: str, temperature: float, max_tokens: int | None
    ) -> Call:
        spoken = [message.as_openai() for message in messages]
        check_images(spoken)
        fields: dict[str, Any] = {"messages": spoken, "temperature": temperature}
        if max_tokens is not None:
            fields["max_tokens"] = max_tokens
        return self._call(model, dumps(fields))

    def _call(self, model: str, body: bytes) -> Call:
        return Call(model, body, self.settings.timeout, uuid4().hex)

    def _first(self, answer: Answer, rows: str) -> dict[str, Any]:
        """Return the first choice or embedding; providers have validated that there is such a list."""
        found: list[dict[str, Any]] = orjson.loads(answer.body)[rows]
        if not found:
            raise broken(self.provider_id, f"sent an answer with no {rows}", 200)
        return found[0]

    def _metadata(self, model: str) -> dict[str, Any]:
        return {"litellm_model": self.get_model_string(model)}


def model_info(provider: ProviderConfig, model: ModelConfig) -> ModelInfo:
    """Return the description of a configured model."""
    return ModelInfo(
        model_id=model.model_id,
        provider_id=provider.id,
        display_name=model.model_id,
        context_window=model.context_window,
        supports_vision=model.supports_vision,
        supports_audio=model.supports_audio,
        supports_function_calling=model.supports_function_calling,
        dimension=model.dimension,
        metadata={"task": model.task.value, "provider_type": provider.type},
    )


def _answer(answer: Answer | UpstreamError) -> Answer:
    """Return the answer, or raise the failure: this interface raises what providers return."""
    if isinstance(answer, UpstreamError):
        raise answer
    return answer


def _guess(input_chars: int, output_chars: int) -> Usage:
    """Estimate the usage from lengths, where the provider did not report it."""
    return Usage(
        estimate_tokens(input_chars), estimate_tokens(output_chars) if output_chars else 0, estimated=True
    )
