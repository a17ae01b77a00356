"""Whether a JSON schema is one that OpenAI's strict mode takes."""

from typing import Any

_WITHIN = ("items", "not")
_LISTS = ("anyOf", "allOf", "oneOf", "prefixItems")
_MAPS = ("properties", "$defs", "definitions")


def is_strict(schema: dict[str, Any]) -> bool:
    """
    Return whether every object in a schema forbids other properties and requires all of its own.

    Source: https://platform.openai.com/docs/guides/structured-outputs#supported-schemas
    """
    unseen: list[Any] = [schema]
    while unseen:
        here = unseen.pop()
        if not isinstance(here, dict):
            return False
        properties = here.get("properties")
        if here.get("type") == "object" or isinstance(properties, dict):
            required = here.get("required")
            if here.get("additionalProperties") is not False or not isinstance(properties, dict):
                return False
            if not isinstance(required, list) or not properties.keys() <= _texts(required):
                return False
        unseen += [here[name] for name in _WITHIN if name in here]
        for name in _LISTS:
            if isinstance(inner := here.get(name), list):
                unseen += inner
        for name in _MAPS:
            if isinstance(inner := here.get(name), dict):
                unseen += inner.values()
    return True


def _texts(values: list[Any]) -> set[str]:
    return {value for value in values if isinstance(value, str)}
