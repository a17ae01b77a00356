"""A message as the answer of a chat: whole, or as a stream."""

from typing import Any, NamedTuple

import orjson

from serve_app.formats.anthropic_messages.events import merged_usage
from serve_app.formats.json_objects import as_json, found_in
from serve_app.formats.sse import frames_in
from serve_app.formats.stop_reasons import explanation_of, finish_reason_of
from serve_app.formats.tool_arguments import arguments_object, arguments_text
from serve_app.formats.translated_ids import ToolNames, answer_id, made_call_id
from serve_app.formats.upstream_json import answer_in
from serve_app.formats.usage_members import chat_usage, service_tier_of
from serve_app.pricing.reported_usage import message_usage

_ID = "chatcmpl-"


class Expected(NamedTuple):
    """
    The form of the answer that the request asks for.

    Fields:
        model: the model that was asked for; None where the caller left it open.
        names: the tools' names.
        custom: the names of the tools that take a text, as the upstream knows them.
        wants_usage: whether a stream ends with the usage.
        created: when the request came, in seconds since 1970.
    """

    model: str | None
    names: ToolNames
    custom: frozenset[str]
    wants_usage: bool
    created: int

    def call(self, call_id: str, name: str, arguments: str) -> dict[str, Any]:
        """Return a call of a tool, in the kind that the caller knows the tool as."""
        original = self.names.original(name)
        if name in self.custom:
            custom = {"name": original, "input": custom_input(arguments)}
            return {"id": call_id, "type": "custom", "custom": custom}
        return {"id": call_id, "type": "function", "function": {"name": original, "arguments": arguments}}


def custom_input(arguments: str) -> str:
    """Return the text that a tool takes, from the object that a model wrote around it."""
    text = arguments_object(arguments).get("input")
    return text if isinstance(text, str) else arguments


def completion(body: bytes, expected: Expected) -> bytes:
    """
    Return a message as a chat completion.

    Args:
        body: the upstream's answer, whatever it is.
        expected: what the request says of its answer.
    """
    message = answer_in(body)
    chat_id = answer_id(_ID, message.get("id"), body)
    said = _said(message.get("content"), chat_id, expected)
    if explanation := explanation_of(message.get("stop_details")):
        said["refusal"] = explanation
    reason = finish_reason_of(message.get("stop_reason"), "tool_calls" in said)
    model = message.get("model")
    whole: dict[str, Any] = {
        "id": chat_id,
        "object": "chat.completion",
        "created": expected.created,
        "model": model if isinstance(model, str) else expected.model or "",
        "choices": [{"index": 0, "message": said, "logprobs": None, "finish_reason": reason}],
    }
    reported = message.get("usage")
    return as_json({**whole, **_usage_members(reported if isinstance(reported, dict) else {})})


def _said(content: Any, chat_id: str, expected: Expected) -> dict[str, Any]:
    texts: list[str] = []
    thoughts: list[str] = []
    signed: list[dict[str, Any]] = []
    calls: list[dict[str, Any]] = []
    for block in content if isinstance(content, list) else ():
        if not isinstance(block, dict):
            continue
        match block.get("type"):
            case "text":
                texts.append(_text(block.get("text")))
            case "thinking":
                thoughts.append(_text(block.get("thinking")))
                if signature := _text(block.get("signature")):
                    signed.append(_thinking(thoughts[-1], signature))
            case "redacted_thinking" if data := _text(block.get("data")):
                signed.append({"type": "redacted_thinking", "data": data})
            case "tool_use" if name := _text(block.get("name")):
                call_id = _text(block.get("id")) or made_call_id(chat_id, len(calls))
                calls.append(expected.call(call_id, name, arguments_text(block.get("input"))))
    said: dict[str, Any] = {"role": "assistant", "content": "".join(texts) or None}
    if any(thoughts):
        said["reasoning_content"] = "".join(thoughts)
    if signed:
        said["thinking_blocks"] = signed
    if calls:
        said["tool_calls"] = calls
    return said


def _usage_members(reported: dict[str, Any]) -> dict[str, Any]:
    """Return what a chat tells of the usage; nothing where the upstream told none."""
    usage = message_usage(reported)
    if usage is None:
        return {}
    members: dict[str, Any] = {"usage": chat_usage(usage)}
    tier = service_tier_of(usage)
    return members if tier is None else {**members, "service_tier": tier}


def _thinking(text: str, signature: str) -> dict[str, Any]:
    return {"type": "thinking", "thinking": text, "signature": signature}


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


class _Block:
    """One block of a message, as far as it has come."""

    __slots__ = ("call_id", "has_arguments", "input", "kind", "name", "number", "pieces", "signature")

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.number = 0  # of a call: which one it is
        self.call_id = ""
        self.name = ""
        self.input: Any = None  # the arguments, where they came at once
        self.has_arguments = False  # whether they came in pieces
        self.signature = ""
        self.pieces: list[str] = []


