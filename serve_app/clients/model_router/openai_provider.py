"""`OpenAIProvider`: a provider of the model router for OpenAI's API."""

from typing import Any

from serve_app.clients.model_router.config import LLMProviderConfig
from serve_app.clients.model_router.gateway_provider import GatewayProvider


class OpenAIProvider(GatewayProvider):
    """OpenAI, or a compatible server at `api_base`."""

    def __init__(self, config: LLMProviderConfig, **parts: Any) -> None:
        super().__init__(config, "openai", **parts)
