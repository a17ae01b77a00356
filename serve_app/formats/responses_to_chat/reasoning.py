"""
A model's reasoning: an item of Responses, and what a chat's assistant message holds of it.

A chat has the text in `reasoning_content`; `thinking_blocks` are the blocks with the signatures by which the
vendor that wrote them knows them again. The item carries those in `encrypted_content`, behind a prefix of the
gateway's own. What another vendor encrypted is left out: nobody else can read it.
"""

import base64
import binascii
from collections.abc import Mapping
from typing import Any

import orjson

from serve_app.formats.json_objects import as_json

PREFIX = "gw1."
_TYPES = ("thinking", "redacted_thinking")


def sealed(blocks: list[Any]) -> str:
    """Return thinking blocks as the `encrypted_content` of an item."""
    return PREFIX + base64.urlsafe_b64encode(as_json(blocks)).decode().rstrip("=")


def unsealed(content: object) -> list[dict[str, Any]]:
    """Return the thinking blocks in an `encrypted_content`; empty where it is not the gateway's own."""
    if not isinstance(content, str) or not content.startswith(PREFIX):
        return []
    text = content[len(PREFIX) :]
    try:
        blocks = orjson.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
    except (binascii.Error, ValueError):
        return []
    return _plain(blocks)


def text_of_item(item: Mapping[str, Any]) -> str:
    """Return the text of a reasoning item: what the model thought, else the summary of it."""
    for name in ("content", "summary"):
        parts = item.get(name) or ()
        texts = [part["text"] for part in parts if isinstance(part.get("text"), str) and part["text"]]
        if texts:
            return "\n\n".join(texts)
    return ""


def reasoning_in(holder: Mapping[str, Any]) -> str:
    """Return the reasoning's text in a chat's message or delta; some upstreams have it under both names."""
    for name in ("reasoning_content", "reasoning"):
        text = holder.get(name)
        if isinstance(text, str) and text:
            return text
    return ""


def blocks_in(holder: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the thinking blocks in a chat's message or delta."""
    return _plain(holder.get("thinking_blocks"))


def _plain(blocks: Any) -> list[dict[str, Any]]:
    """Return the thinking blocks in a list, with their texts alone: they have no other members."""
    return [
        {name: value for name, value in block.items() if isinstance(value, str)}
        for block in (blocks if isinstance(blocks, list) else ())
        if isinstance(block, dict) and block.get("type") in _TYPES
    ]
