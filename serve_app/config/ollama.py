"""Ask an Ollama which models it has."""

import http.client
import json
import urllib.error
import urllib.request
from collections.abc import Sequence

PATIENCE_S = 1.0


def ollama_models(base_url: str, patience_s: float = PATIENCE_S) -> Sequence[str] | None:
    """
    The names of its models, the one used last first; None when no Ollama answers at that address.

    Blocks for about `patience_s` at most: it runs once, before anything is served.
    """
    url = f"{base_url.rstrip('/').removesuffix('/v1')}/api/tags"
    if not url.startswith(("http://", "https://")):
        return None
    try:
        with urllib.request.urlopen(url, timeout=patience_s) as answer:  # noqa: S310 (checked above)
            models = json.load(answer)["models"]
            return tuple(str(model["name"]) for model in models)
    except (OSError, ValueError, LookupError, TypeError, http.client.HTTPException):
        return None  # silent, or no Ollama
