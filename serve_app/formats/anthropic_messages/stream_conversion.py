"""
A whole message made of a stream's events, and a stream made of a whole message.

For upstreams that send the other than was asked for, and for translations of a whole answer.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from serve_app.formats.anthropic_messages.events import (
    BLOCK_DELTA,
    BLOCK_START,
    BLOCK_STOP,
    END,
    START,
    STOP,
    WORDS,
    delta_in,
    event_of,
    merged_usage,
    usage_in,
)
from serve_app.formats.json_objects import as_json
from serve_app.formats.tool_arguments import arguments_object

# What a stream tells at its end: in the delta, and beside it.
_TOLD_IN_DELTA = ("stop_reason", "stop_sequence", "stop_details", "container")
_TOLD_BESIDE = ("context_management",)
# The block that a delta is a piece of, where nothing said so before it.
_BLOCK_OF = {
    "text_delta": "text",
    "citations_delta": "text",
    "thinking_delta": "thinking",
    "signature_delta": "thinking",
    "input_json_delta": "tool_use",
}


# The member of a block that a delta adds words to, by the delta's type. The words of an input are its JSON.
_INPUT = "input"
_GROWING = {"text_delta": "text", "thinking_delta": "thinking", "input_json_delta": _INPUT}


class MessageAccumulator:
    """
    Gathers the events of one stream into the message that they tell.

    Fields:
        usage: the usage so far, as the upstream reports it.
    """

    def __init__(self) -> None:
        self.usage: dict[str, Any] = {}
        self._message: dict[str, Any] = {}
        self._has_begun = False
        self._blocks: dict[int, dict[str, Any]] = {}
        self._words: dict[tuple[int, str], list[str]] = {}
        self._last = -1

    def add(self, payload: Mapping[str, Any]) -> None:
        """Take in one event; events of other types change nothing."""
        match payload.get("type"):
            case "message_start":
                self._begin(payload.get("message"))
                self.usage = merged_usage(self.usage, usage_in(payload))
            case "content_block_start":
                block = payload.get("content_block")
                self._last = _index_in(payload, self._last + 1)
                self._blocks[self._last] = dict(block) if isinstance(block, dict) else {}
            case "content_block_delta":
                self._last = _index_in(payload, max(0, self._last))
                self._add_delta(self._last, delta_in(payload))
            case "message_delta":
                self._message |= {n: v for n, v in payload.items() if n not in ("type", "delta", "usage")}
                self._message |= delta_in(payload)
                self.usage = merged_usage(self.usage, usage_in(payload))

    def message(self) -> dict[str, Any]:
        """Return the message as far as it is told."""
        usual = {"id": "", "type": "message", "role": "assistant", "model": "", "content": []}
        end = {"stop_reason": None, "stop_sequence": None}
        content = [self._whole(index) for index in sorted(self._blocks)]
        told = {"type": "message", "role": "assistant", "content": content, "usage": self.usage}
        return {**usual, **end, **self._message, **told}

    def _begin(self, message: Any) -> None:
        if not isinstance(message, dict) or self._has_begun:
            return
        self._has_begun = True
        self._message = {**message, **self._message}
        content = message.get("content")
        for block in content if isinstance(content, list) else ():
            if isinstance(block, dict):
                self._last += 1
                self._blocks.setdefault(self._last, dict(block))

    def _add_delta(self, index: int, delta: Mapping[str, Any]) -> None:
        kind = delta.get("type")
        if not isinstance(kind, str):
            return
        if index not in self._blocks:
            if kind not in _BLOCK_OF:
                return
            self._blocks[index] = {"type": _BLOCK_OF[kind]}
        block = self._blocks[index]
        if (member := _GROWING.get(kind)) is not None:
            if isinstance(words := delta.get(WORDS[kind]), str):
                self._words.setdefault((index, member), []).append(words)
        elif kind == "citations_delta":
            if not isinstance(cited := block.get("citations"), list):
                cited = block["citations"] = []
            cited.append(delta.get("citation"))
        else:
            block |= {name: value for name, value in delta.items() if name != "type"}

    def _whole(self, index: int) -> dict[str, Any]:
        """Return a block with its words; an input that is no object is kept as its text."""
        block = dict(self._blocks[index])
        for member in ("text", "thinking"):
            if words := self._words.get((index, member)):
                begun = block.get(member)
                block[member] = "".join([begun if isinstance(begun, str) else "", *words])
        if text := "".join(self._words.get((index, _INPUT), ())):
            block[_INPUT] = arguments_object(text)
        return block


def answer_of(events: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the message that the events of a whole stream tell."""
    gathered = MessageAccumulator()
    for payload in events:
        gathered.add(payload)
    return gathered.message()


def events_of(answer: Mapping[str, Any]) -> bytes:
    """
    Return the frames of a stream that tells this message.

    Args:
        answer: a message as `message_in` or `answer_of` returns it.
    """
    usage = answer.get("usage")
    usage = usage if isinstance(usage, dict) else {}
    last = {*_TOLD_IN_DELTA, *_TOLD_BESIDE, "content", "usage"}
    head = {name: value for name, value in answer.items() if name not in last}
    begun = {**head, "content": [], "stop_reason": None, "stop_sequence": None, "usage": usage}
    frames = [event_of(START, {"message": begun})]
    content = answer.get("content")
    blocks = [block for block in content if isinstance(block, dict)] if isinstance(content, list) else []
    for index, block in enumerate(blocks):
        frames += _frames_of(index, block)
    end = {"stop_reason": None, "stop_sequence": None}
    end |= {name: answer[name] for name in _TOLD_IN_DELTA if name in answer}
    beside = {name: answer[name] for name in _TOLD_BESIDE if name in answer}
    frames += [event_of(END, {"delta": end, **beside, "usage": usage}), event_of(STOP, {})]
    return b"".join(frames)


def _frames_of(index: int, block: dict[str, Any]) -> list[bytes]:
    begun, deltas = _taken_apart(block)
    return [
        event_of(BLOCK_START, {"index": index, "content_block": begun}),
        *(event_of(BLOCK_DELTA, {"index": index, "delta": delta}) for delta in deltas),
        event_of(BLOCK_STOP, {"index": index}),
    ]


def _taken_apart(block: dict[str, Any]) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Return what a block begins with, and the deltas that make it whole."""
    match block:
        case {"type": "text", "text": str(text)}:
            cited = block.get("citations")
            citations = cited if isinstance(cited, list) else []
            begun = {**block, "text": "", **({"citations": []} if citations else {})}
            deltas = [{"type": "citations_delta", "citation": citation} for citation in citations]
            return begun, [*deltas, *_words("text_delta", text)]
        case {"type": "thinking", "thinking": str(text)}:
            signature = block.get("signature")
            deltas = _words("thinking_delta", text)
            if isinstance(signature, str) and signature:
                deltas.append({"type": "signature_delta", "signature": signature})
                return {**block, "thinking": "", "signature": ""}, deltas
            return {**block, "thinking": ""}, deltas
        case {"type": "tool_use" | "server_tool_use" | "mcp_tool_use", "input": dict(given)} if given:
            return {**block, _INPUT: {}}, _words("input_json_delta", as_json(given).decode())
    return block, []


def _words(kind: str, words: str) -> list[dict[str, Any]]:
    return [{"type": kind, WORDS[kind]: words}] if words else []


def _index_in(payload: Mapping[str, Any], usual: int) -> int:
    index = payload.get("index")
    return index if type(index) is int else usual
