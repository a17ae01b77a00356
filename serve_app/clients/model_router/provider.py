"""The base class of the model router's providers; users subclass it for their own."""

from abc import ABC, abstractmethod
from typing import Any

from serve_app.clients.model_router.config import LLMProviderConfig
from serve_app.clients.model_router.messages import Conversation, EmbeddingResponse, LLMResponse
from serve_app.pricing.price import FREE, Price
from serve_app.pricing.price_list import classic_catalogue
from serve_app.providers.catalogue.rows import vendor


class LLMProvider(ABC):
    """One provider; if it raises, the router tries the next one."""

    def __init__(self, config: LLMProviderConfig) -> None:
        self.config = config

    @property
    def provider_type(self) -> str:
        """Return the type of the provider, by which the router ranks it before it has measured latencies."""
        return self.config.provider_name

    @property
    def price(self) -> Price | None:
        """Return the price of its tokens; None: unknown."""
        if vendor(self.provider_type).is_own:
            return FREE
        return classic_catalogue().price(self.config.model_name, self.provider_type)

    @abstractmethod
    async def is_available(self) -> bool:
        """Return whether the provider can be called now."""

    @abstractmethod
    async def complete(self, prompt: str, **fields: Any) -> LLMResponse:
        """Return the answer to one message of the user."""

    @abstractmethod
    async def chat(self, messages: Conversation, **fields: Any) -> LLMResponse:
        """Return the answer to a conversation; `fields` are added to the request."""

    @abstractmethod
    async def embed(self, text: str, **fields: Any) -> EmbeddingResponse:
        """Return the embedding of one text."""

    @abstractmethod
    def get_capabilities(self) -> dict[str, Any]:
        """Return at least `models`, `supports_chat` and `supports_embeddings`."""

    async def aclose(self) -> None:
        """Close what was opened; does nothing unless a subclass overrides it."""
        return
