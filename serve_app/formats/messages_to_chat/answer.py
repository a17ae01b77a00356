"""A chat's answer as a message: whole, or as a stream."""

from collections.abc import Iterable
from typing import Any

import orjson

from serve_app.formats.json_objects import found_in
from serve_app.formats.messages_to_chat.block_sequence import BlockSequence
from serve_app.formats.messages_writer import MessageEvents, MessageWriter, WholeMessage
from serve_app.formats.openai_chat.chunks import choices_in, index_of
from serve_app.formats.sse import data_in
from serve_app.formats.stop_reasons import Stop, stop_of
from serve_app.formats.translated_ids import ToolNames, answer_id
from serve_app.formats.upstream_json import answer_in
from serve_app.formats.usage_members import messages_usage
from serve_app.pricing.reported_usage import usage_of

_ID = "msg_"


class _ChatReader:
    """Reads the answer of a chat, at once or in pieces, and writes it as blocks."""

    def __init__(
        self, writer: MessageWriter, message_id: str, names: ToolNames, stops: frozenset[str]
    ) -> None:
        self._blocks = BlockSequence(writer, message_id, names)
        self._stops = stops
        self._finish_reason: str | None = None
        self._sequence: str | None = None
        self._has_text = False
        self._has_refusal = False
        self._is_thinking = False

    def read_choice(self, choice: dict[str, Any], said: dict[str, Any]) -> None:
        """
        Read a choice.

        Args:
            choice: the choice, or a piece of it.
            said: its message or delta.
        """
        text = said.get("content")
        if len(said) == 1 and type(text) is str:  # as nearly always in a stream
            if text:
                self._has_text = True
                self._is_thinking = False
                self._blocks.say(text)
        elif said:
            self._read(said, text)
        reason = choice.get("finish_reason")
        if isinstance(reason, str) and reason:
            self._finish_reason = reason
            sequence = choice.get("stop_reason")  # vLLM names what it met
            self._sequence = sequence if isinstance(sequence, str) and sequence in self._stops else None
            self._blocks.flush()

    def stop(self) -> Stop:
        """Return how the answer ended; nothing more is to come."""
        self._blocks.flush()
        is_refusal = self._has_refusal and not self._has_text
        return stop_of(self._finish_reason, self._blocks.has_calls, is_refusal, self._sequence)

    def _read(self, said: dict[str, Any], content: Any) -> None:
        thought = thought_in(said)
        blocks = _objects(said.get("thinking_blocks"))
        if thought and (self._is_thinking or not any(_has_text_and_signature(block) for block in blocks)):
            self._say(thought, is_thought=True)
            self._read_thinking(blocks, has_text=True)
        else:
            self._read_thinking(blocks, has_text=False)
        for text, is_thought in texts_in(content):
            self._has_text = self._has_text or not is_thought
            self._say(text, is_thought)
        refusal = said.get("refusal")
        if isinstance(refusal, str) and refusal:
            self._has_refusal = True
            self._say(refusal)
        pieces = _objects(said.get("tool_calls"))
        if isinstance(function := said.get("function_call"), dict):
            pieces.append({"index": -1, "function": function})
        for piece in pieces:
            self._is_thinking = False
            self._blocks.call_piece(piece)

    def _read_thinking(self, blocks: list[dict[str, Any]], has_text: bool) -> None:
        """Read blocks of thoughts; their text counts only where it did not come before, piece by piece."""
        for block in blocks:
            text, signature, data = block.get("thinking"), block.get("signature"), block.get("data")
            if block.get("type") == "redacted_thinking":
                if isinstance(data, str) and data:
                    self._is_thinking = False
                    self._blocks.redacted(data)
                continue
            is_signed = isinstance(signature, str) and signature != ""
            if isinstance(text, str) and text and not has_text and not (is_signed and self._is_thinking):
                self._say(text, is_thought=True)
            if isinstance(signature, str) and signature:
                self._is_thinking = False
                self._blocks.sign(signature)

    def _say(self, text: str, is_thought: bool = False) -> None:
        self._is_thinking = is_thought
        self._blocks.say(text, is_thought)


def _objects(value: Any) -> list[dict[str, Any]]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def _has_text_and_signature(block: dict[str, Any]) -> bool:
    return bool(block.get("thinking")) and bool(block.get("signature"))


