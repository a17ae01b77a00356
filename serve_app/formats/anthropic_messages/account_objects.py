"""
What a request may not refer to: the vendor's account is shared by all callers, and so is what is kept there.

Ids are the only protection that the vendor gives such objects from others in the same account.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from serve_app.errors import InvalidRequest
from serve_app.formats.anthropic_messages.messages import path_of

# Fields that name what the vendor keeps in the account, or servers that it would call in the account's name.
ACCOUNT_FIELDS = ("container", "mcp_servers", "thread", "user_profile_id")


def refuse_account_objects(
    body: Mapping[str, Any], blocks: Iterable[Mapping[str, Any]], tools: Iterable[Mapping[str, Any]]
) -> None:
    """
    Refuse a request that refers to what the vendor keeps in the gateway's account.

    These are files, containers, conversations and profiles; and MCP servers, which the vendor would call.

    Args:
        body: the request.
        blocks: its blocks at every depth.
        tools: its tools, also those that are defined within messages.

    Raises:
        InvalidRequest: 400 `unsupported_parameter`, with the field.
    """
    for name in ACCOUNT_FIELDS:
        if body.get(name):
            raise _refused(name)
    for block in blocks:
        source = block.get("source")
        kind = block.get("type")
        if isinstance(source, dict) and (source.get("type") == "file" or "file_id" in source):
            raise _refused(path_of(body, source, "file_id"))
        # An output tells the id of a file that a tool made; nothing is read from it.
        if "file_id" in block and not (isinstance(kind, str) and kind.endswith("_output")):
            raise _refused(path_of(body, block, "file_id"))
    for tool in tools:
        kind = tool.get("type")
        if isinstance(kind, str) and kind.startswith("mcp"):
            raise _refused(path_of(body, tool, "type"))


def refuse_other_models(body: Mapping[str, Any], tools: Iterable[Mapping[str, Any]]) -> None:
    """
    Refuse a request that has the vendor ask another model, which nobody has permitted or priced.

    Raises:
        InvalidRequest: 400 `unchecked_model`, with the field.
    """
    found = "fallbacks" if body.get("fallbacks") else None
    for tool in tools:
        if found is None and tool.get("model") is not None and "input_schema" not in tool:
            found = path_of(body, tool, "model")
    if found is not None:
        message = f"'{found}' has the vendor ask further models; list them in 'models', and the gateway does"
        raise InvalidRequest(message, param=found, code="unchecked_model")


def _refused(path: str) -> InvalidRequest:
    message = (
        f"'{path}' refers to the gateway's account with the vendor, which all callers share; "
        "send the content itself"
    )
    return InvalidRequest(message, param=path, code="unsupported_parameter")
