"""The arguments of a tool call: a text in chat completions, an object in Anthropic Messages."""

from typing import Any

from serve_app.errors import InvalidRequest
from serve_app.formats.json_body import parse_json
from serve_app.formats.json_objects import as_json

UNREADABLE = "_raw"  # the member that holds arguments which are no JSON object


def arguments_object(text: str) -> dict[str, Any]:
    """Return the arguments as an object; text that holds none becomes its member `_raw`."""
    bare = text.strip()
    if not bare or bare == "null":
        return {}
    try:
        value = parse_json(bare.encode("utf-8", "surrogatepass"))
    except InvalidRequest:
        value = None
    return value if isinstance(value, dict) else {UNREADABLE: text}


def arguments_text(value: object) -> str:
    """Return the arguments as a text; a value that cannot be written counts as none."""
    if isinstance(value, str):
        return value
    if value is None:
        return "{}"
    try:
        return as_json(value).decode()
    except (TypeError, ValueError, RecursionError):
        return "{}"
