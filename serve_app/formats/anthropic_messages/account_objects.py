"""What a Messages request names of the operator's account at the vendor, and which models it asks for."""

from collections.abc import Iterable, Mapping
from typing import Any

from serve_app.errors import InvalidRequest
from serve_app.formats.anthropic_messages.messages import path_of
from serve_app.formats.vendor_objects import VendorObject

# Fields that name what the vendor keeps in the account.
ACCOUNT_FIELDS = ("container", "thread", "user_profile_id")


def vendor_object(
    body: Mapping[str, Any], blocks: Iterable[Mapping[str, Any]], tools: Iterable[Mapping[str, Any]]
) -> VendorObject | None:
    """
    Return what a request names of what the vendor keeps in the account: files, containers, profiles.

    Args:
        body: the request.
        blocks: its blocks at every depth.
        tools: its tools, also those that are defined within messages.
    """
    for name in ACCOUNT_FIELDS:
        if body.get(name):
            return _named(name)
    previous = body.get("diagnostics")
    if isinstance(previous, dict) and previous.get("previous_message_id"):
        return _named("diagnostics.previous_message_id")
    for block in blocks:
        if (owner := owner_of_file_id(block)) is not None:
            return _named(path_of(body, owner, "file_id"))
    for tool in () if body.get("mcp_servers") else tools:
        kind = tool.get("type")
        if isinstance(kind, str) and kind.startswith("mcp"):
            return _named(path_of(body, tool, "type"))
    return None


def owner_of_file_id(block: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Return the object in a block that names a file of the account; None where nothing does."""
    source, kind = block.get("source"), block.get("type")
    if isinstance(source, dict) and (source.get("type") == "file" or "file_id" in source):
        return source
    # An output tells the id of a file that a tool made; nothing is read from it.
    if "file_id" in block and not (isinstance(kind, str) and kind.endswith("_output")):
        return block
    return None


def refuse_other_models(body: Mapping[str, Any], tools: Iterable[Mapping[str, Any]]) -> None:
    """
    Refuse a request that has the vendor ask another model, which nobody has permitted or priced.

    Raises:
        InvalidRequest: 400 `unchecked_model`, with the field.
    """
    found = "fallbacks" if body.get("fallbacks") else None
    for tool in tools:
        if found is None and tool.get("model") is not None and tool.get("type") not in (None, "custom"):
            found = path_of(body, tool, "model")
    if found is not None:
        message = f"'{found}' has the vendor ask further models; list them in 'models', and the gateway does"
        raise InvalidRequest(message, param=found, code="unchecked_model")


def _named(path: str) -> VendorObject:
    return VendorObject(path, "it names an object of the operator's account at the vendor, which all share")
