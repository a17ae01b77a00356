"""
The checks that tables of a request's fields are made of.

A check gets the body and a name that is in it and not null. It raises InvalidField (422) for the field
itself, and InvalidRequest (400) for something below it.
"""

from collections.abc import Callable, Collection, Mapping
from typing import Any

from serve_app.errors import InvalidRequest
from serve_app.formats.json_body import InvalidField, number, whole_number

Check = Callable[[dict[str, Any], str], object]


def check_fields(body: dict[str, Any], checks: Mapping[str, Check]) -> None:
    """Run the check of every field that has one; null is the same as absent."""
    for name in body:
        check = checks.get(name)
        if check is not None and body[name] is not None:
            check(body, name)


def check_spelling(body: Mapping[str, Any], names: Collection[str]) -> None:
    """Refuse a field that a server which reads names in any case would take for one of these."""
    for key in body:
        if key not in names and (usual := key.casefold()) in names:
            raise InvalidField(key, f"Write this field as '{usual}'", "extra_forbidden")


def between(least: float, most: float) -> Check:
    """Return the check of a number within bounds."""
    return lambda body, name: number(body, name, least, most)


def whole_between(least: float = float("-inf"), most: float = float("inf")) -> Check:
    """Return the check of a whole number within bounds."""
    return lambda body, name: whole_number(body, name, least, most)


def an_object(body: dict[str, Any], name: str) -> None:
    """Check that a field is an object."""
    if not isinstance(body[name], dict):
        raise InvalidField(name, "Input should be an object", "dict_type")


def texts(body: dict[str, Any], name: str) -> None:
    """Check that a field is a list of texts."""
    value = body[name]
    if not (isinstance(value, list) and all(isinstance(item, str) for item in value)):
        raise InvalidField(name, "Input should be a list of texts", "list_type")


def objects(body: dict[str, Any], name: str) -> None:
    """Check that a field is a list of objects."""
    value = body[name]
    if not (isinstance(value, list) and all(isinstance(item, dict) for item in value)):
        raise InvalidField(name, "Input should be a list of objects", "list_type")


def wrong(path: str, message: str) -> InvalidRequest:
    """Return the refusal of something below a field."""
    return InvalidRequest(f"{path}: {message}", param=path, code="invalid_value")
