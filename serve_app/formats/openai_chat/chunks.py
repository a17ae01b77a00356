"""Blocks of whole SSE frames, read as the chunks that are in them."""

from collections.abc import Iterator
from typing import Any

import orjson


def chunks_in(block: bytes) -> Iterator[dict[str, Any]]:
    """The `chat.completion.chunk` of every frame."""
    for frame in block.split(b"\n\n"):
        if frame.startswith(b"data: "):  # else a comment
            yield orjson.loads(frame.removeprefix(b"data: "))


def text_in(chunk: dict[str, Any]) -> str:
    """What the model says in this chunk; empty where it only begins, ends, or counts."""
    return "".join((choice.get("delta") or {}).get("content") or "" for choice in chunk.get("choices", ()))
