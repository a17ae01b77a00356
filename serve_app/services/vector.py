"""Vectors of texts: what an embedding model is sent, and what comes back."""

import math
from collections.abc import Mapping
from typing import Any

from serve_app.services.material import check_text

_CHARS_PER_TOKEN = 4


def vector_fields(text: str) -> dict[str, Any]:
    """
    Return the body of an embeddings request, in OpenAI's format. Raises InvalidRequest for a long text.

    An empty text becomes a space: some servers refuse an empty one, and others return a vector of no length.
    """
    check_text(text, "text")
    return {"input": text or " "}


def vector_in(answer: Mapping[str, Any]) -> list[float] | None:
    """Return the vector of an answer with one; None: it has none, or one with something else in it."""
    rows = answer.get("data")
    first = rows[0] if isinstance(rows, list) and rows else None
    values = first.get("embedding") if isinstance(first, dict) else None
    if not isinstance(values, list) or not values:
        return None
    if not all(type(value) in (int, float) and math.isfinite(value) for value in values):
        return None
    return values


def tokens_used(text: str) -> int:
    """Return the estimate that callers of version 1 know: four characters a token."""
    return len(text) // _CHARS_PER_TOKEN
