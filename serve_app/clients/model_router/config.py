"""The configuration of one provider of the model router, by hand or from its environment variables."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from serve_app.errors import ConfigError
from serve_app.providers.catalogue.rows import OLLAMA, vendor

N = TypeVar("N", int, float)


@dataclass(frozen=True, slots=True)
class LLMProviderConfig:
    """
    Who to call, and how.

    `provider_name` is what the router calls it by. `model_name` None is the usual one of the type, and so is
    `embedding_model`; a type without a usual one makes no vectors. Without an `api_key` the vendor's usual
    variable is looked up. `timeout` is in seconds, None: 30, and 60 for Ollama. `retry_attempts` follow a
    failed first one at most.
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
    """What a type of provider is called with unless told otherwise; `context_window` in tokens."""

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

_ADDRESS = {OLLAMA.type: OLLAMA.address_variable}  # where the others say `…_API_BASE`


def config_from(environ: Mapping[str, str], type_: str) -> LLMProviderConfig | None:
    """
    The provider that the environment describes: `OPENAI_API_KEY`, `OPENAI_MODEL`, `OPENAI_MAX_TOKENS`, ….

    None where there is no key; of one that needs none, where there is no address. ConfigError names a
    variable that is no number.
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
