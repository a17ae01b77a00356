"""Whether the gateway marks prompts for a vendor's cache."""

from enum import StrEnum
from typing import Annotated, Any

from pydantic import BeforeValidator


class PromptCache(StrEnum):
    """
    The marks of what a vendor may cache.

    Attributes:
        OFF: only those that callers set.
        AUTO: also the gateway's own, on requests that have none.
    """

    OFF = "off"
    AUTO = "auto"


def _as_written(value: Any) -> Any:
    """Return `off` for what YAML makes of it without quotes."""
    return "off" if value is False else value


PromptCacheChoice = Annotated[PromptCache, BeforeValidator(_as_written)]
