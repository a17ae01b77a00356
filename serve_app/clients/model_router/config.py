"""The configuration of one provider of the model router, in Python or from its environment variables."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from serve_app.errors import ConfigError
from serve_app.providers.catalogue.rows import OLLAMA, vendor

N = TypeVar("N", int, float)


@dataclass(frozen=True, slots=True)
class LLMProviderConfig:
    """
    The configuration of a provider.

    Attributes:
        provider_name: the router's name for it.
        api_key: None: the vendor's usual environment variable.
        model_name, embedding_model: None: the type's default; a type without a default embedding model has no
            embeddings.
        timeout: in seconds; None: 30, and 60 for Ollama.
        retry_attempts: the most retries after a failed attempt.
    """

    provider_name: str
    api_key: str | None = field(default=None, repr=False)
    api_base: str | None = None
    model_name: str | None = None
    max_tokens: int = 2000
    temperature: float = 0.7
    timeout: float | None = None
    retry_attempts: int = 3
    embedding_model: str | None = None


@dataclass(frozen=True, slots=True)
class Usual:
    """The defaults of a type of provider; `context_window` is in tokens."""

    model: str
    context_window: int
    embedding_model: str | None = None
    timeout_s: float = 30.0


USUAL = {
    "openai": Usual("gpt-3.5-turbo", 16_385, "text-embedding-3-small"),
    "anthropic": Usual("claude-2", 100_000),
    "gemini": Usual("gemini-2.0-flash", 1_000_000, "gemini-embedding-001"),
    "ollama": Usual("llama2", 4096, "nomic-embed-text", timeout_s=60.0),
}

_ADDRESS = {OLLAMA.type: OLLAMA.address_variable}  # other types have `…_API_BASE`


def config_from(environ: Mapping[str, str], type_: str) -> LLMProviderConfig | None:
    """
    Return the provider in the environment: `OPENAI_API_KEY`, `OPENAI_MODEL`, `OPENAI_MAX_TOKENS`, ….

    Returns:
        None: there is no key; or, for a type that needs none, no address.

    Raises:
        ConfigError: a variable is not a number.
    """
    prefix = type_.upper()
    address = environ.get(_ADDRESS.get(type_, f"{prefix}_API_BASE"), "").strip() or None
    key_variable = vendor(type_).key_variable
    key = environ.get(key_variable or f"{prefix}_API_KEY", "").strip() or None
    if key is None and (key_variable is not None or address is None):
        return None

    def number(name: str, read: Callable[[str], N], default: N) -> N:
        text = environ.get(f"{prefix}_{name}", "").strip()
        try:
            return read(text) if text else default
        except ValueError:
            raise ConfigError(f"{prefix}_{name} must be a number, not '{text}'") from None

    usual = USUAL.get(type_)
    return LLMProviderConfig(
        provider_name=type_,
        api_key=key,
        api_base=address,
        model_name=environ.get(f"{prefix}_MODEL", "").strip() or None,
        max_tokens=number("MAX_TOKENS", int, 2000),
        temperature=number("TEMPERATURE", float, 0.7),
        timeout=number("TIMEOUT", float, usual.timeout_s if usual else 30.0),
        retry_attempts=number("RETRY_ATTEMPTS", int, 3),
        embedding_model=environ.get(f"{prefix}_EMBEDDING_MODEL", "").strip() or None,
    )
