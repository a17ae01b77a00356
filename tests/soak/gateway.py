"""The gateway that is soaked: `sekha serve`, two routers, four providers that can fail one another's way."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.bench.processes import WORK
from tests.bench.subjects import Kind, write_config

FIRST, SECOND, WITHIN, CLAUDE, VECTORS = (
    "first-chat",
    "second-chat",
    "within-chat",
    "claude-sonnet-4-5",
    "vectors",
)
WAYS = {"handle": FIRST, "inline": WITHIN, "litellm": CLAUDE}  # of a call from a router to its provider

ALONE = {"autoscaling": {"min_replicas": 1, "max_replicas": 1}}
TWICE = {"autoscaling": {"min_replicas": 2, "max_replicas": 2}}
SOON = {"timeout": 3, "first_token_timeout_s": 3, "stream_idle_timeout_s": 3}  # so that a fault is over soon


def _provider(
    name: str, upstream: str, priority: int, *models: dict[str, Any], **more: Any
) -> dict[str, Any]:
    return {
        "id": name,
        "type": "openai",
        "base_url": f"{upstream}/v1",
        "api_key": "soak",
        "priority": priority,
        "models": list(models),
        "retry": {"max_retries": 1, "first_delay_s": 0.2},
        **SOON,
        **ALONE,
        **more,
    }


def _chat(name: str) -> dict[str, Any]:
    return {
        "model_id": name,
        "task": "chat_smart",
        "context_window": 2_000_000,
        "supports_vision": True,
        "supports_function_calling": True,
        "cost_per_1k_input": 0.001,
        "cost_per_1k_output": 0.002,
    }


def config(first: str, second: str) -> dict[str, Any]:
    """The first provider is the one that goes down; all others are at the second upstream."""
    vectors = {"model_id": VECTORS, "task": "embedding", "cost_per_1k_input": 0.001}
    return {
        "host": "127.0.0.1",
        "storage": {"folder": str(WORK / "state" / "soak")},
        "log_level": "ERROR",
        "llm_providers": [
            _provider("first", first, 1, _chat(FIRST), vectors),
            _provider("second", second, 2, _chat(SECOND), vectors),
            _provider("within", second, 3, _chat(WITHIN), transport="inline"),
            _provider("claude", second, 4, _chat(CLAUDE), type="anthropic", base_url=second),
        ],
        "default_models": {"chat_fast": FIRST, "chat_smart": FIRST, "embedding": VECTORS},
        "circuit_breaker": {"reset_timeout": 5},
        "budgets": [{"limit": 1e6, "window": "day"}],
        "rates": {"requests_per_minute": 10**6, "concurrent_requests": 10**4},
        "router": TWICE,
    }


def kind(second: str) -> Kind:
    """What `tests.bench.subjects.started` starts, given the first upstream."""
    sekha = Path(sys.executable).with_name("sekha")

    def command(first: str, port: int) -> Sequence[str]:
        file = write_config("soak.yaml", config(first, second))
        return [str(sekha), "serve", "--config", str(file), "--port", str(port)]

    return Kind("soak", {"soak": FIRST}, "/health", command, {})
