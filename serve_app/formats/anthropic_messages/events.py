"""
The events of a message's stream: the one place that reads and writes them.

    message_start          the message, without content
    content_block_start    for each block, one after the other
      content_block_delta  a piece of it
    content_block_stop
    message_delta          why it ended, and the usage
    message_stop

Upstreams do not always build them as Anthropic does, so everything here takes any JSON object and reads what
it can.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any

import orjson

from serve_app.errors import InvalidRequest
from serve_app.formats.json_limits import check_shape
from serve_app.formats.json_objects import as_json, parsed
from serve_app.formats.sse import event, frames_in, spliced, with_member
from serve_app.pricing.reported_usage import message_usage
from serve_app.pricing.usage import Usage

START, STOP = "message_start", "message_stop"
BLOCK_START, BLOCK_DELTA, BLOCK_STOP = "content_block_start", "content_block_delta", "content_block_stop"
END = "message_delta"
PING = "ping"

# The member with the words, for each type of delta that the model writes word by word.
WORDS = {"text_delta": "text", "thinking_delta": "thinking", "input_json_delta": "partial_json"}

# A quote inside a JSON string is escaped, so these match members only, never what a model says.
# The text gives nothing back (`*+`), so a frame of megabytes is read once.
_SAID = re.compile(
    rb'"type"\s*:\s*"(?:text|thinking|input_json)_delta"\s*,\s*"(?:text|thinking|partial_json)"\s*:\s*'
    rb'"([^"\\]*+(?:\\.[^"\\]*+)*+)"'
)
_DELTAS = tuple(f'"{name}"'.encode() for name in WORDS)


def event_of(name: str, payload: Mapping[str, Any]) -> bytes:
    """Return the frame of an event; its type is the name, whatever the payload has."""
    return event(as_json({"type": name, **payload} | {"type": name}), name.encode())


def events_in(block: bytes) -> Iterator[dict[str, Any]]:
    """
    Yield the payload of every frame in a block; a frame without a JSON object is left out.

    A payload without a type gets the name of its frame.
    """
    for frame in frames_in(block):
        if frame.data and (payload := object_in(frame.json)) is not None:
            if not isinstance(payload.get("type"), str):
                payload["type"] = frame.name.decode("utf-8", "replace")
            yield payload


def object_in(data: bytes) -> dict[str, Any] | None:
    """Return the object in this JSON; None where there is none, or one too deep to be written again."""
    found = parsed(data)
    if found is None:
        return None
    try:
        check_shape(data, found)
    except InvalidRequest:
        return None
    return found


def message_in(body: bytes) -> dict[str, Any] | None:
    """Return the message that is an upstream's whole answer; None where it is something else."""
    found = object_in(body)
    return found if found is not None and isinstance(found.get("content"), list) else None


def delta_in(payload: Mapping[str, Any]) -> dict[str, Any]:
    """Return the delta of an event; empty where it has none."""
    delta = payload.get("delta")
    return delta if isinstance(delta, dict) else {}


def usage_in(payload: Mapping[str, Any]) -> dict[str, Any]:
    """Return the usage as an event reports it, in its message or beside its delta; empty without one."""
    message = payload.get("message")
    holder = message if isinstance(message, dict) else payload
    usage = holder.get("usage")
    return usage if isinstance(usage, dict) else {}


def merged_usage(known: Mapping[str, Any], reported: Mapping[str, Any]) -> dict[str, Any]:
    """
    Return the usage after one more report of it in the same stream.

    Reports are sums so far, and what one leaves out is as it was.
    """
    return {**known, **{name: value for name, value in reported.items() if value is not None}}


def usage_of_message(usage: Mapping[str, Any] | None) -> Usage | None:
    """Return the usage of a message, or of a stream whose reports are merged; None where none is told."""
    return message_usage(usage)


def chars_said(block: bytes) -> int:
    """
    Return how much a block of frames says, in characters: text, thoughts and arguments of calls.

    It counts in the bytes, without reading the JSON: this runs for every block of every stream. Where the
    members of a delta do not stand in the usual order, it reads.
    """
    said = _SAID.findall(block)
    if len(said) == sum(map(block.count, _DELTAS)):
        return sum(map(_length, said))
    return sum(map(_chars_in, events_in(block)))


def with_members(block: bytes, members: Mapping[str, object]) -> bytes:
    """
    Return the first block of a stream with members added to its message.

    Clients that gather the events into a message find them where a whole answer has them. Without a start in
    the block, or with a start that holds more than a message, they go into the first frame.
    """
    if not members:
        return block
    for frame in frames_in(block):
        payload = parsed(frame.json) if frame.data else None
        if payload is not None and payload.get("type") == START:
            if list(payload)[-1] != "message" or not isinstance(payload["message"], dict):
                break
            data = frame.json
            end = data.rindex(b"}")
            message = data[:end]
            for name, value in members.items():
                message = spliced(message, name, value)
            return block.replace(frame.raw + b"\n\n", event(message + data[end:], START.encode()), 1)
    for name, value in members.items():
        block = with_member(block, name, value)
    return block


def _chars_in(payload: Mapping[str, Any]) -> int:
    delta = delta_in(payload)
    kind = delta.get("type")
    words = delta.get(WORDS.get(kind, "")) if isinstance(kind, str) else None
    return len(words) if isinstance(words, str) else 0


def _length(text: bytes) -> int:
    """Return the length of the inside of a JSON string, in characters."""
    if text.isascii() and b"\\" not in text:
        return len(text)
    try:
        return len(orjson.loads(b'"%b"' % text))
    except orjson.JSONDecodeError:  # half a character, or half a pair
        return len(text)
