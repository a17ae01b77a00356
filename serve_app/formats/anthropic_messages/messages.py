"""The messages of a conversation and its instructions: checked, read, and added to."""

from collections.abc import Iterator, Mapping
from typing import Any

from serve_app.errors import InvalidRequest
from serve_app.formats.anthropic_messages.blocks import Flaw, blocks_in, flaw_of
from serve_app.formats.field_checks import wrong
from serve_app.formats.json_body import InvalidField, path_to

ROLES = ("user", "assistant", "system")


def messages_of(body: Mapping[str, Any]) -> list[dict[str, Any]]:
    """
    Return the messages, each an object with a known role and a content of a known form.

    Raises:
        InvalidField: 422, there are none, or one is no message.
        InvalidRequest: 400, the list is empty, or a block is not what its type needs.
    """
    messages = body.get("messages")
    if messages is None:
        raise InvalidField("messages", "Field required", "missing")
    if not isinstance(messages, list):
        raise InvalidField("messages", "Input should be a valid list", "list_type")
    if not messages:
        raise InvalidRequest("No messages provided", param="messages")
    for place, message in enumerate(messages):
        if not isinstance(message, dict) or not isinstance(message.get("role"), str):
            raise InvalidField("messages", "Every message should be an object with a role", "model_type")
        if message["role"] not in ROLES:
            raise wrong(f"messages[{place}].role", f"should be one of: {', '.join(ROLES)}")
        content = message.get("content")
        if content is None and message["role"] == "system":
            continue  # it may only change the effort
        _check_content(content, f"messages[{place}].content")
    return messages


def system_of(body: Mapping[str, Any]) -> str | list[dict[str, Any]]:
    """
    Return the instructions; an empty text where there are none.

    Raises:
        InvalidRequest: 400, they are neither a text nor a list of blocks.
    """
    system = body.get("system")
    if system is None:
        return ""
    _check_content(system, "system")
    found: str | list[dict[str, Any]] = system
    return found


def checked_blocks(body: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """
    Return every block of the messages and of the instructions, also those within others.

    Raises:
        InvalidRequest: 400, one of them is not what its type needs.
    """
    blocks = []
    for block in blocks_in(contents_of(body)):
        if (flaw := flaw_of(block)) is not None:
            raise _refused(body, flaw)
        blocks.append(block)
    return blocks


def contents_of(body: Mapping[str, Any]) -> Iterator[Any]:
    """Yield the content of every message, and the instructions."""
    yield body.get("system")
    for message in body["messages"]:
        yield message.get("content")


def last_user_text(body: Mapping[str, Any]) -> str:
    """
    Return the text of the user's last message; empty where there is none.

    A message with nothing but results of tools is not the user's, whatever its role.
    """
    for message in reversed(body["messages"]):
        content = message.get("content")
        if message["role"] != "user":
            continue
        if isinstance(content, str):
            return content
        if not content or any(block["type"] != "tool_result" for block in content):
            return "\n".join(block["text"] for block in content or () if block["type"] == "text")
    return ""


def with_system_text(body: Mapping[str, Any], text: str) -> dict[str, Any]:
    """Return the request with this text at the end of its instructions."""
    system = body.get("system")
    if not system:
        return {**body, "system": text}
    if isinstance(system, str):
        return {**body, "system": f"{system}\n\n{text}"}
    return {**body, "system": [*system, {"type": "text", "text": text}]}


def path_of(body: Mapping[str, Any], owner: Mapping[str, Any], member: str) -> str:
    """Return where in the body a member of one of its blocks is."""
    for name in ("messages", "system", "tools"):
        value = body.get(name)
        found = path_to(member, owner, name, value) if isinstance(value, list) else None
        if found is not None:
            return found
    return member


def _check_content(content: Any, path: str) -> None:
    if isinstance(content, str):
        return
    if not isinstance(content, list):
        raise wrong(path, "should be a text or a list of blocks")
    for place, block in enumerate(content):
        if not isinstance(block, dict) or not isinstance(block.get("type"), str):
            raise wrong(f"{path}[{place}]", "every block should be an object with a type")


def _refused(body: Mapping[str, Any], flaw: Flaw) -> InvalidRequest:
    return wrong(path_of(body, flaw.owner, flaw.member), flaw.message)
