"""
The chunks of a chat completion's stream: the one place that reads and writes them.

Upstreams do not always build them as OpenAI does, so everything here takes any JSON object and reads what it
can.
"""

import re
from collections.abc import Iterator
from typing import Any

import orjson

from serve_app.formats.json_objects import as_json, parsed
from serve_app.formats.sse import data_in, event
from serve_app.pricing.reported_usage import usage_of
from serve_app.pricing.usage import Usage

DONE = event(b"[DONE]")

# A quote inside a JSON string is escaped, so this matches members only, never what a model says.
# It gives nothing back (`*+`), so a frame of megabytes is read once.
_SAID = re.compile(
    rb'"(content|reasoning_content|reasoning|arguments)"\s*:\s*' rb'"([^"\\]*+(?:\\.[^"\\]*+)*+)"'
)
_NO_USAGE = re.compile(rb',\s*"usage"\s*:\s*null|"usage"\s*:\s*null\s*,?\s*')


def frame_of(chunk: Any) -> bytes:
    """Return the frame with this chunk in it."""
    return event(as_json(chunk))


def chunks_in(block: bytes) -> Iterator[dict[str, Any]]:
    """Yield the chunk of every frame in a block; a frame without a JSON object is left out."""
    for data in data_in(block):
        if (chunk := parsed(data)) is not None:
            yield chunk


def choices_in(chunk: dict[str, Any] | None) -> list[dict[str, Any]]:
    """Return the choices of a chunk, as far as they are objects."""
    choices = (chunk or {}).get("choices")
    return [c for c in choices if isinstance(c, dict)] if isinstance(choices, list) else []


def index_of(choice: dict[str, Any]) -> int:
    """Return which of the answers this choice belongs to."""
    index = choice.get("index")
    return index if isinstance(index, int) else 0


def text_in(chunk: dict[str, Any]) -> str:
    """Return the text for the caller in a chunk; empty where the answer only begins, ends, or is counted."""
    return "".join(map(text_of, choices_in(chunk)))


def text_of(choice: dict[str, Any]) -> str:
    """Return the text for the caller in one choice of a chunk."""
    text = _delta_of(choice).get("content")
    return text if isinstance(text, str) else ""


def usage_in(chunk: dict[str, Any]) -> Usage | None:
    """Return the usage that a chunk reports; None where it reports none."""
    reported = chunk.get("usage")
    return usage_of(reported, chunk.get("service_tier")) if isinstance(reported, dict) else None


def usage_chunk(first: dict[str, Any], usage: Usage) -> dict[str, Any]:
    """Return a last chunk with the usage, for an answer that began with the chunk `first`."""
    counts = {
        "prompt_tokens": usage.input_tokens,
        "completion_tokens": usage.output_tokens,
        "total_tokens": usage.total_tokens,
    }
    envelope: dict[str, Any] = {name: first[name] for name in ("id", "created", "model") if name in first}
    return {**envelope, "object": "chat.completion.chunk", "choices": [], "usage": counts}


def chars_said(block: bytes) -> int:
    """
    Return how much a block of frames says, in characters: text, thoughts and arguments of calls.

    It counts in the bytes, without reading the JSON: this runs for every block of every stream, and the rest
    of the gateway passes such a block on as it is. Some upstreams send a thought under both of its names; it
    counts once.
    """
    said = thought = again = 0
    for name, text in _SAID.findall(block, max(0, block.find(b'"delta"'))):  # nothing is said before
        if name == b"reasoning":
            thought += _length(text)
        elif name == b"reasoning_content":
            again += _length(text)
        else:
            said += _length(text)
    return said + max(thought, again)


def says_something(block: bytes) -> bool:
    """Return whether there is more in a block than that an answer begins: a word, a tool call, an end."""
    return any(chunk is None or speaks(chunk) for chunk in map(parsed, data_in(block)))


def speaks(chunk: Any) -> bool:
    """As `says_something`, of one chunk; a caller is shown what is not understood here."""
    if isinstance(chunk, dict) and chunk.get("choices") is None:
        return False  # something beside the answer, or in its place
    choices = chunk["choices"] if isinstance(chunk, dict) else None
    if not isinstance(choices, list) or not choices:
        return True
    return any(
        choice.get("finish_reason")
        or any(value for name, value in _delta_of(choice).items() if name != "role")
        for choice in choices
        if isinstance(choice, dict)
    )


def is_plain_text(choice: dict[str, Any]) -> bool:
    """Return whether a choice is the first answer's, with nothing but text in it."""
    if index_of(choice) != 0:
        return False
    for name, value in _delta_of(choice).items():
        if value and name != "role" and not (name == "content" and isinstance(value, str)):
            return False
    return True


def is_chunk(chunk: dict[str, Any]) -> bool:
    """Return whether an object is built as a chunk is; callers could not read another one."""
    choices = chunk.get("choices")
    if choices is None:
        return True
    return isinstance(choices, list) and all(
        isinstance(choice, dict)
        and isinstance(delta := choice.get("delta") or {}, dict)
        and isinstance(calls := delta.get("tool_calls") or [], list)
        and all(isinstance(call, dict) for call in calls)
        for choice in choices
    )


def is_mere_text(chunk: dict[str, Any] | None) -> bool:
    """Return whether a chunk ends nothing, has no usage and no error, and begins no tool call."""
    if chunk is None or "usage" in chunk or "error" in chunk:
        return False
    choices = chunk.get("choices")
    if not choices or type(choices) is not list:
        return False
    for choice in choices:
        if type(choice) is not dict or choice.get("finish_reason") or "error" in choice:
            return False
        delta = choice.get("delta")
        if delta and (type(delta) is not dict or ("tool_calls" in delta and _begins_call(delta))):
            return False
    return True


def without_empty_usage(data: bytes) -> bytes:
    """Return a chunk's JSON without a usage that is null, as nearly all chunks of a stream have it."""
    for written in (b',"usage":null', b', "usage": null'):
        bare = data.replace(written, b"", 1)
        if len(bare) < len(data):
            return bare
    return _NO_USAGE.sub(b"", data)


def _delta_of(choice: dict[str, Any]) -> dict[str, Any]:
    delta = choice.get("delta")
    return delta if isinstance(delta, dict) else {}


def _begins_call(delta: dict[str, Any]) -> bool:
    """Return whether there is a call with an id, or a piece of one without a number."""
    calls = delta["tool_calls"]
    if type(calls) is not list:
        return calls is not None
    return any(type(c) is not dict or type(c.get("index")) is not int or c.get("id") for c in calls)


def _length(text: bytes) -> int:
    """Return the length of the inside of a JSON string, in characters."""
    if text.isascii() and b"\\" not in text:
        return len(text)
    try:
        return len(orjson.loads(b'"%b"' % text))
    except orjson.JSONDecodeError:  # half a character, or half a pair
        return len(text)
