"""`POST /v1/embeddings`, as far as the gateway must understand it."""

from dataclasses import dataclass
from typing import Any

from serve_app.accounting.usage import estimate_tokens
from serve_app.schemas.body import InvalidField, cost_limit, parse_body, text


@dataclass(frozen=True, slots=True)
class EmbeddingRequest:
    """An embeddings request: the caller's bytes, and what routing needs to know of them."""

    raw: bytes
    model: str | None
    input_tokens: int
    preferred_model: str | None = None
    max_cost: int | None = None


def read_embedding(raw: bytes) -> EmbeddingRequest:
    """Parse and check; InvalidRequest (400) and InvalidField (422) say what is wrong."""
    body = parse_body(raw)
    if "input" not in body:
        raise InvalidField("input", "Field required", "missing")
    return EmbeddingRequest(
        raw=raw,
        model=text(body, "model"),
        input_tokens=_tokens(body["input"]),
        preferred_model=text(body, "preferred_model"),
        max_cost=cost_limit(body),
    )


def _tokens(value: Any) -> int:
    """A text, a list of texts, a list of tokens, or a list of those: OpenAI takes all four."""
    if isinstance(value, str):
        return estimate_tokens(len(value))
    if isinstance(value, list) and value:
        if all(isinstance(item, str) for item in value):
            return sum(estimate_tokens(len(item)) for item in value)
        if all(isinstance(item, int) and not isinstance(item, bool) for item in value):
            return len(value)
        if all(isinstance(item, list) and all(isinstance(t, int) for t in item) for item in value):
            return sum(len(item) for item in value)
    raise InvalidField("input", "Input should be a text, a list of texts, or lists of tokens", "input_type")
