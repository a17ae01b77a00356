"""
The conversion of version 1's environment variables into a configuration.

They describe one Ollama: its address, an embedding model and a chat model.
"""

from collections.abc import Mapping
from typing import Any

from serve_app.config.default_models import default_models
from serve_app.providers.catalogue.rows import OLLAMA

DEFAULT_EMBEDDING = "nomic-embed-text"
DEFAULT_CHAT = "llama3.1:8b"
DEFAULT_DIMENSION = 768

URLS = ("OLLAMA_URL", OLLAMA.address_variable, "SEKHA_OLLAMA_URL", "LLM_URL")
CHAT = ("CHAT_MODEL", "SUMMARIZATION_MODEL")
MODELS = ("EMBEDDING_MODEL", *CHAT, "EXTRACTION_MODEL")

DIMENSIONS: Mapping[str, int] = {
    "nomic-embed-text": 768,
    "mxbai-embed-large": 1024,
    "text-embedding-3-small": 1536,
    "text-embedding-ada-002": 1536,
    "text-embedding-3-large": 3072,
}


def is_meant(environ: Mapping[str, str], has_file: bool) -> bool:
    """
    Return whether the environment contains version 1 variables.

    `OLLAMA_BASE_URL` alone does not count if there is no file: that Ollama is asked for its models first.
    """
    spoken = {name for name in (*URLS, *MODELS) if _text(environ, name)}
    return bool(spoken) if has_file else bool(spoken - {OLLAMA.address_variable})


def migrated(environ: Mapping[str, str]) -> tuple[dict[str, Any], str]:
    """Return raw settings with the one provider `ollama_migrated`, and a note that says so."""
    url = next((value for name in URLS if (value := _text(environ, name))), OLLAMA.base_url)
    embedding = _text(environ, "EMBEDDING_MODEL") or DEFAULT_EMBEDDING
    chat = next((value for name in CHAT if (value := _text(environ, name))), DEFAULT_CHAT)
    models = [
        {
            "model_id": embedding,
            "task": "embedding",
            "context_window": 512,
            "dimension": dimension(embedding),
        },
        {"model_id": chat, "task": "chat_small", "context_window": 8192},
        {"model_id": chat, "task": "chat_smart", "context_window": 8192},
    ]
    extraction = _text(environ, "EXTRACTION_MODEL")
    if extraction and extraction != chat:
        models.append({"model_id": extraction, "task": "chat_small", "context_window": 8192})
    vision = _text(environ, "VISION_MODEL")
    if vision and vision.lower() != "none":
        models.append({"model_id": vision, "task": "vision", "supports_vision": True})
    provider = {
        "id": "ollama_migrated",
        "type": OLLAMA.type,
        "base_url": url,
        "priority": 1,
        "timeout": 120,
        "models": models,
    }
    used = ", ".join(name for name in (*URLS, *MODELS) if _text(environ, name))
    note = (
        f"no providers are configured: made 'ollama_migrated' at {url} from the version 1 variables {used}; "
        "write them into a configuration file (docs/configuration.md)"
    )
    return {"llm_providers": [provider], "default_models": default_models([provider])}, note


def dimension(model_id: str) -> int:
    """Return the length of an embedding model's vectors; 768 if unknown."""
    return DIMENSIONS.get(model_id.partition(":")[0], DEFAULT_DIMENSION)


def _text(environ: Mapping[str, str], name: str) -> str:
    return environ.get(name, "").strip()
