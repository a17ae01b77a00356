"""Whole answers of upstreams: read however they are written, with every digit of their numbers."""

from typing import Any

from serve_app.formats.exact_json import has_long_digits, with_every_digit
from serve_app.formats.json_limits import DEEPEST
from serve_app.formats.json_objects import found_in


def answer_in(data: bytes) -> dict[str, Any]:
    """Return the object in this JSON; an empty one where there is none, or one that is nested too deep."""
    found = found_in(data)
    if found is None:
        return {}
    # Counting brackets is quicker than going through the object, and nearly all answers have few.
    if data.count(b"{") + data.count(b"[") > DEEPEST and is_too_deep(found.object):
        return {}
    if found.was_mended or not has_long_digits(data):
        return found.object
    exact: dict[str, Any] = with_every_digit(data, found.object)
    return exact


def is_too_deep(value: dict[str, Any]) -> bool:
    """Tell whether an object is nested deeper than what can be written again."""
    level: list[Any] = [value]
    for _ in range(DEEPEST):
        values = (
            inner for outer in level for inner in (outer.values() if isinstance(outer, dict) else outer)
        )
        level = [inner for inner in values if isinstance(inner, dict | list)]
        if not level:
            return False
    return True
