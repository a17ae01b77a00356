"""The base class of agents that use the unified client."""

from typing import Any

from serve_app.clients.unified.client import UnifiedLLMClient, llm_client


class BaseAgent:
    """
    An agent that calls a model.

    `model_tier` and `llm_client` are class attributes, so that a subclass with an `__init__` need not call
    this one's.
    """

    model_tier = "haiku"
    llm_client: UnifiedLLMClient = llm_client

    async def call_llm(self, system_prompt: str, user_message: str, **fields: Any) -> str:
        """Return the current backend's answer; `fields` are those of `chat_completion`."""
        messages = [
            {"role": "system", "content": system_prompt},
            {"role": "user", "content": user_message},
        ]
        return await self.llm_client.chat_completion(messages, **{"model_tier": self.model_tier, **fields})
