"""
One client for two backends, Anthropic and vLLM: `UnifiedLLMClient` and the classes around it.

    from serve_app.clients.unified import llm_client

    text = await llm_client.chat_completion([{"role": "user", "content": "Hello!"}], model_tier="haiku")
"""

from serve_app.clients.unified.agent import BaseAgent
from serve_app.clients.unified.backend_manager import BackendManager, backend_manager
from serve_app.clients.unified.client import UnifiedLLMClient, llm_client
from serve_app.control.backend import Backend as LLMBackend

__all__ = [
    "BackendManager",
    "BaseAgent",
    "LLMBackend",
    "UnifiedLLMClient",
    "backend_manager",
    "llm_client",
]
