"""
Request bodies of `/v1`: parsed once, checked where the gateway itself must understand them.

Everything else in a body passes through untouched, also fields nobody has heard of yet.
"""

from collections.abc import Iterable, Mapping
from typing import Any

import orjson

from serve_app.errors import InvalidRequest
from serve_app.formats.exact_json import has_long_digits, with_every_digit
from serve_app.formats.json_limits import check_count, check_shape, too_deep
from serve_app.pricing.money import nano_dollars

# Words to the gateway itself, or to the proxy in front of it: they are not sent on, an upstream would stumble
# over them. `provider` is one as well, but for a vendor that has such a field itself.
HINTS = (
    "preferred_model", "require_vision", "require_audio", "max_cost", "context_size", "folder",
    "excluded_folders", "context_budget", "require_parameters", "models", "data_policy",
)  # fmt: skip

# Fields that vendors read as whole numbers; some clients write 100.0.
WHOLE_NUMBERS = (
    "max_tokens", "max_completion_tokens", "n", "seed", "top_k", "top_logprobs", "dimensions",
    "best_of", "logprobs",
)  # fmt: skip

MOST_TOKENS = 2_147_483_647  # what a field that counts tokens may say
MOST_DOLLARS = 1_000_000_000  # in nano-dollars it still fits the 64 bits of a database

BOM = b"\xef\xbb\xbf"

# Words that say where a request goes, and with whose key. A provider of ours may be a gateway that obeys
# them: our key could be sent to any address (CVE-2024-6587, in LiteLLM). And a template is a program: vLLM
# would run one for whoever sends it (GHSA-46cm, CVE-2026-42203). The last ones name the machine from which
# vLLM and SGLang fetch the beginning of an answer.
STEERING = frozenset({
    "api_base", "base_url", "api_key", "extra_headers", "default_headers", "chat_template",
    "kv_transfer_params", "ec_transfer_params", "bootstrap_host", "bootstrap_port", "bootstrap_room",
})  # fmt: skip

# What people and their tools say may use any word: a function may well have a parameter called `api_key`.
_CONTENT = frozenset({
    "messages", "system", "input", "instructions", "prompt", "functions", "response_format", "metadata",
    "query", "documents",
})  # fmt: skip
_CONTENT_WITHIN = {
    "tools": frozenset({"function", "parameters", "input_schema", "input_examples", "custom"}),
    "text": frozenset({"schema"}),
    "output_config": frozenset({"format"}),
}

_CONTAINERS = frozenset({dict, list})
_LONGEST_PATH = 200


_NO_PARAMETERS = frozenset({
    "model", "messages", "system", "input", "query", "documents", "provider", "models", "data_policy", *HINTS,
})  # fmt: skip


def parameters_of(body: dict[str, Any]) -> dict[str, Any]:
    """Return the members of a body that are parameters for the vendor."""
    return {name: value for name, value in body.items() if name not in _NO_PARAMETERS}


class InvalidField(InvalidRequest):
    """A field of the body is missing or of the wrong kind: 422, as FastAPI would say it."""

    def __init__(self, param: str, message: str, kind: str = "value_error") -> None:
        super().__init__(f"{param}: {message}", param=param, code="invalid_value", status=422)
        self.args = (param, message, kind)
        self.detail = [{"loc": ["body", param], "msg": message, "type": kind}]

    @property
    def message(self) -> str:
        return f"{self.args[0]}: {self.args[1]}"


def parse_body(raw: bytes) -> dict[str, Any]:
    """The body as a JSON object; InvalidRequest 400 or 413 when it is not one that can be handled."""
    body = parse_json(raw)
    if not isinstance(body, dict):
        raise InvalidRequest(f"The body must be a JSON object, not {_name(body)}", code="invalid_json")
    refuse_steering(body)
    return body


def parse_json(raw: bytes) -> Any:
    """The value of a body, of bounded depth and size; InvalidRequest 400 or 413 says what is wrong."""
    check_count(raw)
    try:
        value = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        if error.msg.startswith("depth limit"):
            raise too_deep() from None
        raise InvalidRequest(f"The body is not valid JSON: {error}", code="invalid_json") from None
    check_shape(raw, value)
    return with_every_digit(raw, value) if has_long_digits(raw) else value


def refuse_steering(body: dict[str, Any]) -> None:
    """InvalidRequest 400 when a field, however deep, would steer the gateway or what stands behind it."""
    for name, value in body.items():
        if name in STEERING:
            raise _steering(name)
        if name not in _CONTENT and type(value) in _CONTAINERS:
            _refuse_below(name, value)


