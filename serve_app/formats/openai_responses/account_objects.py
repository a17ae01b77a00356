"""
What a request names of the operator's account at the vendor, and what it has the vendor ask for.

All callers of the gateway share that account: one who names a file, a container or a stored response could
name another one's. The address of an MCP server is asked by the vendor, with what the caller sends along.
"""

from collections.abc import Mapping
from typing import Any

from serve_app.errors import InvalidRequest

# Fields of a request, each with what a caller does instead.
_FIELDS: Mapping[str, str] = {
    "conversation": "send the whole conversation in 'input'",
    "previous_response_id": "send the whole conversation in 'input'",
    "prompt": "send its text in 'instructions' or 'input'",
}
# Members that name an object of the account, or an address that the vendor asks.
_MEMBERS = frozenset({
    "file_id", "file_ids", "vector_store_id", "vector_store_ids", "container_id", "skill_id", "connector_id",
    "server_url", "tunnel_id",
})  # fmt: skip
# What a schema describes and what an answer has quoted: nothing in there is looked up again.
_NOT_LOOKED_UP = frozenset({
    "parameters", "input_schema", "output_schema", "annotations", "results", "logprobs", "arguments",
})  # fmt: skip


def refuse_account_objects(body: Mapping[str, Any]) -> None:
    """
    Refuse a request that names an object of the vendor's account, or an address for the vendor to ask.

    Raises:
        InvalidRequest: 400, the message names the field and what to do instead.
    """
    if body.get("background"):
        raise _refused("background", "a response cannot be fetched later", "leave it out, or use 'stream'")
    for name, instead in _FIELDS.items():
        if body.get(name) is not None:
            raise _refused(name, "it names an object of the operator's account at the vendor", instead)
    for name in ("tools", "input"):
        value = body.get(name)
        for place, element in enumerate(value if isinstance(value, list) else ()):
            if isinstance(element, dict):
                _refuse_in(element, f"{name}[{place}]")


def _refuse_in(element: dict[str, Any], path: str) -> None:
    """Refuse a tool or an item that names an object, however deep."""
    if element.get("type") == "item_reference":
        raise _refused(path, "an item_reference names a stored item", "send the item itself")
    waiting: list[Any] = [element]
    while waiting:
        value = waiting.pop()
        if isinstance(value, list):
            waiting += [inner for inner in value if isinstance(inner, dict | list)]
            continue
        for key, inner in value.items():
            plain = key.casefold()
            if inner and (plain in _MEMBERS or (plain == "container" and isinstance(inner, str))):
                why = "it names an object of the operator's account at the vendor, or an address to ask"
                raise _refused(f"{path}.{key}", why, "send the content itself, or leave it out")
            if isinstance(inner, dict | list) and plain not in _NOT_LOOKED_UP:
                waiting.append(inner)


def _refused(path: str, why: str, instead: str) -> InvalidRequest:
    message = f"'{path}' is not supported: {why}; {instead}"
    return InvalidRequest(message, param=path, code="unsupported_parameter")
