"""
The Python interface of version 1, for code written for the Sekha LLM bridge.

    from serve_app.clients.bridge import ChatMessage, ModelTask, registry

    chosen = await registry.route_with_fallback(task=ModelTask.CHAT_SMART, max_cost=0.10)
    answer = await registry.execute_with_circuit_breaker(
        provider_id=chosen.provider.provider_id,
        operation=chosen.provider.chat_completion,
        messages=[ChatMessage(role="user", content="Hello!")],
        model=chosen.model_id,
    )
"""

from serve_app.clients.bridge.circuit_breaker import CircuitBreaker, CircuitOpen, CircuitState
from serve_app.clients.bridge.messages import (
    CachedModelInfo,
    ChatMessage,
    ChatResponse,
    EmbeddingResponse,
    MessageRole,
    ModelInfo,
    RoutingResult,
)
from serve_app.clients.bridge.provider import LiteLlmProvider, LlmProvider
from serve_app.clients.bridge.registry import ModelRegistry, registry
from serve_app.config.model import ModelTask
from serve_app.errors import (
    ProviderAuthError,
    ProviderError,
    ProviderRateLimitError,
    ProviderTimeoutError,
)
from serve_app.pricing.estimate import (
    ModelPricing,
    compare_costs,
    estimate_cost,
    estimate_cost_from_text,
    find_cheapest_model,
    get_model_pricing,
)

__all__ = [
    "CachedModelInfo",
    "ChatMessage",
    "ChatResponse",
    "CircuitBreaker",
    "CircuitOpen",
    "CircuitState",
    "EmbeddingResponse",
    "LiteLlmProvider",
    "LlmProvider",
    "MessageRole",
    "ModelInfo",
    "ModelPricing",
    "ModelRegistry",
    "ModelTask",
    "ProviderAuthError",
    "ProviderError",
    "ProviderRateLimitError",
    "ProviderTimeoutError",
    "RoutingResult",
    "compare_costs",
    "estimate_cost",
    "estimate_cost_from_text",
    "find_cheapest_model",
    "get_model_pricing",
    "registry",
]
