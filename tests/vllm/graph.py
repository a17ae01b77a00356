"""Gateways that host a model, next to a scripted provider in the cloud."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from serve_app.config.load import load_settings
from tests.support.api import Api
from tests.support.serving import ONE_REPLICA, Cluster, inline

GPU = os.environ.get("SEKHA_TEST_GPU", "")
WINDOW = 2048  # tokens
STARTS_WITHIN_S = 240.0
ALWAYS_ONE = {"min_replicas": 1, "max_replicas": 1}


def hosted(weights: Path, *models: dict[str, Any], **more: Any) -> dict[str, Any]:
    """A provider that hosts the model; `local` adds to what is said of that."""
    device: dict[str, Any] = {"device": "cpu", "runtime_env": {"env_vars": {"VLLM_CPU_KVCACHE_SPACE": "1"}}}
    if GPU:
        device = {"device": "gpu"} if GPU == "1" else {"accelerator_type": GPU}
    local = {
        "source": str(weights),
        **device,
        "engine": {"max_model_len": WINDOW, "enforce_eager": True, **more.pop("engine", {})},
        **more.pop("local", {}),
    }
    return {
        "id": "home",
        "type": "vllm",
        "timeout": STARTS_WITHIN_S,
        "autoscaling": ALWAYS_ONE,
        "retry": {"max_retries": 0},
        "local": local,
        "models": [{"context_window": WINDOW, **model} for model in models],
        **more,
    }


def cloudy(url: str, **more: Any) -> dict[str, Any]:
    """A provider in the cloud, for small chats, when home cannot; its window is larger."""
    model = {"model_id": "cloud-small", "task": "chat_small", "context_window": 100_000}
    return inline("cloud", url, model, priority=2, **more)


@contextmanager
def deployed(cluster: Cluster, name: str, *providers: dict[str, Any], **more: Any) -> Iterator[Api]:
    """A gateway that is there until the context is left, and its engines with it."""
    from ray import serve

    config = {
        "llm_providers": list(providers),
        "default_models": {},
        "router": ONE_REPLICA,
        "routing": {"request_timeout": STARTS_WITHIN_S},
        "circuit_breaker": {"failure_threshold": 2, "reset_timeout": 2, "success_threshold": 1},
        **more,
    }
    api = cluster.gateway(load_settings(config, {}), name)
    api.http.timeout = STARTS_WITHIN_S
    try:
        yield api
    finally:
        serve.delete(name)


def at_home(api: Api) -> dict[str, Any]:
    """What the gateway says of the model that it hosts."""
    return dict(api.providers()["providers"]["home"]["local"])


def served_by(answer: Any) -> str:
    """The provider that a whole answer came from."""
    return str(answer.json()["sekha_metadata"]["routing"]["provider_id"])
