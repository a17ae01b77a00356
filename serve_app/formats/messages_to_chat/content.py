"""The blocks of a user's turn as the parts of a chat message."""

from collections.abc import Iterable
from typing import Any

from serve_app.formats.checked_members import (
    blocks_at,
    not_carried,
    object_at,
    refused,
    text_at,
)
from serve_app.formats.exact_json import dumps

SEND_DATA = "send it as base64 data"

# Members that the type of block has and a part has not. Null and absent ones are no loss.
_LOST = ("cache_control", "citations", "transformations")


def text_part(text: str) -> dict[str, Any]:
    return {"type": "text", "text": text}


def parts_of(block: dict[str, Any], path: str, dropped: set[str]) -> list[dict[str, Any]]:
    """
    Return the parts that carry a block of a user's turn, other than the result of a tool.

    Args:
        block: the block; it has a type, and a text where the type is `text`.
        path: where it stands, for a refusal.
        dropped: gets the names of the members that are lost.

    Raises:
        InvalidRequest: 400, no part can carry it, or it is not built as its type demands.
    """
    note_lost(block, dropped)
    match block["type"]:
        case "text":
            return [text_part(block["text"])] if block["text"] else []
        case "image":
            return [_image(block, path)]
        case "document":
            return _document(block, path, dropped)
        case "search_result":
            return [text_part(_search_result(block, path))]
        case other:
            message = f"content of type '{other[:64]}' cannot be sent to this model; leave it out"
            raise refused(path, message, code="unsupported_content")


def note_lost(block: dict[str, Any], dropped: set[str]) -> None:
    """Note the members of a block that no part has."""
    if len(block) > 2:
        dropped.update(f"messages.{name}" for name in _LOST if block.get(name))


def content_of(parts: list[dict[str, Any]]) -> str | list[dict[str, Any]]:
    """Return the content of a message: a text where that is all, because every server takes one."""
    if not parts:
        return ""
    return parts[0]["text"] if len(parts) == 1 and parts[0]["type"] == "text" else parts


def result_of(block: dict[str, Any], path: str, dropped: set[str]) -> tuple[str, list[dict[str, Any]]]:
    """
    Return the result of a tool as text, and the parts in it that a tool's message cannot hold.

    Args:
        block: the `tool_result` block.
        path: where it stands, for a refusal.
        dropped: gets the names of the members that are lost.
    """
    note_lost(block, dropped)
    content = block.get("content")
    if isinstance(content, str):
        texts, media = [content], list[dict[str, Any]]()
    else:
        texts, media = _result_parts(blocks_at(content, f"{path}.content"), f"{path}.content", dropped)
    text = "\n".join(texts)
    if media:
        text = f"{text}\n{_MEDIA_FOLLOW}" if text else _MEDIA_FOLLOW
    if block.get("is_error") and not text.startswith("Error"):
        text = f"Error: {text}" if text else "Error"
    return text, media


_MEDIA_FOLLOW = "(The files of this result are in the next message.)"


def _result_parts(
    blocks: list[dict[str, Any]], path: str, dropped: set[str]
) -> tuple[list[str], list[dict[str, Any]]]:
    texts: list[str] = []
    media: list[dict[str, Any]] = []
    for number, block in enumerate(blocks):
        if block["type"] in ("text", "image", "document", "search_result"):
            for part in parts_of(block, f"{path}[{number}]", dropped):
                if part["type"] == "text":
                    texts.append(part["text"])
                else:
                    media.append(part)
        elif block["type"] == "tool_reference":
            texts.append(f"Tool: {text_at(block.get('tool_name'), f'{path}[{number}].tool_name')}")
        else:
            texts.append(dumps(block).decode())
    return texts, media


def _image(block: dict[str, Any], path: str) -> dict[str, Any]:
    source = object_at(block.get("source"), f"{path}.source")
    match source.get("type"):
        case "base64":
            url = _data_url(source, path)
        case "url":
            url = text_at(source.get("url"), f"{path}.source.url")
        case "file":
            raise not_carried(f"{path}.source.file_id", "The id of a file", SEND_DATA)
        case _:
            raise refused(f"{path}.source.type", "should be base64 or url")
    return {"type": "image_url", "image_url": {"url": url}}


def _document(block: dict[str, Any], path: str, dropped: set[str]) -> list[dict[str, Any]]:
    source = object_at(block.get("source"), f"{path}.source")
    title, context = block.get("title"), block.get("context")
    match source.get("type"):
        case "base64":
            if context:
                dropped.add("messages.context")
            name = title if isinstance(title, str) and title else "document.pdf"
            return [{"type": "file", "file": {"filename": name, "file_data": _data_url(source, path)}}]
        case "text":
            written = text_at(source.get("data"), f"{path}.source.data")
            return [text_part(_joined((title, context, written)))]
        case "content":
            inner = f"{path}.source.content"
            parts = [
                part
                for number, each in enumerate(blocks_at(source.get("content"), inner))
                for part in parts_of(each, f"{inner}[{number}]", dropped)
            ]
            head = _joined((title, context))
            return [text_part(head), *parts] if head else parts
        case "url":
            raise not_carried(f"{path}.source.url", "A document behind a link", SEND_DATA)
        case "file":
            raise not_carried(f"{path}.source.file_id", "The id of a file", SEND_DATA)
        case _:
            raise refused(f"{path}.source.type", "should be base64, text or content")


def _search_result(block: dict[str, Any], path: str) -> str:
    texts = (inner.get("text") for inner in blocks_at(block.get("content"), f"{path}.content"))
    return _joined((block.get("title"), block.get("source"), *texts))


def _data_url(source: dict[str, Any], path: str) -> str:
    media_type = text_at(source.get("media_type"), f"{path}.source.media_type")
    return f"data:{media_type};base64,{text_at(source.get('data'), f'{path}.source.data')}"


def _joined(texts: Iterable[Any]) -> str:
    return "\n".join(text for text in texts if isinstance(text, str) and text)
