"""
Transports between router and provider: one object for each value of `transport`.

    handle   a deployment of its own, called through its handle; Serve keeps a queue for it
    inline   an object within the router's process; the router counts the requests in flight

A further transport is a member of `Transport`, which says whether there are replicas, and an object here.
"""

import os
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from ray import serve
from ray.serve import Application

from serve_app.clock import Clock
from serve_app.config.local_model import LocalModelConfig
from serve_app.config.provider import ProviderConfig, Transport
from serve_app.config.settings import Settings
from serve_app.deployments.options import deployment_options
from serve_app.deployments.provider import ProviderDeployment
from serve_app.deployments.provider_handle import HandleProvider
from serve_app.errors import ConfigError
from serve_app.providers.address_policy import EndpointPolicy
from serve_app.providers.base import Provider
from serve_app.providers.factory import build_provider


class ProviderTransport(Protocol):
    """The deployment of providers, and the calls to them, over one transport."""

    def deploy(self, config: ProviderConfig, settings: Settings) -> Application | None:
        """Return the deployment of a provider, for the graph; None: it has none."""

    def reach(
        self, config: ProviderConfig, handle: Any | None, clock: Clock, endpoints: EndpointPolicy
    ) -> Provider:
        """
        Return the provider as the router calls it.

        `handle` is that of its deployment, if any; `endpoints` is the policy of callable addresses.
        """


class HandleTransport:
    """A deployment of its own, with its own replicas."""

    def deploy(self, config: ProviderConfig, settings: Settings) -> Application:
        if config.local is not None:
            return _local_model(config, config.local, settings)
        options = deployment_options(f"provider-{config.id}", config)
        return serve.deployment(ProviderDeployment, **options).bind(
            config, settings.log_level, EndpointPolicy.of(settings)
        )

    def reach(
        self, config: ProviderConfig, handle: Any | None, clock: Clock, endpoints: EndpointPolicy
    ) -> HandleProvider:
        return HandleProvider(config.id, handle)


class InlineTransport:
    """An object within the router's process."""

    def deploy(self, config: ProviderConfig, settings: Settings) -> None:
        return None

    def reach(
        self, config: ProviderConfig, handle: Any | None, clock: Clock, endpoints: EndpointPolicy
    ) -> Provider:
        return build_provider(config, os.environ, clock, endpoints)


TRANSPORTS: Mapping[Transport, ProviderTransport] = {
    Transport.HANDLE: HandleTransport(),
    Transport.INLINE: InlineTransport(),
}


def refuse_without_extras(settings: Settings) -> None:
    """Raise ConfigError if a model is to be hosted and the extra for it is not installed."""
    for provider in settings.llm_providers:
        if provider.local is not None:
            _builder_for(provider)


def _local_model(config: ProviderConfig, local: LocalModelConfig, settings: Settings) -> Application:
    build_local_model = _builder_for(config)
    try:
        return build_local_model(config, local, settings)
    except ValueError as error:
        raise ConfigError(f"provider '{config.id}': vLLM rejects the settings in 'local': {error}") from error


def _builder_for(
    config: ProviderConfig,
) -> Callable[[ProviderConfig, LocalModelConfig, Settings], Application]:
    try:
        # Imported here, because the import takes seconds and vLLM is an optional extra.
        from serve_app.deployments.local_model import local_model
    except ImportError as error:
        raise ConfigError(
            f"provider '{config.id}' hosts a model (local), which requires vLLM: "
            f"pip install 'sekha-serve[vllm]' (without a GPU: see docs/local-models.md); {error}"
        ) from error
    return local_model
