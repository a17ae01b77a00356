"""
Providers for someone who has configured nothing: what the machine and the environment already offer.

Pure: asking an Ollama is handed in. Keys stay references, as in any configuration.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from serve_app.config import legacy
from serve_app.config.default_models import default_models

OllamaModels = Callable[[str], Sequence[str] | None]
"""Asks the Ollama at this address for its models; None: nobody answers."""

_EMBEDS = ("embed", "bge-", "minilm", "e5-", "gte-", "paraphrase")
_SEES = ("llava", "vision", "-vl", "vl:", "moondream", "minicpm-v", "gemma3", "mistral-small3")

_CLOUD: Mapping[str, Mapping[str, Any]] = {
    "OPENAI_API_KEY": {
        "id": "openai_cloud",
        "type": "openai",
        "models": [
            {
                "model_id": "gpt-4o",
                "task": "chat_smart",
                "context_window": 128_000,
                "supports_vision": True,
                "supports_function_calling": True,
            },
            {
                "model_id": "gpt-4o-mini",
                "task": "chat_small",
                "context_window": 128_000,
                "supports_function_calling": True,
            },
            {
                "model_id": "text-embedding-3-small",
                "task": "embedding",
                "context_window": 8191,
                "dimension": 1536,
            },
        ],
    },
    "ANTHROPIC_API_KEY": {
        "id": "anthropic_direct",
        "type": "anthropic",
        "models": [
            {
                "model_id": "claude-3-5-sonnet-20241022",
                "task": "chat_smart",
                "context_window": 200_000,
                "supports_vision": True,
                "supports_function_calling": True,
            },
            {
                "model_id": "claude-3-5-haiku-20241022",
                "task": "chat_small",
                "context_window": 200_000,
                "supports_function_calling": True,
            },
        ],
    },
    "OPENROUTER_API_KEY": {
        "id": "openrouter",
        "type": "openrouter",
        "models": [
            {"model_id": "deepseek/deepseek-chat", "task": "chat_smart", "context_window": 64_000},
            {"model_id": "openai/gpt-4o-mini", "task": "chat_small", "context_window": 128_000},
        ],
    },
}

_SIMULATOR: Mapping[str, Any] = {
    "id": "simulator",
    "type": "scripted",
    "models": [
        {"model_id": "sim-small", "task": "chat_small"},
        {
            "model_id": "sim-smart",
            "task": "chat_smart",
            "supports_vision": True,
            "supports_function_calling": True,
        },
        {"model_id": "sim-embed", "task": "embedding", "dimension": 64},
    ],
}


def discovered(
    environ: Mapping[str, str], ollama_models: OllamaModels
) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Raw settings with what was found, best first, and a sentence for each thing found or missed."""
    notes: list[str] = []
    providers = [*_ollama(environ, ollama_models, notes), *_clouds(environ, notes)]
    if not providers:
        providers = [dict(_SIMULATOR)]
        notes.append("nothing found: 'simulator' answers with made-up text, so that everything can be tried")
    ranked = [{**provider, "priority": rank} for rank, provider in enumerate(providers, start=1)]
    return {"llm_providers": ranked, "default_models": default_models(ranked)}, tuple(notes)


def _ollama(
    environ: Mapping[str, str], ollama_models: OllamaModels, notes: list[str]
) -> Iterator[dict[str, Any]]:
    named = environ.get("OLLAMA_BASE_URL", "").strip()
    url = named or legacy.DEFAULT_URL
    names = ollama_models(url)
    if names:
        notes.append(f"found Ollama at {url} with {', '.join(names)}")
        models = [model for name in names for model in _ollama_model(name)]
        yield {"id": "ollama_local", "type": "ollama", "base_url": url, "models": models}
    elif names is not None:
        notes.append(f"found Ollama at {url}, but it has no models: try `ollama pull {legacy.DEFAULT_CHAT}`")
    elif named:
        notes.append(
            f"OLLAMA_BASE_URL names an Ollama at {url} that does not answer: kept, with the usual models"
        )
        yield legacy.migrated(environ)[0]["llm_providers"][0]
    else:
        notes.append(f"no Ollama at {url}")


def _ollama_model(name: str) -> Iterator[dict[str, Any]]:
    """An Ollama model says nothing about its task, so its name has to."""
    lower = name.lower()
    if any(word in lower for word in _EMBEDS):
        known = legacy.DIMENSIONS.get(name.partition(":")[0])
        yield {"model_id": name, "task": "embedding", "dimension": known}
        return
    sees = {"supports_vision": True} if any(word in lower for word in _SEES) else {}
    yield {"model_id": name, "task": "chat_small", **sees}
    yield {"model_id": name, "task": "chat_smart", **sees}


def _clouds(environ: Mapping[str, str], notes: list[str]) -> Iterator[dict[str, Any]]:
    for variable, provider in _CLOUD.items():
        if environ.get(variable, "").strip():
            notes.append(f"found {variable}: using '{provider['id']}'")
            yield {**provider, "api_key": f"${{{variable}}}"}
        else:
            notes.append(f"no {variable}")
