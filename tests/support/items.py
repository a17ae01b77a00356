"""What a provider's stream says, read back."""

import json
from collections.abc import Sequence
from typing import Any

from serve_app.providers.base import Call, Provider, StreamItem


async def items_of(provider: Provider, asked: Call) -> list[StreamItem]:
    """Every item of one stream."""
    return [item async for item in provider.chat_stream(asked)]


def chunks_in(items: Sequence[StreamItem]) -> list[dict[str, Any]]:
    """The chunks in its frames."""
    frames = b"".join(item for item in items if isinstance(item, bytes)).split(b"\n\n")
    return [json.loads(frame.removeprefix(b"data: ")) for frame in frames if frame]


def text_in(items: Sequence[StreamItem]) -> str:
    """The text that they add up to."""
    deltas = [choice["delta"] for chunk in chunks_in(items) for choice in chunk["choices"]]
    return "".join(delta.get("content") or "" for delta in deltas)
