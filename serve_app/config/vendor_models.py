"""
The models that a vendor's key alone brings, one dated row for each vendor.

The day is when somebody last compared the row with the vendor's list and with the bundled price list; a test
compares it with the latter each time. Claude has three classes, so that the tiers `haiku`, `sonnet` and
`opus` each reach their own.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any


@dataclass(frozen=True, slots=True)
class VendorModels:
    """A provider that appears as soon as `variable` holds a key."""

    variable: str
    chosen_on: date
    provider: Mapping[str, Any]


def _chat(model_id: str, task: str, window: int) -> dict[str, Any]:
    return {
        "model_id": model_id,
        "task": task,
        "context_window": window,
        "supports_vision": True,
        "supports_function_calling": True,
    }


VENDOR_MODELS = (
    VendorModels(
        "OPENAI_API_KEY",
        date(2026, 11, 30),
        {
            "id": "openai_cloud",
            "type": "openai",
            "models": [
                _chat("gpt-5.4", "chat_smart", 1_050_000),
                _chat("gpt-5.4-mini", "chat_small", 272_000),
                {
                    "model_id": "text-embedding-3-small",
                    "task": "embedding",
                    "context_window": 8191,
                    "dimension": 1536,
                },
            ],
        },
    ),
    VendorModels(
        "ANTHROPIC_API_KEY",
        date(2026, 11, 30),
        {
            "id": "anthropic_direct",
            "type": "anthropic",
            "models": [
                _chat("claude-sonnet-4-6", "chat_smart", 1_000_000),
                _chat("claude-haiku-4-5", "chat_small", 200_000),
                _chat("claude-opus-4-6", "chat_large", 1_000_000),
            ],
        },
    ),
    VendorModels(
        "OPENROUTER_API_KEY",
        date(2026, 11, 30),
        {
            "id": "openrouter",
            "type": "openrouter",
            "models": [
                _chat("openai/gpt-5.4", "chat_smart", 1_050_000),
                _chat("openai/gpt-5.4-mini", "chat_small", 272_000),
            ],
        },
    ),
)

# What a vLLM that does not answer yet is expected to serve: the model that the tier `qwen` stands for.
VLLM_MODEL = "Qwen/Qwen2.5-7B-Instruct"
VLLM_WINDOW = 32_768
