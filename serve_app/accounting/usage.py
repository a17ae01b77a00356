"""What one answer used."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

CHARS_PER_TOKEN = 4  # contract 3.3


@dataclass(frozen=True, slots=True)
class Usage:
    """
    Tokens of one answer.

    `input_tokens` is everything read, cached tokens included; `cached_tokens` is how many of those came from
    the provider's cache. `estimated` is True when the provider did not say and we counted characters.
    """

    input_tokens: int = 0
    output_tokens: int = 0
    cached_tokens: int = 0
    estimated: bool = False

    @property
    def total_tokens(self) -> int:
        return self.input_tokens + self.output_tokens


def usage_of(reported: Mapping[str, Any] | None) -> Usage | None:
    """
    Read OpenAI's `usage` object (chat completions and embeddings).

    None when there is none, when it is not made of numbers (a provider's slip must not cost the answer), and
    when all of them are zero: no answer is made of nothing, but LiteLLM says so of one that told no usage.
    """
    if not reported:
        return None
    details = reported.get("prompt_tokens_details")
    cached = details.get("cached_tokens") if isinstance(details, Mapping) else 0
    try:
        usage = Usage(
            input_tokens=max(0, int(reported.get("prompt_tokens") or 0)),
            output_tokens=max(0, int(reported.get("completion_tokens") or 0)),
            cached_tokens=max(0, int(cached or 0)),
        )
    except (TypeError, ValueError):
        return None
    return usage if usage.total_tokens else None


def estimate_tokens(text_length: int) -> int:
    """Tokens in a text of so many characters, at four characters each (contract 3.3); never less than one."""
    return max(1, text_length // CHARS_PER_TOKEN)
