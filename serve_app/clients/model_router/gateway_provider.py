"""`GatewayProvider`: a provider of the gateway, with its retries, breaker and ledger, for a model router."""

import os
import re
from collections.abc import Mapping
from dataclasses import replace
from random import Random
from typing import Any

from serve_app.clients.embedded import EmbeddedGateway
from serve_app.clients.model_router.config import USUAL, LLMProviderConfig, Usual
from serve_app.clients.model_router.messages import (
    Conversation,
    EmbeddingResponse,
    LLMMessage,
    LLMResponse,
    answer_of,
    as_openai_messages,
    vector_of,
)
from serve_app.clients.model_router.provider import LLMProvider
from serve_app.clock import Clock, SystemClock
from serve_app.config.settings import Settings
from serve_app.errors import ConfigError
from serve_app.providers.base import HealthStatus

LOOK_EVERY_S = 10.0  # at most: health is checked on demand


class GatewayProvider(LLMProvider):
    """
    An embedded gateway with this one provider.

    `type_` is a row of `providers/catalogue/rows.py` or any prefix that LiteLLM knows; None: the provider's
    name.
    """

    def __init__(
        self,
        config: LLMProviderConfig,
        type_: str | None = None,
        *,
        environ: Mapping[str, str] = os.environ,
        clock: Clock | None = None,
        rng: Random | None = None,
    ) -> None:
        self._type = (type_ or config.provider_name).lower()
        self._usual = USUAL.get(self._type)
        super().__init__(_with_model(config, self._usual))
        self.settings = _settings_of(self.config, self._type, self._usual)
        (self._provider,) = self.settings.llm_providers
        self._gateway = EmbeddedGateway(self.settings, environ, clock or SystemClock(), rng or Random())

    @property
    def provider_type(self) -> str:
        return self._type

    async def is_available(self) -> bool:
        """Return whether the upstream answers and accepts the key; True if a check would cost a token."""
        health = (await self._gateway.health())[self._provider.id]
        return health.status is not HealthStatus.UNHEALTHY

    async def complete(self, prompt: str, **fields: Any) -> LLMResponse:
        return await self.chat([LLMMessage("user", prompt)], **fields)

    async def chat(self, messages: Conversation, **fields: Any) -> LLMResponse:
        model = str(self.config.model_name)
        usual = {"temperature": self.config.temperature, "max_tokens": self.config.max_tokens}
        body = {"model": model, **usual, **fields, "messages": as_openai_messages(messages)}
        return answer_of(await self._gateway.chat(**body), self.config.provider_name, model)

    async def embed(self, text: str, **fields: Any) -> EmbeddingResponse:
        model = self.config.embedding_model
        if model is None:
            raise ConfigError(f"provider '{self.config.provider_name}' has no embedding_model")
        body = {"model": model, **fields, "input": text}
        return vector_of(await self._gateway.embed(**body), self.config.provider_name, model)

    def get_capabilities(self) -> dict[str, Any]:
        return {
            "models": [model.model_id for model in self._provider.models],
            "model_limits": {model.model_id: model.context_window for model in self._provider.models},
            "max_tokens": self.config.max_tokens,
            "supports_chat": True,
            "supports_embeddings": self.config.embedding_model is not None,
        }

    async def aclose(self) -> None:
        await self._gateway.aclose()


def _with_model(config: LLMProviderConfig, usual: Usual | None) -> LLMProviderConfig:
    """Return the configuration with every model named; raise ConfigError if there is no default."""
    if config.model_name is None and usual is None:
        raise ConfigError(f"provider '{config.provider_name}' needs a model_name")
    return replace(
        config,
        model_name=config.model_name or (usual.model if usual else None),
        embedding_model=config.embedding_model or (usual.embedding_model if usual else None),
    )


def _settings_of(config: LLMProviderConfig, type_: str, usual: Usual | None) -> Settings:
    timeout_s = config.timeout or (usual.timeout_s if usual else 30.0)
    window = {"context_window": usual.context_window} if usual else {}
    models = [{"model_id": config.model_name, "task": "chat_smart", **window}]
    if config.embedding_model is not None:
        models.append({"model_id": config.embedding_model, "task": "embedding"})
    provider = {
        "id": re.sub(r"[^a-z0-9_-]", "_", config.provider_name.lower()),
        "type": type_,
        "base_url": config.api_base,
        "api_key": config.api_key,
        "timeout": timeout_s,
        "first_token_timeout_s": timeout_s,
        "retry": {"max_retries": config.retry_attempts},
        "transport": "inline",
        "models": models,
    }
    health = {"interval_s": LOOK_EVERY_S}
    return Settings.model_validate({"llm_providers": [provider], "default_models": {}, "health": health})
