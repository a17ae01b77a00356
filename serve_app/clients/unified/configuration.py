"""The configuration of the unified client's embedded gateway, from environment variables."""

import math
from collections.abc import Mapping
from typing import Any

from serve_app.config.model import ModelTask
from serve_app.config.settings import Settings
from serve_app.control.backend import OFFERED, Backend, Backends
from serve_app.errors import ConfigError
from serve_app.pricing.money import dollars, nano_dollars
from serve_app.providers.catalogue.rows import VLLM

TIMEOUT_S = 60.0  # of one call

_TASKS = {
    "haiku": ModelTask.CHAT_SMALL,
    "sonnet": ModelTask.CHAT_SMART,
    "opus": ModelTask.CHAT_LARGE,
    "qwen": ModelTask.CHAT_SMART,
}
_CONTEXT = {Backend.ANTHROPIC: 200_000, Backend.VLLM: 32_768}


def settings_of(backend: Backend, backends: Backends, environ: Mapping[str, str]) -> Settings:
    """
    Return the settings of a gateway with this backend only, so that the other one never answers.

    Retries are the gateway's defaults: three, after one, two and four seconds. The budget covers tokens only;
    the gateway cannot refuse the hours of vLLM.
    """
    if backend is Backend.ANTHROPIC:
        vendor: dict[str, Any] = {
            "type": "anthropic",
            "base_url": environ.get("ANTHROPIC_BASE_URL") or None,
            "api_key": "${ANTHROPIC_API_KEY}",
        }
    else:
        vendor = {"type": "vllm", "base_url": backends.api_base, "api_key": "${VLLM_API_KEY}"}
    provider = {
        "id": backend.value,
        "transport": "inline",
        "timeout": TIMEOUT_S,
        "first_token_timeout_s": TIMEOUT_S,
        "models": [
            {"model_id": tier.model_id, "task": _TASKS[tier.name], "context_window": _CONTEXT[backend]}
            for tier in OFFERED[backend]
        ],
        **vendor,
    }
    return Settings.model_validate(
        {
            "llm_providers": [provider],
            "default_models": {},
            "budgets": {"limit": dollars(max(1, budget_in(environ))), "window": "total"},
            # Health is checked on demand, and the result should be current.
            "health": {"interval_s": 1},
        }
    )


def budget_in(environ: Mapping[str, str]) -> int:
    """Return BUDGET_LIMIT in nano-dollars; raise ConfigError if it is not an amount."""
    return _amount_in(environ, "BUDGET_LIMIT", "100.0")


def hourly_rate_in(environ: Mapping[str, str]) -> int:
    """Return VLLM_HOURLY_RATE in nano-dollars; raise ConfigError if it is not an amount."""
    return _amount_in(environ, VLLM.rate_variable, "0.16")


def _amount_in(environ: Mapping[str, str], name: str, default: str) -> int:
    text = environ.get(name, "").strip() or default
    try:
        is_amount = math.isfinite(float(text)) and float(text) >= 0
    except ValueError:
        is_amount = False
    if not is_amount:
        raise ConfigError(f"{name} must be an amount of US dollars, not '{text}'")
    return nano_dollars(text)
