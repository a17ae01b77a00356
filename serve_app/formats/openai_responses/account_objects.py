"""What a Responses request names of the operator's account at the vendor."""

from collections.abc import Iterator, Mapping
from typing import Any

from serve_app.errors import InvalidRequest
from serve_app.formats.vendor_objects import VendorObject, first_of, object_in

_STORED = "it names an object of the operator's account at the vendor"
# What a request says or is labelled with, and the schema of its answer.
_NO_OBJECTS = frozenset({"instructions", "metadata", "client_metadata", "text"})
# Fields of a request, each with what a caller does instead.
_FIELDS: Mapping[str, str] = {
    "conversation": "send the whole conversation in 'input'",
    "prompt": "send its text in 'instructions' or 'input'",
}


def refuse_stored(body: Mapping[str, Any]) -> None:
    """
    Refuse a request about a response that the vendor would have to store, which no caller may.

    Raises:
        InvalidRequest: 400, the message names the field and what to do instead.
    """
    if body.get("previous_response_id") is not None:
        raise _refused("previous_response_id", "no response is kept here", "send the conversation in 'input'")
    if body.get("background"):
        raise _refused("background", "a response cannot be fetched later", "leave it out, or use 'stream'")
    items = body.get("input")
    for place, item in enumerate(items if isinstance(items, list) else ()):
        if isinstance(item, dict) and item.get("type") == "item_reference":
            path = f"input[{place}]"
            raise _refused(path, "an item_reference names a stored item", "send the item itself")


def vendor_object(body: Mapping[str, Any]) -> VendorObject | None:
    """Return what a request names of the operator's account at the vendor; None: nothing."""
    for name, instead in _FIELDS.items():
        if body.get(name) is not None:
            return VendorObject(name, _STORED, instead)
    return first_of(object_in(element, path) for element, path in elements_of(body))


def elements_of(body: Mapping[str, Any]) -> Iterator[tuple[dict[str, Any], str]]:
    """Yield the tools and items of a request, and every other object in it, each with its path."""
    for name, value in body.items():
        if isinstance(value, dict) and name not in _NO_OBJECTS:
            yield value, name
        for place, element in enumerate(value if isinstance(value, list) else ()):
            if isinstance(element, dict):
                yield element, f"{name}[{place}]"


def _refused(path: str, why: str, instead: str) -> InvalidRequest:
    message = f"'{path}' is not supported: {why}; {instead}"
    return InvalidRequest(message, param=path, code="unsupported_parameter")
