"""
Plugins that are chosen by name: built-in ones, and those that installed packages offer by entry points.

A plugin is imported only when it is named. A built-in name cannot be replaced by a package.
"""

import sys
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from serve_app.config.names import did_you_mean
from serve_app.errors import ConfigError


@dataclass(frozen=True, slots=True)
class PluginGroup:
    """
    One kind of plugin.

    Attributes:
        entry_points: the group of entry points by which packages offer it.
        noun: its name in messages.
        methods: the methods that an object of this kind must have.
        built_in: the built-in ones, as `module:attribute` by name.
    """

    entry_points: str
    noun: str
    methods: tuple[str, ...]
    built_in: Mapping[str, str] = field(default_factory=dict)


STRATEGIES = PluginGroup(
    "sekha.strategies",
    "strategy",
    ("order",),
    {
        "fallback": "serve_app.routing.strategies.fallback:Fallback",
        "cheapest": "serve_app.routing.strategies.cheapest:Cheapest",
        "fastest": "serve_app.routing.strategies.fastest:Fastest",
        "best_quality": "serve_app.routing.strategies.best_quality:BestQuality",
        "round_robin": "serve_app.routing.strategies.round_robin:RoundRobin",
    },
)
# The built-in types of providers are rows of data, see `provider_types.py`.
PROVIDERS = PluginGroup(
    "sekha.providers", "type of provider", ("chat", "chat_stream", "embed", "health", "aclose")
)
MIDDLEWARE = PluginGroup("sekha.middleware", "middleware", ("__call__",))


def is_offered(group: PluginGroup, name: str) -> bool:
    """Return whether an installed package offers it under a name that is not built in."""
    return name not in group.built_in and bool(_offers(group, name))


def plugin_mistake(group: PluginGroup, name: str) -> str | None:
    """Return an error message for an unknown or ambiguous name; None: the name is valid."""
    if name in group.built_in:
        return None
    offers = _offers(group, name)
    if len(offers) == 1:
        return None
    if offers:
        packages = " and ".join(sorted(_package_of(offer) for offer in offers))
        return f"the {group.noun} '{name}' is offered by {packages}: uninstall all but one of them"
    names = (*group.built_in, *offered_names(group))
    near, there = did_you_mean(name, names), ", ".join(names) or "none"
    known = f"{near} There are: {there}." if near else f"; there are: {there}."
    return f"there is no {group.noun} '{name}'{known} {how_to_install(group, name)}"


def how_to_install(group: PluginGroup, name: str) -> str:
    """Return a sentence about how to add a plugin."""
    return (
        f"To add one, install a package that offers '{name}' by an entry point in the group "
        f"'{group.entry_points}' wherever the gateway runs (docs/plugins.md)"
    )


def load_plugin(group: PluginGroup, name: str) -> Any:
    """
    Import the plugin of this name; this runs the package's code.

    Raises:
        ConfigError: the name is unknown, or the package cannot be imported.
    """
    if mistake := plugin_mistake(group, name):
        raise ConfigError(mistake)
    if name in group.built_in:
        return EntryPoint(name, group.built_in[name], group.entry_points).load()
    (offer,) = _offers(group, name)
    try:
        return offer.load()
    except (Exception, SystemExit) as error:
        raise ConfigError(f"{_described(group, name)} cannot be imported: {_reason(error)}") from error


def make_plugin(group: PluginGroup, name: str, *args: Any, **options: Any) -> Any:
    """
    Import the plugin of this name, and call it to make an object.

    Raises:
        ConfigError: as `load_plugin`; or the call fails, or the object lacks a method of its kind.
    """
    made_by = load_plugin(group, name)
    if name in group.built_in:
        return made_by(*args, **options)
    try:
        made = made_by(*args, **options)
    except (Exception, SystemExit) as error:
        raise ConfigError(f"{_described(group, name)} cannot be made: {_reason(error)}") from error
    if lacking := [method for method in group.methods if not callable(getattr(made, method, None))]:
        raise ConfigError(f"{_described(group, name)} is no {group.noun}: it has no {', '.join(lacking)}")
    return made


def offered_names(group: PluginGroup) -> tuple[str, ...]:
    """Return the names that installed packages add to the built-in ones."""
    return tuple(sorted({offer.name for offer in _all_offers(group)} - group.built_in.keys()))


def hidden_plugins(group: PluginGroup, built_in: Collection[str]) -> Iterator[str]:
    """Yield a sentence for each offer that has no effect, because its name is built in."""
    for offer in _all_offers(group):
        if offer.name in built_in:
            yield (
                f"the {group.noun} '{offer.name}' is built in; the one of {_package_of(offer)} is not used"
            )


def _offers(group: PluginGroup, name: str) -> tuple[EntryPoint, ...]:
    return tuple(offer for offer in _all_offers(group) if offer.name == name)


def _all_offers(group: PluginGroup) -> tuple[EntryPoint, ...]:
    return _found(group.entry_points, tuple(sys.path))


@lru_cache(maxsize=16)
def _found(entry_point_group: str, path: tuple[str, ...]) -> tuple[EntryPoint, ...]:
    """Read the metadata of every package on `path`, which is `sys.path`; imports none of them."""
    return tuple(entry_points(group=entry_point_group))


def _described(group: PluginGroup, name: str) -> str:
    (offer,) = _offers(group, name)
    return (
        f"the {group.noun} '{name}' (entry point '{offer.value}' in '{group.entry_points}', package "
        f"{_package_of(offer)})"
    )


def _package_of(offer: EntryPoint) -> str:
    return "of an unknown name" if offer.dist is None else f"{offer.dist.name} {offer.dist.version}"


def _reason(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"
