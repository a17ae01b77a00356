"""
Request bodies of `/v1`: parsed once, checked where the gateway itself must understand them.

Everything else in a body passes through untouched, also fields nobody has heard of yet.
"""

from typing import Any

import orjson

from serve_app.accounting.money import nano_dollars
from serve_app.errors import InvalidRequest

# Words to the gateway itself: they are not sent on, an upstream would stumble over them.
HINTS = ("preferred_model", "require_vision", "require_audio", "max_cost", "context_size")


# Words that say where a request goes, and with whose key. A provider of ours may be a gateway that obeys
# them: our key could be sent to any address (CVE-2024-6587, in LiteLLM). And a template is a program: vLLM
# would run one for whoever sends it (GHSA-46cm, CVE-2026-42203).
STEERING = frozenset({
    "api_base", "base_url", "api_key", "extra_headers", "default_headers", "chat_template",
})  # fmt: skip

# What people and their tools say may use any word: a function may well have a parameter called `api_key`.
_CONTENT = frozenset({"messages", "input", "prompt", "functions", "response_format"})
_CONTENT_OF_A_TOOL = frozenset({"function", "parameters", "input_schema", "custom"})

_LONGEST_PATH = 200


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
    """The body as a JSON object; InvalidRequest 400 when it is not one."""
    try:
        body = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise InvalidRequest(f"The body is not valid JSON: {error}", code="invalid_json") from None
    if not isinstance(body, dict):
        raise InvalidRequest(f"The body must be a JSON object, not {_name(body)}", code="invalid_json")
    refuse_steering(body)
    return body


def refuse_steering(body: dict[str, Any]) -> None:
    """InvalidRequest 400 when a field, however deep, would steer the gateway or what stands behind it."""
    for name, value in body.items():
        if name in STEERING:
            raise _steering(name)
        if name not in _CONTENT and isinstance(value, dict | list):
            _refuse_below(name, value)


def _refuse_below(name: str, value: dict[str, Any] | list[Any]) -> None:
    # With a list of what is still to be seen: a body may be nested more deeply than Python may call.
    passed_over = _CONTENT_OF_A_TOOL if name == "tools" else frozenset()
    unseen: list[tuple[str, Any]] = [(name, value)]
    while unseen:
        path, here = unseen.pop()
        if isinstance(here, list):
            unseen += [(f"{path}[{i}]", item) for i, item in enumerate(here) if isinstance(item, dict | list)]
            continue
        for key, inner in here.items():
            if key in STEERING:
                raise _steering(f"{path}.{key}")
            if isinstance(inner, dict | list) and key not in passed_over:
                unseen.append((f"{path}.{key}", inner))


def _steering(path: str) -> InvalidRequest:
    shown = path if len(path) <= _LONGEST_PATH else f"…{path[-_LONGEST_PATH:]}"
    message = f"'{shown}' is not for callers to set: where a request goes, and how, is the operator's word"
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
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise InvalidField(field, f"Input should be a number, not {_name(value)}", "float_type")
    if value < least:
        raise InvalidField(field, f"Input should be at least {least:g}, not {value}", "greater_than_equal")
    if value > most:
        raise InvalidField(field, f"Input should be at most {most:g}, not {value}", "less_than_equal")
    return value


def whole_number(body: dict[str, Any], field: str, least: int) -> int | None:
    """A whole number of at least `least`, or nothing."""
    value = number(body, field, least)
    if value is not None and not isinstance(value, int):
        raise InvalidField(field, f"Input should be a whole number, not {value}", "int_type")
    return value


def cost_limit(body: dict[str, Any]) -> int | None:
    """`max_cost` in US dollars as nano-dollars, or nothing."""
    limit = number(body, "max_cost", 0)
    return None if limit is None else nano_dollars(limit)


def _name(value: Any) -> str:
    names = {dict: "an object", list: "a list", str: "a text", bool: "true or false", type(None): "null"}
    return names.get(type(value), "a number")
