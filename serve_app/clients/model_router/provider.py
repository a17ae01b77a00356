"""The base class of the model router's providers; users subclass it for their own."""

from abc import ABC, abstractmethod
from typing import Any

from serve_app.clients.model_router.config import LLMProviderConfig
from serve_app.clients.model_router.messages import Conversation, EmbeddingResponse, LLMResponse
from serve_app.pricing.price import FREE, Price
from serve_app.pricing.price_list import classic_catalogue
from serve_app.providers.catalogue.rows import vendor


class LLMProvider(ABC):
    """One provider; failures are raised, and the router goes on to the next."""

    def __init__(self, config: LLMProviderConfig) -> None:
        self.config = config

    @property
    def provider_type(self) -> str:
        """Whose words it speaks: by it the router guesses what nobody has measured."""
        return self.config.provider_name

    @property
    def price(self) -> Price | None:
        """What its tokens cost; None where nobody knows."""
        if vendor(self.provider_type).is_own:
            return FREE
        return classic_catalogue().price(self.config.model_name, self.provider_type)

    @abstractmethod
    async def is_available(self) -> bool:
        """Whether it makes sense to ask it just now."""

    @abstractmethod
    async def complete(self, prompt: str, **fields: Any) -> LLMResponse:
        """The answer to one message of the user's."""

    @abstractmethod
    async def chat(self, messages: Conversation, **fields: Any) -> LLMResponse:
        """The answer to a conversation; `fields` go into the request as they are."""

    @abstractmethod
    async def embed(self, text: str, **fields: Any) -> EmbeddingResponse:
        """The vector of one text."""

    @abstractmethod
    def get_capabilities(self) -> dict[str, Any]:
        """At least `models`, `supports_chat` and `supports_embeddings`."""

    async def aclose(self) -> None:
        """Let go of what was opened; nothing, unless a subclass says otherwise."""
        return
