"""
`ModelRouter`: a router over providers that are configured in Python.

    from serve_app.clients.model_router import LLMMessage, create_default_router

    router = await create_default_router()
    answer = await router.chat([LLMMessage(role="user", content="Tell me a joke")])
    print(answer.text)
"""

from serve_app.clients.model_router.config import LLMProviderConfig
from serve_app.clients.model_router.factory import (
    create_balanced_router,
    create_cheapest_router,
    create_custom_router,
    create_default_router,
    create_fastest_router,
    create_quality_router,
    get_router_instance,
    reset_router_instance,
)
from serve_app.clients.model_router.gateway_provider import GatewayProvider
from serve_app.clients.model_router.messages import EmbeddingResponse, LLMMessage, LLMResponse
from serve_app.clients.model_router.openai_provider import OpenAIProvider
from serve_app.clients.model_router.provider import LLMProvider
from serve_app.clients.model_router.router import ModelRouter
from serve_app.clients.model_router.running_provider import RunningGatewayProvider
from serve_app.config.routing import StrategyName as RouterStrategy

__all__ = [
    "EmbeddingResponse",
    "GatewayProvider",
    "LLMMessage",
    "LLMProvider",
    "LLMProviderConfig",
    "LLMResponse",
    "ModelRouter",
    "OpenAIProvider",
    "RouterStrategy",
    "RunningGatewayProvider",
    "create_balanced_router",
    "create_cheapest_router",
    "create_custom_router",
    "create_default_router",
    "create_fastest_router",
    "create_quality_router",
    "get_router_instance",
    "reset_router_instance",
]