def thought_in(said: dict[str, Any]) -> str:
    """Return the thoughts in a message or delta; some upstreams send them under both of their names."""
    for name in ("reasoning_content", "reasoning"):
        if isinstance(thought := said.get(name), str) and thought:
            return thought
    details = said.get("reasoning_details")
    texts = (d.get("text") for d in details if isinstance(d, dict)) if isinstance(details, list) else ()
    return "".join(text for text in texts if isinstance(text, str))


def texts_in(content: Any) -> Iterable[tuple[str, bool]]:
    """Yield the texts of a content, and whether each is a thought: Mistral writes both as parts."""
    if isinstance(content, str):
        if content:
            yield content, False
        return
    for part in content if isinstance(content, list) else ():
        if isinstance(part, dict):
            thoughts = part.get("thinking")
            for inner in thoughts if isinstance(thoughts, list) else (thoughts,):
                text = inner.get("text") if isinstance(inner, dict) else inner
                if isinstance(text, str) and text:
                    yield text, True
            if isinstance(text := part.get("text"), str) and text:
                yield text, False


def whole_message(body: bytes, model: str | None, names: ToolNames, stops: frozenset[str]) -> bytes:
    """
    Return a whole answer as a message.

    Args:
        body: the upstream's answer, whatever it is.
        model: the model that the caller asked for; None: the one that the upstream names.
        names: the tools' names of the request.
        stops: the stop sequences of the request.
    """
    answer = answer_in(body)
    message_id = answer_id(_ID, answer.get("id"), body)
    writer = WholeMessage(message_id, model_of(answer, model))
    reader = _ChatReader(writer, message_id, names, stops)
    choice = next((choice for choice in choices_in(answer) if index_of(choice) == 0), {})
    said = choice.get("message")
    reader.read_choice(choice, said if isinstance(said, dict) else {})
    reported = answer.get("usage")
    usage = usage_of(reported, answer.get("service_tier")) if isinstance(reported, dict) else None
    return writer.finish(reader.stop(), messages_usage(usage))


def model_of(answer: dict[str, Any], model: str | None) -> str:
    """Return the model's name for the caller."""
    named = answer.get("model")
    return model or (named if isinstance(named, str) else "")


class MessageStream:
    """The translation of one stream of chunks into the events of a message, as `StreamTranslation` asks."""

    def __init__(self, model: str | None, names: ToolNames, stops: frozenset[str]) -> None:
        self._model = model
        self._names = names
        self._stops = stops
        self._events: MessageEvents | None = None
        self._reader: _ChatReader | None = None
        self._usage: dict[str, Any] | None = None
        self._service_tier: object = None

    def feed(self, block: bytes) -> bytes:
        for data in data_in(block):
            try:
                chunk = orjson.loads(data)
            except orjson.JSONDecodeError:
                chunk = None if (found := found_in(data)) is None else found.object
            if type(chunk) is dict:
                self._read(chunk, data)
        return b"" if self._events is None else self._events.take()

    def end(self) -> bytes:
        events, reader = self._begin({}, b"")
        usage = None if self._usage is None else usage_of(self._usage, self._service_tier)
        events.finish(reader.stop(), messages_usage(usage))
        return events.take()

    def _read(self, chunk: dict[str, Any], data: bytes) -> None:
        usage = chunk.get("usage")
        if usage and type(usage) is dict:
            self._usage = usage
        if "service_tier" in chunk:
            self._service_tier = chunk["service_tier"]
        choices = chunk.get("choices")
        for choice in choices if type(choices) is list else ():
            if type(choice) is not dict or index_of(choice) != 0:
                continue
            delta = choice.get("delta")
            said = delta if type(delta) is dict else {}
            if self._reader is not None:
                self._reader.read_choice(choice, said)
            elif choice.get("finish_reason") or any(said[name] for name in said if name != "role"):
                self._begin(chunk, data)[1].read_choice(choice, said)

    def _begin(self, chunk: dict[str, Any], data: bytes) -> tuple[MessageEvents, _ChatReader]:
        """Return what writes and what reads; made for the first chunk that says something."""
        if self._events is None or self._reader is None:
            message_id = answer_id(_ID, chunk.get("id"), data)
            self._events = MessageEvents(message_id, model_of(chunk, self._model))
            self._reader = _ChatReader(self._events, message_id, self._names, self._stops)
        return self._events, self._reader
