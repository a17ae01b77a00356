"""A message in Anthropic's format as a stream and as a whole."""

from typing import Any

import orjson

from serve_app.formats.sse import event

START: dict[str, Any] = {
    "type": "message_start",
    "message": {
        "id": "msg_1", "type": "message", "role": "assistant", "model": "m", "content": [],
        "stop_reason": None, "stop_sequence": None,
        "usage": {
            "input_tokens": 12, "cache_read_input_tokens": 300, "cache_creation_input_tokens": 20,
            "output_tokens": 1,
        },
    },
}  # fmt: skip


def block_start(index: int, **block: Any) -> dict[str, Any]:
    return {"type": "content_block_start", "index": index, "content_block": block}


def delta(index: int, kind: str, **words: Any) -> dict[str, Any]:
    return {"type": "content_block_delta", "index": index, "delta": {"type": kind, **words}}


def block_stop(index: int) -> dict[str, Any]:
    return {"type": "content_block_stop", "index": index}


def end(reason: str | None = "end_turn", **usage: Any) -> dict[str, Any]:
    told = {"stop_reason": reason, "stop_sequence": None}
    return {"type": "message_delta", "delta": told, "usage": usage}


STOP: dict[str, Any] = {"type": "message_stop"}

# Thinking, text, and two calls at once, one of them without arguments.
EVENTS: list[dict[str, Any]] = [
    START,
    block_start(0, type="thinking", thinking="", signature=""),
    delta(0, "thinking_delta", thinking="Two cities."),
    delta(0, "signature_delta", signature="c2ln"),
    block_stop(0),
    block_start(1, type="text", text=""),
    delta(1, "text_delta", text="Check"),
    delta(1, "text_delta", text="ing."),
    block_stop(1),
    block_start(2, type="tool_use", id="toolu_a", name="get", input={}),
    delta(2, "input_json_delta", partial_json='{"c":'),
    delta(2, "input_json_delta", partial_json='"A"}'),
    block_stop(2),
    block_start(3, type="tool_use", id="toolu_b", name="now", input={}),
    block_stop(3),
    end("tool_use", output_tokens=40, output_tokens_details={"thinking_tokens": 9}),
    STOP,
]

MESSAGE: dict[str, Any] = {
    "id": "msg_1", "type": "message", "role": "assistant", "model": "m",
    "content": [
        {"type": "thinking", "thinking": "Two cities.", "signature": "c2ln"},
        {"type": "text", "text": "Checking."},
        {"type": "tool_use", "id": "toolu_a", "name": "get", "input": {"c": "A"}},
        {"type": "tool_use", "id": "toolu_b", "name": "now", "input": {}},
    ],
    "stop_reason": "tool_use", "stop_sequence": None,
    "usage": {
        "input_tokens": 12, "cache_read_input_tokens": 300, "cache_creation_input_tokens": 20,
        "output_tokens": 40, "output_tokens_details": {"thinking_tokens": 9},
    },
}  # fmt: skip


def stream_of(*payloads: dict[str, Any]) -> bytes:
    """The frames of these events, as Anthropic writes them."""
    return b"".join(event(orjson.dumps(payload), payload["type"].encode()) for payload in payloads)
