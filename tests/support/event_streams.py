"""Streams for tests of formats: frames written from payloads, and payloads read back."""

from collections.abc import Iterable
from typing import Any

import orjson

from serve_app.formats.sse import event, frames_in
from serve_app.formats.translation import StreamTranslation


def frame(payload: Any) -> bytes:
    """Return a frame without a name."""
    return event(orjson.dumps(payload))


def named_frame(payload: dict[str, Any]) -> bytes:
    """Return a frame whose name is the type of its payload."""
    return event(orjson.dumps(payload), payload["type"].encode())


def chat_chunk(delta: dict[str, Any], finish_reason: str | None = None, **members: Any) -> bytes:
    """Return the frame of a chunk with one choice."""
    choice = {"index": 0, "delta": delta, "finish_reason": finish_reason}
    return frame({"id": "chatcmpl-1", "model": "upstream", "choices": [choice], **members})


def translated(stream: StreamTranslation, frames: Iterable[bytes]) -> bytes:
    """Return everything that a translation makes of these frames, its end included."""
    return b"".join([*map(stream.feed, frames), stream.end()])


def payloads(written: bytes) -> list[dict[str, Any]]:
    """Return the payloads of the frames; a frame's name must be the type of its payload, if it has one."""
    found = []
    for each in frames_in(written):
        payload = orjson.loads(each.data)
        assert each.name.decode() in ("", payload.get("type"))
        found.append(payload)
    return found
