"""
Write one Anthropic message, as a whole or as the events of a stream.

What is written comes in order: blocks do not overlap, so the next one closes the last one, and each has the
number of its place in the content.
"""

from typing import Any, Protocol

import orjson

from serve_app.formats.anthropic_messages.events import event_of
from serve_app.formats.json_objects import as_json
from serve_app.formats.stop_reasons import Stop
from serve_app.formats.tool_arguments import arguments_object

_TEXT = "text"
_THINKING = "thinking"
_CALL = "tool_use"


class MessageWriter(Protocol):
    """Writes one message. Texts are pieces: those of one kind that follow one another are one block."""

    def text(self, text: str) -> None:
        """Write text for the caller."""

    def thinking(self, text: str) -> None:
        """Write thoughts."""

    def signature(self, signature: str) -> None:
        """Sign the thoughts before; without any, those that the signature itself stands for."""

    def redacted(self, data: str) -> None:
        """Write thoughts that only their vendor can read."""

    def call(self, call_id: str, name: str) -> None:
        """Begin the call of a tool."""

    def arguments(self, text: str) -> None:
        """Write a piece of the arguments of the call that was begun last."""


class MessageEvents:
    """The events of one message, as `MessageWriter` asks."""

    def __init__(self, message_id: str, model: str) -> None:
        self._frames: list[bytes] = []
        self._place = -1
        self._open: str | None = None
        self._head = b""  # of a delta of the block that is open, up to its text
        self._write("message_start", {"message": _envelope(message_id, model)})

    def text(self, text: str) -> None:
        if self._open != _TEXT:
            self._begin(_TEXT, {"type": "text", "text": ""}, b'{"type":"text_delta","text":')
        self._piece(text)

    def thinking(self, text: str) -> None:
        if self._open != _THINKING:
            block = {"type": "thinking", "thinking": "", "signature": ""}
            self._begin(_THINKING, block, b'{"type":"thinking_delta","thinking":')
        self._piece(text)

    def signature(self, signature: str) -> None:
        if self._open != _THINKING:
            self.thinking("")
        delta = {"type": "signature_delta", "signature": signature}
        self._write("content_block_delta", {"index": self._place, "delta": delta})
        self._close()

    def redacted(self, data: str) -> None:
        self._begin("redacted_thinking", {"type": "redacted_thinking", "data": data}, b"")
        self._close()

    def call(self, call_id: str, name: str) -> None:
        block = {"type": "tool_use", "id": call_id, "name": name, "input": {}}
        self._begin(_CALL, block, b'{"type":"input_json_delta","partial_json":')

    def arguments(self, text: str) -> None:
        self._piece(text)

    def finish(self, stop: Stop, usage: dict[str, Any]) -> None:
        """End the message."""
        self._close()
        self._write("message_delta", {"delta": _stop_members(stop), "usage": usage})
        self._write("message_stop", {})

    def take(self) -> bytes:
        """Return what was written since the last call."""
        written = b"".join(self._frames)
        self._frames.clear()
        return written

    def _begin(self, kind: str, block: dict[str, Any], delta: bytes) -> None:
        self._close()
        self._place += 1
        self._open = kind
        self._write("content_block_start", {"index": self._place, "content_block": block})
        opened = b'event: content_block_delta\ndata: {"type":"content_block_delta","index":%d,"delta":'
        self._head = opened % self._place + delta

    def _close(self) -> None:
        if self._open is not None:
            self._open = None
            self._write("content_block_stop", {"index": self._place})

    def _piece(self, text: str) -> None:
        if text:
            self._frames.append(self._head + _json_text(text) + b"}}\n\n")

    def _write(self, name: str, members: dict[str, Any]) -> None:
        self._frames.append(event_of(name, members))


class WholeMessage:
    """One message as a whole, as `MessageWriter` asks."""

    def __init__(self, message_id: str, model: str) -> None:
        self._message = _envelope(message_id, model)
        self._blocks: list[dict[str, Any]] = []
        self._pieces: list[str] = []  # of the last block
        self._open: str | None = None

    def text(self, text: str) -> None:
        if self._open != _TEXT:
            self._begin(_TEXT, {"type": "text", "text": ""})
        self._pieces.append(text)

    def thinking(self, text: str) -> None:
        if self._open != _THINKING:
            self._begin(_THINKING, {"type": "thinking", "thinking": "", "signature": ""})
        self._pieces.append(text)

    def signature(self, signature: str) -> None:
        if self._open != _THINKING:
            self.thinking("")
        self._blocks[-1]["signature"] = signature
        self._close()

    def redacted(self, data: str) -> None:
        self._begin(None, {"type": "redacted_thinking", "data": data})

    def call(self, call_id: str, name: str) -> None:
        self._begin(_CALL, {"type": "tool_use", "id": call_id, "name": name, "input": {}})

    def arguments(self, text: str) -> None:
        self._pieces.append(text)

    def finish(self, stop: Stop, usage: dict[str, Any]) -> bytes:
        """End the message and return it."""
        self._close()
        return as_json({**self._message, "content": self._blocks, **_stop_members(stop), "usage": usage})

    def _begin(self, kind: str | None, block: dict[str, Any]) -> None:
        self._close()
        self._blocks.append(block)
        self._open = kind

    def _close(self) -> None:
        if self._open is not None:
            said = "".join(self._pieces)
            is_call = self._open == _CALL
            self._blocks[-1]["input" if is_call else self._open] = arguments_object(said) if is_call else said
            self._open = None
            self._pieces = []


def _envelope(message_id: str, model: str) -> dict[str, Any]:
    return {
        "id": message_id,
        "type": "message",
        "role": "assistant",
        "model": model,
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "usage": {"input_tokens": 0, "output_tokens": 0},
    }


def _stop_members(stop: Stop) -> dict[str, Any]:
    members: dict[str, Any] = {"stop_reason": stop.reason, "stop_sequence": stop.sequence}
    return members if stop.details is None else {**members, "stop_details": stop.details}


def _json_text(text: str) -> bytes:
    try:
        return orjson.dumps(text)
    except TypeError:  # half of a pair
        return as_json(text)
