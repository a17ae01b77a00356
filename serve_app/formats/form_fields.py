"""The fields of a form as one object, as JSON would have them."""

import re
from collections.abc import Collection
from typing import Any

import orjson

from serve_app.errors import InvalidRequest
from serve_app.formats.form import Form
from serve_app.formats.json_body import InvalidField, refuse_steering
from serve_app.formats.json_limits import check_count, check_shape

_BRACKETS = re.compile(r"[\[\].]+")
# Fields for the gateway itself, which JSON has as numbers, lists and objects.
_OBJECTS = ("models", "provider")
_NUMBERS = ("max_cost",)
_FLAGS = ("require_parameters",)


def form_body(form: Form, lists: Collection[str]) -> dict[str, Any]:
    """
    Return the fields by name; values are text, and lists of it where a field may come more than once.

    Fields for the gateway are read as JSON has them: `provider` and `models` are JSON in a field.

    Args:
        form: the form.
        lists: the names of fields that may come more than once, without the brackets that clients add.

    Raises:
        InvalidRequest: 400, a field came twice, or would steer the gateway.
        InvalidField: 422, a field for the gateway is of the wrong kind.
    """
    body: dict[str, Any] = {}
    for name, value in form.fields:
        _refuse(name, value)
        if name.removesuffix("[]") in lists:
            body.setdefault(name, []).append(value)
        elif name in body:
            raise InvalidRequest(f"{name}: came twice; send it once", param=name, code="invalid_form")
        else:
            body[name] = value
    for name in (*_OBJECTS, *_NUMBERS, *_FLAGS):
        if name in body:
            body[name] = _json(name, body[name])
    return body


def _refuse(name: str, value: str) -> None:
    """Refuse what would steer the gateway or what stands behind it, written with brackets or as JSON."""
    inner: Any = value
    if value[:1] in ("{", "["):
        raw = value.encode()
        check_count(raw)
        try:
            inner = orjson.loads(raw)
        except orjson.JSONDecodeError:
            pass  # a text that begins with a bracket
        else:
            check_shape(raw, inner)
    for part in reversed([part for part in _BRACKETS.split(name) if part] or [name]):
        inner = {part: inner}
    refuse_steering(inner)


def _json(name: str, value: str) -> Any:
    try:
        return orjson.loads(value)
    except orjson.JSONDecodeError:
        raise InvalidField(name, "Input should be JSON, as in a request that is not a form", "json") from None
