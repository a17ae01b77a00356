"""A request for vectors, whatever format it came in."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from serve_app.formats.routing_fields import NO_WISHES, Wishes
from serve_app.pricing.prompt import Prompt


@dataclass(frozen=True, slots=True)
class EmbeddingRequest:
    """An embeddings request: the caller's bytes, and what routing needs to know of them, as of a chat."""

    raw: bytes
    model: str | None
    input_tokens: int
    prompt: Prompt | None = None
    preferred_model: str | None = None
    max_cost: int | None = None
    links: frozenset[str] = frozenset()
    wishes: Wishes = NO_WISHES
    parameters: Mapping[str, Any] = field(default_factory=dict)
