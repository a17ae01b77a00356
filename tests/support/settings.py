"""Configurations that many tests use, and short ways to write others."""

from typing import Any

from serve_app.config.settings import Settings

LOCAL: dict[str, Any] = {
    "llm_providers": [
        {
            "id": "ollama_local",
            "type": "ollama",
            "base_url": "http://localhost:11434",
            "priority": 1,
            "models": [
                {
                    "model_id": "nomic-embed-text",
                    "task": "embedding",
                    "context_window": 512,
                    "dimension": 768,
                },
                {"model_id": "llama3.1:8b", "task": "chat_small", "context_window": 8192},
                {"model_id": "llama3.1:8b", "task": "chat_smart", "context_window": 8192},
            ],
        }
    ],
    "default_models": {
        "embedding": "nomic-embed-text",
        "chat_fast": "llama3.1:8b",
        "chat_smart": "llama3.1:8b",
    },
}

HYBRID: dict[str, Any] = {
    "llm_providers": [
        {
            "id": "ollama_local",
            "type": "ollama",
            "base_url": "http://localhost:11434",
            "priority": 1,
            "models": [
                {
                    "model_id": "nomic-embed-text",
                    "task": "embedding",
                    "context_window": 512,
                    "dimension": 768,
                },
                {"model_id": "llama3.1:8b", "task": "chat_small", "context_window": 8192},
            ],
        },
        {
            "id": "openai_cloud",
            "type": "openai",
            "base_url": "http://localhost:11435/v1",
            "api_key": "sk-test",
            "allowed_media_domains": ["*"],
            "priority": 2,
            "models": [
                {
                    "model_id": "gpt-4o",
                    "task": "chat_smart",
                    "context_window": 128000,
                    "supports_vision": True,
                },
                {"model_id": "gpt-4o-mini", "task": "chat_small", "context_window": 128000},
            ],
        },
    ],
    "default_models": {"embedding": "nomic-embed-text", "chat_fast": "llama3.1:8b", "chat_smart": "gpt-4o"},
}


def settings(data: dict[str, Any], **more: Any) -> Settings:
    """The configuration, with further top-level keys."""
    return Settings.model_validate({**data, **more})


def two_providers(provider: dict[str, Any] | None = None, **more: Any) -> Settings:
    """
    `first` and `second`, each with one chat model and one embedding model of its own.

    Nobody is asked twice, unless `provider`, which is added to both, says so.
    """
    providers = [
        {
            "id": name,
            "type": "scripted",
            "priority": place,
            "retry": {"max_retries": 0},
            "models": [
                {"model_id": f"{name}-chat", "task": "chat_smart"},
                {"model_id": f"{name}-embed", "task": "embedding"},
            ],
            **(provider or {}),
        }
        for place, name in enumerate(("first", "second"), start=1)
    ]
    defaults = {"embedding": "first-embed", "chat_fast": "first-chat", "chat_smart": "first-chat"}
    return settings({"llm_providers": providers, "default_models": defaults}, **more)
