"""
The events of a Responses stream: the one place that reads and writes them.

Upstreams do not always build them as OpenAI does, so what is read here may be any JSON object.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import orjson

from serve_app.formats.json_objects import as_json, parsed
from serve_app.formats.sse import event, frames_in, plain_data, whole_frames
from serve_app.pricing.reported_usage import usage_of
from serve_app.pricing.usage import Usage

TERMINAL = frozenset({"response.completed", "response.incomplete", "response.failed"})
TEXT_DELTA = "response.output_text.delta"

# A quote inside a JSON string is escaped, so this matches members only, never what a model says.
# It gives nothing back (`*+`), so a frame of megabytes is read once.
_DELTA = re.compile(rb'"delta"\s*:\s*"([^"\\]*+(?:\\.[^"\\]*+)*+)"')
_NUMBER = re.compile(rb'"sequence_number"\s*:\s*(\d{1,15})')


def event_of(payload: Mapping[str, Any]) -> bytes:
    """Return the frame of an event; its name is the payload's `type`."""
    return event(as_json(payload), str(payload.get("type")).encode("ascii", "replace"))


def events_in(block: bytes) -> Iterator[dict[str, Any]]:
    """Yield the payload of every event in a block; a frame without a JSON object is left out."""
    if (plain := plain_data(block)) is not None:
        yield from filter(None, map(parsed, plain))
        return
    for frame in frames_in(block):
        if frame.data and (payload := parsed(frame.json)) is not None:
            yield payload


def type_in(payload: Mapping[str, Any]) -> str:
    """Return the type of an event; empty without one."""
    kind = payload.get("type")
    return kind if isinstance(kind, str) else ""


def response_in(payload: Mapping[str, Any]) -> dict[str, Any]:
    """Return the response that an event carries; empty without one."""
    response = payload.get("response")
    return response if isinstance(response, dict) else {}


def text_in(payload: Mapping[str, Any]) -> str:
    """Return the text for the caller in an event."""
    delta = payload.get("delta") if payload.get("type") == TEXT_DELTA else ""
    return delta if isinstance(delta, str) else ""


def usage_in(response: Mapping[str, Any]) -> Usage | None:
    """Return the usage that a response reports, with the vendor's searches; None where it reports none."""
    reported = response.get("usage")
    if not isinstance(reported, dict):
        return None
    usage = usage_of(reported, response.get("service_tier"))
    searches = _searches(response)
    return usage._replace(searches=searches) if usage and searches and not usage.searches else usage


def usage_told(usage: Usage) -> dict[str, Any]:
    """Return a usage as a response reports it: the sums include the details."""
    return {
        "input_tokens": usage.input_tokens,
        "input_tokens_details": {
            "cached_tokens": usage.cached_read,
            "cache_write_tokens": usage.cache_write_5m + usage.cache_write_1h,
        },
        "output_tokens": usage.output_tokens,
        "output_tokens_details": {"reasoning_tokens": usage.reasoning},
        "total_tokens": usage.total_tokens,
    }


def chars_said(block: bytes) -> int:
    """
    Return how much a block of events says, in characters: text, thoughts and arguments of calls.

    It counts deltas in the bytes, without reading the JSON; what `.done` events repeat does not count.
    """
    if b'.delta"' not in block:
        return 0
    return sum(map(_length, _DELTA.findall(block)))


def next_number(block: bytes) -> int:
    """Return the sequence number that follows the last one in a block; 0 where it has none."""
    numbers = _NUMBER.findall(block)
    return int(numbers[-1]) + 1 if numbers else 0


def whole_of(stream: bytes) -> dict[str, Any] | None:
    """
    Return the response that a whole stream makes up; None where it has no last event.

    The last event has the whole response. Where its output is empty, as some servers leave it, the output is
    what the events before have said.
    """
    done: dict[int, Any] = {}
    for frame in whole_frames(stream):
        payload = parsed(frame.json) if frame.data else None
        if payload is None:
            continue
        kind = type_in(payload)
        if kind == "response.output_item.done" and isinstance(payload.get("item"), dict):
            index = payload.get("output_index")
            done[index if type(index) is int else len(done)] = payload["item"]
        elif kind in TERMINAL and (response := response_in(payload)):
            if not response.get("output") and done:
                return {**response, "output": [item for _, item in sorted(done.items())]}
            return response
    return None


