"""
What a request says about its own routing: `models`, `provider`, `data_policy`.

The shape of `provider` is the one that callers of OpenRouter know. Members of it that are not read here are
left to OpenRouter, and to nobody else.
"""

from typing import Any, NamedTuple

from serve_app.config.data_policy import DataPolicy, strictest
from serve_app.formats.json_body import InvalidField

MOST_MODELS = 16
MOST_PROVIDERS = 64
LONGEST_NAME = 256  # characters

READ_HERE = frozenset({"only", "ignore", "order", "allow_fallbacks", "data_policy", "require_parameters"})

_FIELDS = frozenset({"models", "provider", "data_policy", "require_parameters"})


class Wishes(NamedTuple):
    """
    The caller's own rules for one request.

    `models` are what may answer besides `model`, in this order. `only`, `ignore` and `order` hold provider
    ids or types; `only` None: all of them. `allow_fallbacks` False: nobody is asked after the first target.
    `local_only`: only providers whose data stays on machines of one's own. `require_parameters`: only targets
    that take every parameter of the request.
    """

    models: tuple[str, ...] = ()
    only: tuple[str, ...] | None = None
    ignore: tuple[str, ...] = ()
    order: tuple[str, ...] = ()
    allow_fallbacks: bool = True
    local_only: bool = False
    require_parameters: bool = False

    @property
    def provider_names(self) -> tuple[str, ...]:
        """Every provider id or type that is mentioned."""
        return (*(self.only or ()), *self.ignore, *self.order)


NO_WISHES = Wishes()


def read_wishes(body: dict[str, Any]) -> Wishes:
    """Read and check; InvalidField 422 names the field and what it should be."""
    if _FIELDS.isdisjoint(body):
        return NO_WISHES
    provider = body.get("provider")
    if provider is None:
        provider = {}
    if not isinstance(provider, dict):
        raise InvalidField("provider", "Input should be an object", "dict_type")
    policies = (_policy(body, "data_policy"), _policy(provider, "data_policy", "provider."))
    return Wishes(
        models=_names(body, "models", MOST_MODELS) or (),
        only=_names(provider, "only", MOST_PROVIDERS, "provider."),
        ignore=_names(provider, "ignore", MOST_PROVIDERS, "provider.") or (),
        order=_names(provider, "order", MOST_PROVIDERS, "provider.") or (),
        allow_fallbacks=_flag(provider, "allow_fallbacks", "provider.", default=True),
        local_only=strictest(policies) is DataPolicy.LOCAL,
        require_parameters=_flag(body, "require_parameters")
        or _flag(provider, "require_parameters", "provider."),
    )


def _names(of: dict[str, Any], field: str, most: int, inside: str = "") -> tuple[str, ...] | None:
    """A list of names without duplicates; None where there is none."""
    value = of.get(field)
    if value is None:
        return None
    if not isinstance(value, list) or not all(isinstance(name, str) and name for name in value):
        raise InvalidField(inside + field, "Input should be a list of names", "list_type")
    if len(value) > most:
        raise InvalidField(inside + field, f"Input should have at most {most} names", "too_long")
    if any(len(name) > LONGEST_NAME for name in value):
        message = f"A name should have at most {LONGEST_NAME} characters"
        raise InvalidField(inside + field, message, "string_too_long")
    return tuple(dict.fromkeys(value))


def _policy(of: dict[str, Any], field: str, inside: str = "") -> DataPolicy | None:
    value = of.get(field)
    if value is None:
        return None
    if isinstance(value, str) and value in list(DataPolicy):
        return DataPolicy(value)
    raise InvalidField(inside + field, f"Input should be one of: {', '.join(DataPolicy)}", "enum")


def _flag(of: dict[str, Any], field: str, inside: str = "", default: bool = False) -> bool:
    value = of.get(field)
    if value is None:
        return default
    if isinstance(value, bool):
        return value
    raise InvalidField(inside + field, "Input should be true or false", "bool_type")
