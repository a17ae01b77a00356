"""What can be chosen by name. Nothing here is imported until it is used."""

_PLUGINS = {
    "strategies": {
        "fallback": "serve_app.routing.strategies.fallback:Fallback",
        "cheapest": "serve_app.routing.strategies.cheapest:Cheapest",
        "fastest": "serve_app.routing.strategies.fastest:Fastest",
        "best_quality": "serve_app.routing.strategies.best_quality:BestQuality",
        "round_robin": "serve_app.routing.strategies.round_robin:RoundRobin",
    },
}


def find(kind: str, name: str) -> str:
    """The place of a plugin as `module:Class`; ValueError names what there is."""
    known = _PLUGINS[kind]
    if name not in known:
        raise ValueError(f"no '{name}' among the {kind}: {', '.join(known)}")
    return known[name]