def _refuse_below(name: str, value: dict[str, Any] | list[Any]) -> None:
    passed_over = _CONTENT_WITHIN.get(name, frozenset())
    unseen = [value]
    while unseen:
        here = unseen.pop()
        if isinstance(here, list):
            unseen += [inner for inner in here if type(inner) in _CONTAINERS]
        elif STEERING.isdisjoint(here):
            unseen += [
                inner for key, inner in here.items() if type(inner) in _CONTAINERS and key not in passed_over
            ]
        else:
            raise _steering(path_to(next(iter(STEERING.intersection(here))), here, name, value) or name)


def path_to(key: str, owner: Mapping[str, Any], path: str, value: Any) -> str | None:
    """
    Return the place of a key in a body of bounded depth; None where its owner is not below.

    It is built only for a refusal, so it searches.

    Args:
        key: the member at fault.
        owner: the very object that has it.
        path: the place of `value`.
        value: what to search in.
    """
    if value is owner:
        return f"{path}.{key}"
    steps: Iterable[tuple[str, Any]] = (
        ((f".{name[:_LONGEST_PATH]}", inner) for name, inner in value.items())
        if isinstance(value, dict)
        else ((f"[{place}]", inner) for place, inner in enumerate(value))
    )
    for step, inner in steps:
        if type(inner) in _CONTAINERS:
            found = path_to(key, owner, path[-_LONGEST_PATH:] + step, inner)
            if found is not None:
                return found
    return None


def _steering(path: str) -> InvalidRequest:
    shown = path if len(path) <= _LONGEST_PATH else f"…{path[-_LONGEST_PATH:]}"
    message = f"'{shown}' cannot be set by callers; the operator configures where requests go"
    return InvalidRequest(message, param=shown, code="forbidden_field")


def text(body: dict[str, Any], field: str) -> str | None:
    """A string or nothing."""
    value = body.get(field)
    if value is None or isinstance(value, str):
        return value
    raise InvalidField(field, f"Input should be a valid string, not {_name(value)}", "string_type")


def flag(body: dict[str, Any], field: str) -> bool:
    """True, false, or nothing, which is false."""
    value = body.get(field)
    if value is None:
        return False
    if isinstance(value, bool):
        return value
    raise InvalidField(field, f"Input should be true or false, not {_name(value)}", "bool_type")


def number(body: dict[str, Any], field: str, least: float, most: float = float("inf")) -> float | None:
    """A number within bounds, or nothing."""
    value = body.get(field)
    if value is None:
        return None
    if type(value) is not int and type(value) is not float:  # true and false are no numbers
        raise InvalidField(field, f"Input should be a number, not {_name(value)}", "float_type")
    if value < least:
        raise InvalidField(
            field,
            f"Input should be at least {_as_written(least)}, not {_as_written(value)}",
            "greater_than_equal",
        )
    if value > most:
        raise InvalidField(
            field, f"Input should be at most {_as_written(most)}, not {_as_written(value)}", "less_than_equal"
        )
    return value


def _as_written(value: float) -> str:
    """A number for a message: with all its digits where they are few enough to be read."""
    return str(value) if isinstance(value, int) and abs(value) < 10**15 else f"{value:g}"


def whole_number(
    body: dict[str, Any], field: str, least: float = float("-inf"), most: float = float("inf")
) -> int | None:
    """A whole number within bounds, or nothing; 100.0 is one."""
    value = number(body, field, least, most)
    if isinstance(value, float):
        if not value.is_integer():
            raise InvalidField(field, f"Input should be a whole number, not {value:g}", "int_type")
        return int(value)
    return value


def whole(body: dict[str, Any], field: str) -> int | None:
    """A whole number whose check has passed, or nothing."""
    value = body.get(field)
    return None if value is None else int(value)


def tokens(body: dict[str, Any], field: str) -> int | None:
    """A number of tokens, or nothing."""
    return whole_number(body, field, 1, MOST_TOKENS)


def cost_limit(body: dict[str, Any]) -> int | None:
    """`max_cost` in US dollars as nano-dollars, or nothing."""
    limit = number(body, "max_cost", 0, MOST_DOLLARS)
    return None if limit is None else nano_dollars(limit)


def _name(value: Any) -> str:
    names = {dict: "an object", list: "a list", str: "a text", bool: "true or false", type(None): "null"}
    return names.get(type(value), "a number")
