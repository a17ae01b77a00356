"""
Messages' streams on their way through: what goes on to the caller, and how the answer ended.

An answer is whole when a `message_delta` has told its `stop_reason`; a `message_stop` that is missing after
that is added, because clients wait for it.
"""

import re
from typing import Any

from serve_app.formats.anthropic_messages.events import (
    BLOCK_DELTA,
    BLOCK_START,
    END,
    PING,
    START,
    STOP,
    delta_in,
    event_of,
    merged_usage,
    usage_in,
    usage_of_message,
)
from serve_app.formats.json_objects import Found, parsed
from serve_app.formats.sse import Frame, event, frames_in, is_plain_event, named_event
from serve_app.providers.finish_reasons import tell_unknown_finish
from serve_app.providers.frame_reader import FRAME_LIMIT, FrameReader
from serve_app.providers.vendor_words import is_error

# Why an answer ends, as far as the documentation tells; any other word is passed on, and logged.
STOP_REASONS = frozenset({
    "end_turn", "max_tokens", "stop_sequence", "tool_use", "pause_turn", "refusal",
    "model_context_window_exceeded", "compaction",
})  # fmt: skip

_DELTA_NAME = BLOCK_DELTA.encode()
_WRITTEN_BLOCKS = frozenset({"text", "thinking"})  # they begin empty, and come word by word


class MessageFrames(FrameReader):
    """Reads the events of one message."""

    part_of_an_answer = re.compile(
        rb'"(?:content_block|delta|content|text|thinking|partial_json|signature|stop_reason|error)\b'
    )

    def __init__(self, provider_id: str, secret: str | None = None, frame_limit: float = FRAME_LIMIT) -> None:
        super().__init__(provider_id, secret, frame_limit)
        self._usage: dict[str, Any] = {}
        self._begun: set[str] = set()  # the numbers of the blocks that have begun
        self._is_complete = False
        self._has_stopped = False

    @property
    def is_complete(self) -> bool:
        return self._is_complete

    def has_begun(self, block: bytes) -> bool:
        """Tell whether a block holds more than the beginning of a message, or of a part that is empty yet."""
        payloads = (parsed(frame.json) for frame in frames_in(block) if frame.data)
        return any(payload is None or _says_something(payload) for payload in payloads)

    def closing(self) -> bytes:
        """Return the `message_stop` that did not come."""
        return b"" if self._has_stopped else event_of(STOP, {})

    def _pass_all(self, block: bytes) -> bytes | None:
        """A block of deltas alone is passed on as it is, which is nearly every one."""
        passed = 0
        for frame in frames_in(block):
            if frame.name != _DELTA_NAME or not is_plain_event(frame):
                return None
            payload = parsed(frame.data)
            if payload is None or payload.get("type") != BLOCK_DELTA or is_error(payload):
                return None
            if self._is_of_no_call(payload):
                return None
            passed += 1
        if passed != block.count(b"\n\n"):
            return None
        self.count += passed
        self._has_begun = True
        return block

    def _pass_object(self, found: Found, frame: Frame | None) -> bytes:
        payload = found.object
        kind = payload.get("type")
        if not isinstance(kind, str):
            kind = frame.name.decode("utf-8", "replace") if frame is not None else ""
        if kind == START:
            self._note_usage(payload)
        elif kind == BLOCK_START:
            self._has_begun = True
            self._begun.add(str(payload.get("index")))
        elif kind == BLOCK_DELTA:
            self._has_begun = True
            if self._is_of_no_call(payload):
                return self._drop(found.data)
        elif kind == END:
            return self._ended(payload, found)
        elif kind == STOP:
            self.is_done = True
            self._has_stopped = self._is_complete and not self.lost
            return event(found.data, STOP.encode()) if self._has_stopped else b""
        elif not kind:
            return self._set_aside(found)
        return named_event(found.data, kind)

    def _is_of_no_call(self, payload: dict[str, Any]) -> bool:
        """Tell whether an event has arguments for a call whose beginning, with its name, did not come."""
        return (
            delta_in(payload).get("type") == "input_json_delta"
            and str(payload.get("index")) not in self._begun
        )

    def _ended(self, payload: dict[str, Any], found: Found) -> bytes:
        """The end of an answer; with a part of it lost, it must not look as if it had come to its end."""
        self._note_usage(payload)
        reason = delta_in(payload).get("stop_reason")
        if isinstance(reason, str) and reason:
            self._is_complete = self._has_begun = self._is_over = True
            if reason not in STOP_REASONS:
                tell_unknown_finish(self._provider_id, reason)
            if self.lost:
                return b""
        return event(found.data, END.encode())

    def _set_aside(self, found: Found) -> bytes:
        """Leave out an object that does not say what it is; it may have been a part of the answer."""
        if self._aside is None:
            self._aside = found.object
        return self._drop(found.data) if self.part_of_an_answer.search(found.data) else b""

    def _note_usage(self, payload: dict[str, Any]) -> None:
        self._usage = merged_usage(self._usage, usage_in(payload))
        self.usage = usage_of_message(self._usage)


def _says_something(payload: dict[str, Any]) -> bool:
    kind = payload.get("type")
    if kind in (START, PING):
        return False
    if kind != BLOCK_START:
        return True
    block = payload.get("content_block")
    word = block.get("type") if isinstance(block, dict) else None
    if not isinstance(block, dict) or not isinstance(word, str) or word not in _WRITTEN_BLOCKS:
        return True
    return bool(block.get(word))
