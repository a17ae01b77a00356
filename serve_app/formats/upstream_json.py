"""Whole answers of upstreams: read however they are written, with every digit of their numbers."""

from typing import Any

from serve_app.errors import InvalidRequest
from serve_app.formats.exact_json import has_long_digits, with_every_digit
from serve_app.formats.json_limits import check_shape
from serve_app.formats.json_objects import found_in


def answer_in(data: bytes) -> dict[str, Any]:
    """Return the object in this JSON; an empty one where there is none, or one that is nested too deep."""
    found = found_in(data)
    if found is None:
        return {}
    try:
        check_shape(found.data, found.object, most=len(found.data) + 1)  # the depth alone
    except InvalidRequest:
        return {}
    if found.was_mended or not has_long_digits(data):
        return found.object
    exact: dict[str, Any] = with_every_digit(data, found.object)
    return exact
