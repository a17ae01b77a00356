"""Queries for the models of an Ollama or a vLLM server."""

import http.client
import json
import urllib.error
import urllib.request
from collections.abc import Sequence

PATIENCE_S = 1.0
LARGEST = 1024**2  # bytes of an answer


def ollama_models(base_url: str, patience_s: float = PATIENCE_S) -> Sequence[str] | None:
    """
    Return the names of an Ollama's models, the last used first; None: no Ollama answers at that address.

    Blocks for about `patience_s` at most: it runs once, before anything is served.
    """
    return _named(f"{_root(base_url)}/api/tags", "models", "name", patience_s)


def vllm_models(base_url: str, patience_s: float = PATIENCE_S) -> Sequence[str] | None:
    """
    Return the names of the models that a server of OpenAI's API serves; None: none answers at that address.
    """
    return _named(f"{_root(base_url)}/v1/models", "data", "id", patience_s)


def _root(base_url: str) -> str:
    return base_url.rstrip("/").removesuffix("/v1")


def _named(url: str, rows: str, name: str, patience_s: float) -> Sequence[str] | None:
    if not url.startswith(("http://", "https://")):
        return None
    try:
        with urllib.request.urlopen(url, timeout=patience_s) as answer:  # noqa: S310 (checked above)
            found = json.loads(answer.read(LARGEST))[rows]
            return tuple(str(model[name]) for model in found)
    except (OSError, ValueError, LookupError, TypeError, http.client.HTTPException):
        return None  # no answer, or another kind of server
