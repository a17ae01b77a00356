"""The messages of a chat: checked as far as a later stage relies on their form, read, and added to."""

from collections.abc import Sequence
from typing import Any

from serve_app.errors import InvalidRequest
from serve_app.formats.json_body import InvalidField
from serve_app.formats.openai_chat.parts import check_part

_TEXTS = ("name", "tool_call_id", "refusal")
_TEXT_PARTS = ("text", "input_text")
_INSTRUCTS = ("system", "developer")


def messages_of(body: dict[str, Any]) -> list[dict[str, Any]]:
    """
    Return the messages, each an object with a role and a content of a known form.

    Raises:
        InvalidField: 422, there are none, or one is no message.
        InvalidRequest: 400, the list is empty, or something within a message is not what it must be.
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
        content = message.get("content")
        if not isinstance(content, str | list | None):
            raise InvalidField("messages", "A content should be a text or a list of parts", "model_type")
        if isinstance(content, list):
            _check_parts(content, place)
        if len(message) > 2 or content is None:
            _check_more(message, place)
    return messages


def last_user_text(messages: Sequence[dict[str, Any]]) -> str:
    """Return the text of the last message whose role is `user`; empty where there is none."""
    contents = (message.get("content") for message in reversed(messages) if message["role"] == "user")
    content = next(contents, None) or ""
    if isinstance(content, str):
        return content
    return "\n".join(part["text"] for part in content if part["type"] in _TEXT_PARTS)


def with_system_text(messages: Sequence[dict[str, Any]], text: str) -> list[dict[str, Any]]:
    """
    Return the messages with this text at the end of their instructions.

    Many chat templates take one system message only, and only as the first one: the text joins the last of
    the instructions that the messages begin with; where they begin with none, it is a message of its own.
    """
    place = next((n for n, m in enumerate(messages) if m["role"] not in _INSTRUCTS), len(messages)) - 1
    if place < 0:
        return [{"role": "system", "content": text}, *messages]
    content = messages[place].get("content") or ""
    if isinstance(content, str):
        joined: str | list[Any] = f"{content}\n\n{text}" if content else text
    else:
        joined = [*content, {"type": "text", "text": text}]
    return [*messages[:place], {**messages[place], "content": joined}, *messages[place + 1 :]]


def _check_parts(parts: list[Any], message: int) -> None:
    for place, part in enumerate(parts):
        if not isinstance(part, dict) or not isinstance(part.get("type"), str):
            raise InvalidField(
                "messages", "A part of a content should be an object with a type", "model_type"
            )
        if part["type"] == "text" and not isinstance(part.get("text"), str):
            raise InvalidField("messages", "A part of type text should have a text", "model_type")
        if part["type"] != "text":
            check_part(part, f"messages[{message}].content[{place}]")


def _check_more(message: dict[str, Any], place: int) -> None:
    path = f"messages[{place}]"
    for name in _TEXTS:
        if not isinstance(message.get(name), str | None):
            raise _wrong(f"{path}.{name}", "should be a text")
    if (calls := message.get("tool_calls")) is not None:
        if not isinstance(calls, list):
            raise _wrong(f"{path}.tool_calls", "should be a list")
        for number, call in enumerate(calls):
            _check_call(call, f"{path}.tool_calls[{number}]")
    if (function := message.get("function_call")) is not None:
        _check_function(function, f"{path}.function_call")


def _check_call(call: Any, path: str) -> None:
    if not isinstance(call, dict):
        raise _wrong(path, "should be an object")
    for name in ("id", "type"):
        if not isinstance(call.get(name), str | None):
            raise _wrong(f"{path}.{name}", "should be a text")
    if call.get("type", "function") in ("function", None) or "function" in call:
        _check_function(call.get("function"), f"{path}.function")


def _check_function(function: Any, path: str) -> None:
    if not isinstance(function, dict) or not isinstance(function.get("name"), str):
        raise _wrong(path, "a call of a function needs an object with its name")
    if not isinstance(function.get("arguments"), str | None):
        raise _wrong(f"{path}.arguments", "should be a text, the arguments as JSON")


def _wrong(path: str, message: str) -> InvalidRequest:
    return InvalidRequest(f"{path}: {message}", param=path, code="invalid_value")
