"""Construction of providers from their configuration."""

from collections.abc import Mapping

from serve_app.clock import Clock
from serve_app.config.plugins import PROVIDERS, make_plugin
from serve_app.config.provider import ProviderConfig
from serve_app.config.provider_types import is_plugin_type
from serve_app.errors import ConfigError
from serve_app.providers.address_policy import DEFAULT_ENDPOINT_POLICY, EndpointPolicy
from serve_app.providers.base import Provider
from serve_app.providers.catalogue.rows import vendor
from serve_app.providers.catalogue.vendor import Adapter
from serve_app.providers.keys import key_of
from serve_app.providers.metered import MeteredProvider


def build_provider(
    config: ProviderConfig,
    environ: Mapping[str, str],
    clock: Clock,
    endpoint_policy: EndpointPolicy = DEFAULT_ENDPOINT_POLICY,
) -> Provider:
    """
    Return the provider of a configuration, not yet connected; metered if its machine has an hourly rate.

    Args:
        config: the provider's section.
        environ: the environment, for keys.
        clock: the source of time.
        endpoint_policy: for calls to another address than the configured one.

    Raises:
        ConfigError: the provider cannot be built from this configuration.
    """
    built = _built(config, environ, clock, endpoint_policy)
    return MeteredProvider(built, clock) if config.hourly_rate else built


def _built(
    config: ProviderConfig, environ: Mapping[str, str], clock: Clock, endpoint_policy: EndpointPolicy
) -> Provider:
    """
    Return the adapter.

    Adapters are imported here, because LiteLLM takes seconds to load and only its own providers need it.
    """
    if config.local is not None:
        raise ConfigError(f"provider '{config.id}' hosts a model (local), which requires Ray Serve")
    row = vendor(config.type)
    key = key_of(config, row, environ)
    if is_plugin_type(config.type):
        plugin: Provider = make_plugin(PROVIDERS, config.type, config, key, clock)
        return plugin
    match row.adapter:
        case Adapter.SCRIPTED:
            from serve_app.providers.simulator import ScriptedProvider

            return ScriptedProvider(config, clock)
        case Adapter.LITELLM:
            from serve_app.providers.litellm.provider import LiteLlmProvider

            return LiteLlmProvider(config, row, key, clock)
        case Adapter.HTTP:
            from serve_app.providers.http.provider import HttpProvider

            if not (config.base_url or row.base_url):
                raise ConfigError(f"provider '{config.id}' of type '{config.type}' needs a base_url")
            return HttpProvider(config, row, key, clock, endpoint_policy)