class ChunkStream:
    """The translation of one stream of events into the chunks of a chat, as `StreamTranslation` asks."""

    def __init__(self, expected: Expected) -> None:
        self._expected = expected
        self._chat_id = ""
        self._head = b""  # of every chunk, up to its choices; empty before the first
        self._choice = b""  # of every chunk, up to its delta
        self._blocks: dict[object, _Block] = {}
        self._calls = 0
        self._usage: dict[str, Any] = {}
        self._stop_reason: object = None
        self._explanation: str | None = None
        self._frames: list[bytes] = []

    def feed(self, block: bytes) -> bytes:
        for frame in frames_in(block):
            if data := frame.data:
                try:
                    event = orjson.loads(data)
                except orjson.JSONDecodeError:
                    event = None if (found := found_in(frame.json)) is None else found.object
                if type(event) is dict:
                    self._read(event, data)
        return self._take()

    def end(self) -> bytes:
        self._begin({}, b"")
        for key in tuple(self._blocks):  # whose end did not come
            self._stop(key)
        if self._explanation:
            self._delta({"refusal": self._explanation})
        reason = finish_reason_of(self._stop_reason, self._calls > 0)
        self._frames.append(self._choice + b'{},"finish_reason":' + as_json(reason) + b"}]}\n\n")
        if self._expected.wants_usage and (members := _usage_members(self._usage)):
            rest = as_json({"choices": [], **members})[1:]
            self._frames.append(self._head + rest + b"\n\n")
        return self._take()

    def _take(self) -> bytes:
        written = b"".join(self._frames)
        self._frames.clear()
        return written

    def _read(self, event: dict[str, Any], data: bytes) -> None:
        match event.get("type"):
            case "content_block_delta":
                delta = event.get("delta")
                if type(delta) is dict:
                    self._begin({}, data)
                    self._read_delta(_key(event), delta)
            case "content_block_start":
                block = event.get("content_block")
                if isinstance(block, dict):
                    self._begin({}, data)
                    self._start(_key(event), block)
            case "content_block_stop":
                self._stop(_key(event))
            case "message_start":
                message = event.get("message")
                message = message if isinstance(message, dict) else {}
                self._merge(message.get("usage"))
                self._begin(message, data)
            case "message_delta":
                self._merge(event.get("usage"))
                delta = event.get("delta")
                if isinstance(delta, dict):
                    self._stop_reason = delta.get("stop_reason") or self._stop_reason
                    self._explanation = explanation_of(delta.get("stop_details")) or self._explanation

    def _begin(self, message: dict[str, Any], data: bytes) -> None:
        """Write the first chunk, once; `message` is the upstream's, without its content."""
        if self._head:
            return
        self._chat_id = answer_id(_ID, message.get("id"), data)
        model = message.get("model")
        head = {
            "id": self._chat_id,
            "object": "chat.completion.chunk",
            "created": self._expected.created,
            "model": model if isinstance(model, str) else self._expected.model or "",
        }
        self._head = b"data: " + as_json(head)[:-1] + b","
        self._choice = self._head + b'"choices":[{"index":0,"delta":'
        self._delta({"role": "assistant", "content": ""})

    def _merge(self, reported: Any) -> None:
        """Keep a report of the usage: they are sums so far, and what one leaves out is as it was."""
        if isinstance(reported, dict):
            self._usage = merged_usage(self._usage, reported)

    def _delta(self, delta: dict[str, Any]) -> None:
        self._frames.append(self._choice + as_json(delta) + b',"finish_reason":null}]}\n\n')

    def _read_delta(self, key: object, delta: dict[str, Any]) -> None:
        kind = delta.get("type")
        if kind == "text_delta":
            if text := _text(delta.get("text")):
                self._delta({"content": text})
            return
        block = self._blocks.get(key)
        if kind == "thinking_delta":
            if text := _text(delta.get("thinking")):
                self._delta({"reasoning_content": text})
                if block is not None:
                    block.pieces.append(text)
        elif block is None:
            return
        elif kind == "signature_delta":
            block.signature += _text(delta.get("signature"))
        elif kind == "input_json_delta" and (text := _text(delta.get("partial_json"))):
            self._arguments(block, text)

    def _start(self, key: object, start: dict[str, Any]) -> None:
        self._stop(key)  # the one before, whose end did not come
        kind = _text(start.get("type"))
        block = self._blocks[key] = _Block(kind)
        if kind == "text" and (text := _text(start.get("text"))):
            self._delta({"content": text})
        elif kind == "thinking":
            block.signature = _text(start.get("signature"))
            if text := _text(start.get("thinking")):
                self._delta({"reasoning_content": text})
                block.pieces.append(text)
        elif kind == "redacted_thinking" and (data := _text(start.get("data"))):
            self._delta({"thinking_blocks": [{"type": "redacted_thinking", "data": data}]})
        elif kind == "tool_use":
            block.number = self._calls
            block.call_id = _text(start.get("id")) or made_call_id(self._chat_id, self._calls)
            block.name = _text(start.get("name"))
            block.input = start.get("input")
            self._calls += 1
            if block.name not in self._expected.custom:
                call = self._expected.call(block.call_id, block.name, "")
                self._delta({"tool_calls": [{"index": block.number, **call}]})

    def _arguments(self, block: _Block, text: str) -> None:
        if block.name in self._expected.custom:
            block.pieces.append(text)
        elif block.kind == "tool_use":
            block.has_arguments = True
            self._delta({"tool_calls": [{"index": block.number, "function": {"arguments": text}}]})

    def _stop(self, key: object) -> None:
        block = self._blocks.pop(key, None)
        if block is None:
            return
        if block.kind == "thinking" and block.signature:
            self._delta({"thinking_blocks": [_thinking("".join(block.pieces), block.signature)]})
        elif block.kind == "tool_use" and block.name in self._expected.custom:
            arguments = "".join(block.pieces) or arguments_text(block.input)
            call = self._expected.call(block.call_id, block.name, arguments)
            self._delta({"tool_calls": [{"index": block.number, **call}]})
        elif block.kind == "tool_use" and not block.has_arguments:
            self._arguments(block, arguments_text(block.input))


def _key(event: dict[str, Any]) -> object:
    """Return what tells the blocks of a stream apart."""
    index = event.get("index")
    return index if type(index) is int else None
