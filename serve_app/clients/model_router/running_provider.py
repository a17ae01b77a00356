"""A running gateway as one provider, which chooses among its own providers."""

from typing import Any

from serve_app.clients.discovery import running_gateway_client
from serve_app.clients.model_router.config import LLMProviderConfig
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
from serve_app.clients.protocol import GatewayPort
from serve_app.errors import GatewayUnavailable

RUNNING = "sekha"


class RunningGatewayProvider(LLMProvider):
    """
    The gateway that runs in the Ray cluster of this process as the Serve application `app_name`.

    `model_name` is any name that it accepts: a model, a task, a tier; None: its default.
    """

    def __init__(self, config: LLMProviderConfig | None = None, app_name: str = "sekha") -> None:
        super().__init__(config or LLMProviderConfig(RUNNING))
        self._app_name = app_name
        self._client: GatewayPort | None = None

    async def is_available(self) -> bool:
        self._client = self._client or await running_gateway_client(self._app_name)
        return self._client is not None

    async def complete(self, prompt: str, **fields: Any) -> LLMResponse:
        return await self.chat([LLMMessage("user", prompt)], **fields)

    async def chat(self, messages: Conversation, **fields: Any) -> LLMResponse:
        usual = {"temperature": self.config.temperature, "max_tokens": self.config.max_tokens}
        body = {"model": self.config.model_name, **usual, **fields, "messages": as_openai_messages(messages)}
        answer = await (await self._running()).chat(**body)
        return answer_of(answer, self.config.provider_name, body["model"] or "")

    async def embed(self, text: str, **fields: Any) -> EmbeddingResponse:
        body = {"model": self.config.embedding_model, **fields, "input": text}
        answer = await (await self._running()).embed(**body)
        return vector_of(answer, self.config.provider_name, body["model"] or "")

    def get_capabilities(self) -> dict[str, Any]:
        models = [model for model in (self.config.model_name, self.config.embedding_model) if model]
        return {
            "models": models,
            "model_limits": {},
            "max_tokens": self.config.max_tokens,
            "supports_chat": True,
            "supports_embeddings": True,
        }

    async def _running(self) -> GatewayPort:
        if not await self.is_available() or self._client is None:
            raise GatewayUnavailable(f"No gateway '{self._app_name}' runs in the Ray cluster of this process")
        return self._client
