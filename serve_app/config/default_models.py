"""The choice of default models for providers without configured ones."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from serve_app.config.model import CHAT_TASKS, ModelTask

_FAST = (ModelTask.CHAT_SMALL, ModelTask.CHAT_LARGE, ModelTask.CHAT_SMART)
_SMART = (ModelTask.CHAT_SMART, ModelTask.CHAT_LARGE, ModelTask.CHAT_SMALL)


def default_models(providers: Any) -> dict[str, str | None]:
    """
    Return the first fitting model for each kind of task, from the provider with the highest priority.

    Takes raw configuration: malformed entries are skipped, because they are reported later.
    """
    models = list(_models(providers if isinstance(providers, list | tuple) else ()))
    return {
        "embedding": _first(models, (ModelTask.EMBEDDING,)),
        "chat_fast": _first(models, _FAST),
        "chat_smart": _first(models, _SMART),
        "chat_vision": _first([m for m in models if m.get("supports_vision") is True], tuple(CHAT_TASKS))
        or _first(models, (ModelTask.VISION,)),
    }


def _models(providers: Sequence[Any]) -> Iterator[Mapping[str, Any]]:
    well_formed = [provider for provider in providers if isinstance(provider, Mapping)]
    for provider in sorted(well_formed, key=_priority):
        models = provider.get("models")
        for model in models if isinstance(models, list | tuple) else ():
            if isinstance(model, Mapping) and isinstance(model.get("model_id"), str):
                yield model


def _priority(provider: Mapping[str, Any]) -> float:
    value = provider.get("priority", 1)
    return value if isinstance(value, int | float) else 1


def _first(models: Sequence[Mapping[str, Any]], tasks: Sequence[ModelTask]) -> str | None:
    """Return the first model for the first of these tasks that has one."""
    if set(tasks) == CHAT_TASKS:
        return next((m["model_id"] for m in models if m.get("task") in tuple(tasks)), None)
    for task in tasks:
        for model in models:
            if model.get("task") == task:
                return str(model["model_id"])
    return None
