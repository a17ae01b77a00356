"""The plugins that a configuration names."""

from collections.abc import Iterator

from serve_app.config.plugins import MIDDLEWARE, PROVIDERS, STRATEGIES, PluginGroup, load_plugin
from serve_app.config.provider_types import is_plugin_type
from serve_app.config.settings import Settings


def import_plugins(settings: Settings) -> None:
    """Import the plugins of a configuration; raise ConfigError if one cannot be imported."""
    for group, name in _named(settings):
        if name not in group.built_in:
            load_plugin(group, name)


def _named(settings: Settings) -> Iterator[tuple[PluginGroup, str]]:
    for strategy in dict.fromkeys([settings.routing.strategy, *sorted(settings.routing.strategies.names)]):
        yield STRATEGIES, strategy
    for type_ in dict.fromkeys(provider.type for provider in settings.llm_providers):
        if is_plugin_type(type_):
            yield PROVIDERS, type_
    for middleware in settings.middleware:
        yield MIDDLEWARE, middleware.name
