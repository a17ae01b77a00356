"""The items of a Responses request: checked as far as a later stage relies on their form, and read."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from serve_app.errors import InvalidRequest
from serve_app.formats.json_body import InvalidField
from serve_app.formats.openai_responses.fields import check_tools, wrong

Item = dict[str, Any]

TEXT_PARTS = ("input_text", "output_text", "text")

# Members that hold parts, by the type of the item.
_CONTENTS: Mapping[str, str] = {
    "message": "content",
    "function_call_output": "output",
    "custom_tool_call_output": "output",
}
_NEEDED = {
    "function_call": ("call_id", "name", "arguments"),
    "custom_tool_call": ("call_id", "name", "input"),
}
_HAVE_TOOLS = ("additional_tools", "tool_search_output")


def type_of(item: Item) -> str:
    """Return the type of an item; messages may leave it out."""
    return item.get("type") or "message"


def items_of(body: Mapping[str, Any]) -> list[Item]:
    """
    Return the items of a request's `input`; a text is the message of a user, and a `prompt` needs none.

    Raises:
        InvalidField: 422, there is none, or it is of the wrong kind.
        InvalidRequest: 400, the list is empty, or something within an item is not what it must be.
    """
    given = body.get("input")
    if isinstance(given, str):
        return [{"type": "message", "role": "user", "content": given}]
    if given is None and body.get("prompt") is not None:
        return []
    if given is None:
        raise InvalidField("input", "Field required", "missing")
    if not isinstance(given, list):
        raise InvalidField("input", "Input should be a text or a list of items", "list_type")
    if not given:
        raise InvalidRequest("No input provided", param="input")
    for place, item in enumerate(given):
        _check_item(item, f"input[{place}]")
    return given


def content_of(item: Item) -> str | list[dict[str, Any]] | None:
    """Return an item's content, which is checked; None where it has none, or none that is read."""
    content: str | list[dict[str, Any]] | None = item.get(_CONTENTS.get(type_of(item), ""))
    return content


def parts_of(item: Item) -> list[dict[str, Any]]:
    """Return the parts of an item's content; empty where it is a text or the item has none."""
    content = content_of(item)
    return content if isinstance(content, list) else []


def texts_of(content: Any) -> list[str]:
    """Return the texts of a content that is a text, a list of parts, or null."""
    if isinstance(content, str):
        return [content]
    return [part["text"] for part in content or () if part["type"] in TEXT_PARTS]


def is_message_of(item: Item, role: str) -> bool:
    """Return whether an item is a message of this role."""
    return type_of(item) == "message" and item["role"] == role


def last_user_text(items: Sequence[Item]) -> str:
    """Return the text of the user's last message; empty where there is none."""
    contents = (item.get("content") for item in reversed(items) if is_message_of(item, "user"))
    return "\n".join(texts_of(next(contents, None)))


def in_chat_words(items: Sequence[Item]) -> list[dict[str, Any]]:
    """
    Return contents with pictures and files as a chat's messages hold them, for what counts those.

    A screenshot is a picture as well. What only the vendor can read, a compacted conversation, is a file.
    """
    contents = [
        {"content": [_as_picture(part) if _shows_picture(part) else part for part in parts]}
        for item in items
        if (parts := parts_of(item))
    ]
    more: list[dict[str, Any]] = []
    for item in items:
        kind = type_of(item)
        if kind == "computer_call_output" and isinstance(shot := item.get("output"), dict):
            more.append(_as_picture(shot))
        elif kind == "image_generation_call":
            more.append({"type": "input_image"})  # its bytes count as well: it may be in any format
        elif kind == "compaction":
            more.append({"type": "input_file"})
    return [*contents, {"content": more}] if more else contents


def tools_in_items(items: Sequence[Item]) -> Iterator[tuple[list[dict[str, Any]], str]]:
    """Yield the lists of tools that items add to a request, each with its path."""
    for place, item in enumerate(items):
        if type_of(item) in _HAVE_TOOLS and item.get("tools"):
            yield item["tools"], f"input[{place}].tools"