def frames_of(response: Mapping[str, Any]) -> bytes:
    """Return the stream that says what this whole response says."""
    return b"".join(
        event_of({**payload, "sequence_number": number})
        for number, payload in enumerate(_events_of(response))
    )


def _events_of(response: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    begun = {**response, "status": "in_progress", "output": [], "usage": None}
    yield {"type": "response.created", "response": begun}
    yield {"type": "response.in_progress", "response": begun}
    output = response.get("output")
    for index, item in enumerate(output if isinstance(output, list) else ()):
        if isinstance(item, dict):
            yield from _events_of_item(item, index)
    status = response.get("status")
    end = f"response.{status}" if f"response.{status}" in TERMINAL else "response.completed"
    yield {"type": end, "response": dict(response)}


def _events_of_item(item: dict[str, Any], index: int) -> Iterator[dict[str, Any]]:
    place = {"item_id": item.get("id"), "output_index": index}
    is_open = {"status": "in_progress"} if "status" in item else {}
    emptied = {name: type(item[name])() for name in _FILLED if isinstance(item.get(name), str | list)}
    yield {
        "type": "response.output_item.added",
        "output_index": index,
        "item": {**item, **emptied, **is_open},
    }
    for part_index, part in enumerate(_objects(item.get("summary"))):
        yield from _events_of_summary(part, {**place, "summary_index": part_index})
    for part_index, part in enumerate(_objects(item.get("content"))):
        yield from _events_of_part(part, {**place, "content_index": part_index})
    for name, prefix in _CALL_DELTAS.items():
        if item.get("type") in _CALLS and isinstance(item.get(name), str):
            yield {"type": f"{prefix}.delta", **place, "delta": item[name]}
            yield {"type": f"{prefix}.done", **place, name: item[name]}
    yield {"type": "response.output_item.done", "output_index": index, "item": item}


# What an item does not have yet when it begins.
_FILLED = ("content", "summary", "arguments", "input")
_CALLS = ("function_call", "custom_tool_call")
_CALL_DELTAS = {
    "arguments": "response.function_call_arguments",
    "input": "response.custom_tool_call_input",
}
# The member that holds the text of a part, and how the events of the text are called.
PARTS = {
    "output_text": ("text", "response.output_text"),
    "refusal": ("refusal", "response.refusal"),
    "reasoning_text": ("text", "response.reasoning_text"),
}


def _events_of_summary(part: dict[str, Any], place: dict[str, Any]) -> Iterator[dict[str, Any]]:
    text = part.get("text")
    yield {"type": "response.reasoning_summary_part.added", **place, "part": {**part, "text": ""}}
    yield {"type": "response.reasoning_summary_text.delta", **place, "delta": text}
    yield {"type": "response.reasoning_summary_text.done", **place, "text": text}
    yield {"type": "response.reasoning_summary_part.done", **place, "part": part}


def _events_of_part(part: dict[str, Any], place: dict[str, Any]) -> Iterator[dict[str, Any]]:
    name, prefix = PARTS.get(str(part.get("type")), ("", ""))
    if not isinstance(part.get(name), str):
        return
    is_text = prefix == "response.output_text"
    more = {"logprobs": part.get("logprobs") or []} if is_text else {}
    has_part_events = prefix != "response.reasoning_text"
    if has_part_events:
        yield {"type": "response.content_part.added", **place, "part": {**part, name: ""}}
    yield {"type": f"{prefix}.delta", **place, "delta": part[name], **more}
    yield {"type": f"{prefix}.done", **place, name: part[name], **more}
    if has_part_events:
        yield {"type": "response.content_part.done", **place, "part": part}


def _objects(value: Any) -> Iterable[dict[str, Any]]:
    return [part for part in value if isinstance(part, dict)] if isinstance(value, list) else ()


def _searches(response: Mapping[str, Any]) -> int:
    tools = response.get("tool_usage")
    search = tools.get("web_search") if isinstance(tools, dict) else None
    count = search.get("num_requests") if isinstance(search, dict) else None
    return count if type(count) is int and 0 < count < 10**6 else 0


def _length(text: bytes) -> int:
    """Return the length of the inside of a JSON string, in characters."""
    if b"\\" not in text and text.isascii():
        return len(text)
    try:
        return len(orjson.loads(b'"%b"' % text))
    except orjson.JSONDecodeError:  # half a character, or half a pair
        return len(text)
