"""The parts of a chat message as blocks of a turn."""

import base64
import binascii
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from serve_app.formats.anthropic_messages.account_objects import owner_of_file_id
from serve_app.formats.anthropic_messages.blocks import blocks_in
from serve_app.formats.checked_members import blocks_at, not_carried, object_at, refused, text_at
from serve_app.formats.json_body import path_to

SEND_DATA = "send it as a data: URL"

_IMAGES = frozenset({"image/jpeg", "image/png", "image/gif", "image/webp"})
_TEXTS = frozenset({"text", "input_text", "output_text"})
_OWN = frozenset({"image", "document", "search_result"})  # blocks that callers may write as they are
_TTLS: Mapping[str, str] = MappingProxyType({"30m": "1h"})  # the next longer one

Blocks = list[dict[str, Any]]


def text_block(text: str) -> dict[str, Any]:
    return {"type": "text", "text": text}


def text_blocks(content: Any, path: str) -> Blocks:
    """
    Return the blocks of a content that may be nothing but text; blank ones, which are refused, are left out.

    Raises:
        InvalidRequest: 400, there is something else in it.
    """
    blocks = []
    for number, part in enumerate(blocks_at(content, path)):
        if part["type"] not in _TEXTS:
            raise refused(f"{path}[{number}].type", "should be text")
        blocks += _text(part, f"{path}[{number}]")
    return blocks


def blocks_of(content: Any, path: str, dropped: set[str]) -> Blocks:
    """
    Return the blocks of a user's content, or of the result of a tool.

    Args:
        content: a text or parts.
        path: where it stands, for a refusal.
        dropped: gets the names of the members that are lost.

    Raises:
        InvalidRequest: 400, no block can carry a part, or it is not built as its type demands.
    """
    if isinstance(content, str):
        return [text_block(content)] if content.strip() else []
    blocks: Blocks = []
    for number, part in enumerate(blocks_at(content, path)):
        blocks += _blocks_of_part(part, f"{path}[{number}]", dropped)
    return blocks


def add_breakpoint(block: dict[str, Any], owner: dict[str, Any]) -> dict[str, Any]:
    """Return the block with the mark of what is to be cached, where its part or message has one."""
    if isinstance(control := owner.get("cache_control"), dict):
        block["cache_control"] = control
    elif isinstance(wanted := owner.get("prompt_cache_breakpoint"), dict):
        control = {"type": "ephemeral"}
        if isinstance(ttl := wanted.get("ttl"), str):
            control["ttl"] = _TTLS.get(ttl, ttl)
        block["cache_control"] = control
    return block


def _blocks_of_part(part: dict[str, Any], path: str, dropped: set[str]) -> Blocks:
    kind = part["type"]
    if kind in _TEXTS:
        return _text(part, path)
    if kind == "refusal":
        return _text({"text": part.get("refusal")}, path)
    if kind in _OWN:
        for block in blocks_in([[part]]):
            if (owner := owner_of_file_id(block)) is not None:
                place = path_to("file_id", owner, path, part) or path
                raise not_carried(place, "The id of a file", SEND_DATA)
        return [part]
    if kind in ("image_url", "input_image"):
        block = _image(part.get("image_url"), f"{path}.image_url", dropped)
    elif kind in ("file", "input_file"):
        held = object_at(part.get("file"), f"{path}.file") if kind == "file" else part
        block = _file(held, f"{path}.file" if kind == "file" else path)
    elif kind == "input_audio":
        raise not_carried(path, "Sound", "choose a model that takes sound")
    else:
        raise not_carried(path, f"Content of type '{kind[:64]}'", "leave it out")
    return [add_breakpoint(block, part)]


def _text(part: dict[str, Any], path: str) -> Blocks:
    text = text_at(part.get("text"), f"{path}.text")
    return [add_breakpoint(text_block(text), part)] if text.strip() else []


def _image(image: Any, path: str, dropped: set[str]) -> dict[str, Any]:
    if isinstance(image, dict):
        if image.get("detail") not in (None, "auto"):
            dropped.add("messages.detail")
        image, path = image.get("url"), f"{path}.url"
    url = text_at(image, path)
    if url.startswith("data:"):
        media_type, data = _data_of(url, path)
        if media_type not in _IMAGES:
            raise refused(path, f"an image should be one of: {', '.join(sorted(_IMAGES))}")
        return {"type": "image", "source": {"type": "base64", "media_type": media_type, "data": data}}
    if not url.startswith(("https://", "http://")):
        raise refused(path, "should be an http(s) link or a data: URL")
    return {"type": "image", "source": {"type": "url", "url": url}}


def _file(file: dict[str, Any], path: str) -> dict[str, Any]:
    if file.get("file_id"):
        raise not_carried(f"{path}.file_id", "The id of a file", SEND_DATA)
    path = f"{path}.file_data"
    media_type, data = _data_of(text_at(file.get("file_data"), path), path)
    if media_type in _IMAGES:
        return {"type": "image", "source": {"type": "base64", "media_type": media_type, "data": data}}
    if media_type == "application/pdf":
        source = {"type": "base64", "media_type": media_type, "data": data}
    elif media_type.startswith("text/"):
        source = {"type": "text", "media_type": "text/plain", "data": _decoded(data, path)}
    else:
        raise not_carried(path, f"A file of type '{media_type[:64]}'", "send a PDF, a text or an image")
    block: dict[str, Any] = {"type": "document", "source": source}
    if isinstance(name := file.get("filename"), str) and name.strip():
        block["title"] = name
    return block


def _data_of(url: str, path: str) -> tuple[str, str]:
    """Return the media type and the base64 of a data: URL; parameters of the type are left out."""
    head, comma, data = url.partition(",")
    kind, *parameters = head.removeprefix("data:").split(";")
    if not head.startswith("data:") or not comma or "base64" not in parameters:
        raise refused(path, "should be a data: URL with base64")
    kind = kind.strip().lower()
    return ("image/jpeg" if kind == "image/jpg" else kind), data


def _decoded(data: str, path: str) -> str:
    try:
        return base64.b64decode(data, validate=True).decode()
    except (binascii.Error, ValueError):
        raise refused(path, "should be the base64 of a text in UTF-8") from None
