"""
JSON objects as upstreams write them, which is not always as the standard has it.

Python's writers put NaN and Infinity where a number is none; servers that cut an emoji in two send half of it
as an escape. Both are read; neither is a reason to lose what stands beside it.
"""

import json
import math
import re
from typing import Any, NamedTuple

import orjson

_HALF_OF_A_PAIR = re.compile(rb"\\u[dD][89a-fA-F]")
_NO_NUMBER = re.compile(rb"NaN|Infinity|\d[eE]\+?\d{3}")


class Found(NamedTuple):
    """An object, and the JSON it stands in: as it came, unless that was no JSON to everybody."""

    object: dict[str, Any]
    data: bytes
    was_mended: bool = False


def parsed(data: bytes) -> dict[str, Any] | None:
    """Return the object in this JSON; None where there is none, or where the JSON cannot be passed on."""
    try:
        found = orjson.loads(data)
    except orjson.JSONDecodeError:
        if _HALF_OF_A_PAIR.search(data) is None or _NO_NUMBER.search(data):
            return None
        found = _loosely(data)
    return found if isinstance(found, dict) else None


def found_in(data: bytes) -> Found | None:
    """As `parsed`, but with null in the place of numbers that are none."""
    if (object_ := parsed(data)) is not None:
        return Found(object_, data)
    if _NO_NUMBER.search(data) is None or not isinstance(mended := _loosely(data), dict):
        return None
    return Found(mended, as_json(mended), was_mended=True)


def errors_in_list(data: bytes) -> list[Any] | None:
    """Return the list in this JSON where it holds an error, as Google writes one; else None."""
    if data.lstrip()[:1] != b"[" or b'"error"' not in data:
        return None
    wrapped = found_in(b'{"list":' + data + b"}")
    errors = wrapped.object["list"] if wrapped is not None else None
    if isinstance(errors, list) and any(isinstance(part, dict) and part.get("error") for part in errors):
        return errors
    return None


def one_line(data: bytes) -> bytes:
    """
    Return this JSON without a line break.

    Between JSON's words a line break is as good as a space. Within a text it is a part of the text that its
    writer has not escaped.
    """
    try:
        orjson.loads(data)
    except orjson.JSONDecodeError:
        if isinstance(found := _loosely(data, strict=False), dict | list):
            return as_json(found)
    return data.replace(b"\n", b" ")


def as_json(value: Any) -> bytes:
    """Return the value as JSON; half an emoji stays an escape."""
    try:
        return orjson.dumps(value)
    except TypeError:
        return json.dumps(value, separators=(",", ":"), allow_nan=False).encode()


def _loosely(data: bytes, strict: bool = True) -> Any:
    try:
        return json.loads(data, parse_constant=lambda _: None, parse_float=_finite, strict=strict)
    except (ValueError, RecursionError):
        return None


def _finite(text: str) -> float | None:
    value = float(text)
    return value if math.isfinite(value) else None