def _shows_picture(part: Mapping[str, Any]) -> bool:
    """Return whether a part is a picture that is here, or at a link, and not in the vendor's account."""
    return part["type"] == "input_image" and (part.get("image_url") is not None or not part.get("file_id"))


def _as_picture(part: Mapping[str, Any]) -> dict[str, Any]:
    return {"type": "image_url", "image_url": {"url": part.get("image_url"), "detail": part.get("detail")}}


def _check_item(item: Any, path: str) -> None:
    if not isinstance(item, dict) or not isinstance(item.get("type"), str | None):
        raise InvalidField("input", f"{path} should be an object with a type", "model_type")
    kind = type_of(item)
    if kind == "message" and not isinstance(item.get("role"), str):
        raise InvalidField("input", f"{path} should have a role or a type", "model_type")
    if not isinstance(item.get("id"), str | None):
        raise wrong(f"{path}.id", "should be a text")
    for name in _NEEDED.get(kind, ()):
        if not isinstance(item.get(name), str):
            raise wrong(f"{path}.{name}", f"an item of type {kind} needs a text here")
    if not isinstance(item.get("namespace"), str | None):
        raise wrong(f"{path}.namespace", "should be a text")
    if kind in _CONTENTS:
        _check_content(item, _CONTENTS[kind], path)
    elif (check := _CHECKS.get(kind)) is not None:
        check(item, path)


def _check_content(item: Item, name: str, path: str) -> None:
    content = item.get(name)
    if not isinstance(content, str | list | None):
        raise InvalidField("input", f"{path}.{name} should be a text or a list of parts", "model_type")
    for place, part in enumerate(content if isinstance(content, list) else ()):
        _check_part(part, f"{path}.{name}[{place}]")
    if not isinstance(item.get("call_id"), str | None):
        raise wrong(f"{path}.call_id", "should be a text")


def _check_part(part: Any, path: str) -> None:
    if not isinstance(part, dict) or not isinstance(part.get("type"), str):
        raise InvalidField("input", f"{path} should be an object with a type", "model_type")
    kind = part["type"]
    if kind in TEXT_PARTS and not isinstance(part.get("text"), str):
        raise wrong(f"{path}.text", f"a part of type {kind} needs a text here")
    if kind == "refusal" and not isinstance(part.get("refusal"), str):
        raise wrong(f"{path}.refusal", "a part of type refusal needs a text here")
    if kind == "input_image":
        _check_image(part, path)
    if kind == "input_file":
        for name in ("file_data", "file_url", "filename"):
            if not isinstance(part.get(name), str | None):
                raise wrong(f"{path}.{name}", "should be a text")


def _check_image(part: dict[str, Any], path: str) -> None:
    if not isinstance(part.get("image_url"), str | None):
        raise wrong(f"{path}.image_url", "should be a text: an http(s) link or a data: URI")
    if not isinstance(part.get("detail"), str | None):
        raise wrong(f"{path}.detail", "should be a text")


def _check_reasoning(item: Item, path: str) -> None:
    if not isinstance(item.get("encrypted_content"), str | None):
        raise wrong(f"{path}.encrypted_content", "should be a text")
    for name in ("summary", "content"):
        parts = item.get(name) or []
        if not isinstance(parts, list) or not all(isinstance(part, dict) for part in parts):
            raise wrong(f"{path}.{name}", "should be a list of objects")


def _check_tools(item: Item, path: str) -> None:
    if item.get("tools") is not None:
        check_tools(item["tools"], f"{path}.tools")


_CHECKS: Mapping[str, Callable[[Item, str], None]] = {
    "reasoning": _check_reasoning,
    "additional_tools": _check_tools,
    "tool_search_output": _check_tools,
}
