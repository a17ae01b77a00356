"""
Draws the deployment graph: `serve run serve_app.app:build config=configs/demo.yaml`.

    HTTP ─┐                        ┌─ provider-ollama_local ─── upstream
          ├─ router (ingress) ─────┼─ provider-openai_cloud ─── upstream
    call ─┘      │                 └─ …
                 └ ─ ─ control actor (breakers, prices, counts; not on the way of a request)
"""

# No `from __future__ import annotations` here: Serve validates the builder's argument only when its
# annotation is a class, not a string.

import logging
import os
from collections.abc import Callable
from typing import Any

import ray
from pydantic import BaseModel, ConfigDict
from ray import serve
from ray._private.authentication.authentication_utils import is_token_auth_enabled
from ray.serve import Application

from serve_app.config.load import load_settings
from serve_app.config.local_model import LocalModelConfig
from serve_app.config.provider import ProviderConfig, Transport
from serve_app.config.settings import Settings
from serve_app.deployments.options import deployment_options
from serve_app.deployments.provider import ProviderDeployment
from serve_app.deployments.router import RouterDeployment
from serve_app.errors import ConfigError
from serve_app.providers.address_policy import EndpointPolicy

ROUTER = "router"

log = logging.getLogger("sekha.cluster")


class BuildArgs(BaseModel):
    """
    What the builder is told: a file to read, or the configuration itself.

    With neither, the usual places are looked at (see `docs/configuration.md`). A path is read where the
    builder runs: on a cluster, on one of its nodes.
    """

    model_config = ConfigDict(extra="forbid")

    config: str | dict[str, Any] | None = None


def build(args: BuildArgs) -> Application:
    """The application, ready for `serve run` and `serve deploy`; ConfigError when it makes no sense."""
    if ray.is_initialized() and not is_token_auth_enabled():
        log.warning(
            "this Ray cluster requires no token: whoever can reach its ports can run code on it, and read "
            "every provider's key. Start each node with RAY_AUTH_MODE=token (docs/security.md)."
        )
    return graph(load_settings(args.config, os.environ))


def graph(settings: Settings) -> Application:
    """One router in front of one deployment per provider."""
    handles = {
        provider.id: _provider(provider, settings)
        for provider in settings.llm_providers
        if provider.transport is Transport.HANDLE
    }
    options = deployment_options(ROUTER, settings.router)
    return serve.deployment(RouterDeployment, **options).bind(settings, handles)


def _provider(config: ProviderConfig, settings: Settings) -> Application:
    if config.local is not None:
        return _local_model(config, config.local, settings)
    options = deployment_options(f"provider-{config.id}", config)
    return serve.deployment(ProviderDeployment, **options).bind(
        config, settings.log_level, EndpointPolicy.of(settings)
    )


def refuse_without_extras(settings: Settings) -> None:
    """Raise ConfigError where a model is to be hosted, and what that takes is not installed here."""
    for provider in settings.llm_providers:
        if provider.local is not None:
            _builder_for(provider)


def _local_model(config: ProviderConfig, local: LocalModelConfig, settings: Settings) -> Application:
    build_local_model = _builder_for(config)
    try:
        return build_local_model(config, local, settings)
    except ValueError as error:
        raise ConfigError(f"provider '{config.id}': vLLM does not take what 'local' says: {error}") from error


def _builder_for(
    config: ProviderConfig,
) -> Callable[[ProviderConfig, LocalModelConfig, Settings], Application]:
    try:
        # Imported here, because it takes seconds and is an extra that most gateways do without.
        from serve_app.deployments.local_model import local_model
    except ImportError as error:
        raise ConfigError(
            f"provider '{config.id}' hosts a model, and for that something is not installed here: "
            f"pip install 'sekha-serve[vllm]' (without a GPU: see docs/local-models.md); {error}"
        ) from error
    return local_model
