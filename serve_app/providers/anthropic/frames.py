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
    event_of,
    merged_usage,
    usage_in,
    usage_of_message,
)
from serve_app.formats.json_objects import Found, parsed
from serve_app.formats.sse import Frame, event, frames_in
from serve_app.providers.finish_reasons import tell_unknown_finish
from serve_app.providers.frame_reader import FRAME_LIMIT, FrameReader

# Why an answer ends, as far as the documentation tells; any other word is passed on, and logged.
STOP_REASONS = frozenset({
    "end_turn", "max_tokens", "stop_sequence", "tool_use", "pause_turn", "refusal",
    "model_context_window_exceeded", "compaction",
})  # fmt: skip

_SAYS_NOTHING = frozenset({START, PING})
_OPENED_EMPTY = frozenset({"text", "thinking"})  # their words come in deltas


class MessageFrames(FrameReader):
    """Reads the events of one message."""

    part_of_an_answer = re.compile(
        rb'"(?:content_block|delta|content|text|thinking|partial_json|signature|stop_reason|error)\b'
    )

    def __init__(self, provider_id: str, secret: str | None = None, frame_limit: float = FRAME_LIMIT) -> None:
        super().__init__(provider_id, secret, frame_limit)
        self._usage: dict[str, Any] = {}
        self._is_complete = False

    @property
    def is_complete(self) -> bool:
        return self._is_complete

    def has_begun(self, block: bytes) -> bool:
        return any(_speaks(parsed(frame.json)) for frame in frames_in(block) if frame.data)

    def end(self) -> bytes:
        shown = super().end()
        if self._is_complete and not (self.is_done or self.failure or self.lost):
            self.is_done = True
            shown += event_of(STOP, {})
        return shown

    def _pass_all(self, block: bytes) -> bytes | None:
        """A block of deltas alone is passed on as it is, which is nearly every one."""
        passed = 0
        for frame in frames_in(block):
            if frame.name != b"content_block_delta":
                return None
            payload = parsed(frame.data)
            if payload is None or payload.get("type") != BLOCK_DELTA or "error" in payload:
                return None
            passed += 1
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
        elif kind in (BLOCK_START, BLOCK_DELTA):
            self._has_begun = True
        elif kind == END:
            return self._ended(payload, found)
        elif kind == STOP:
            self.is_done = True
            return b"" if self.lost or not self._is_complete else event(found.data, b"message_stop")
        elif not kind and self._aside is None:
            self._aside = payload
        return event(found.data, kind.encode()) if kind else b""

    def _ended(self, payload: dict[str, Any], found: Found) -> bytes:
        """The end of an answer; with a part of it lost, it must not look as if it had come to its end."""
        self._note_usage(payload)
        delta = payload.get("delta")
        reason = delta.get("stop_reason") if isinstance(delta, dict) else None
        if isinstance(reason, str) and reason:
            self._is_complete = self._has_begun = True
            if reason not in STOP_REASONS:
                tell_unknown_finish(self._provider_id, reason)
            if self.lost:
                return b""
        return event(found.data, END.encode())

    def _note_usage(self, payload: dict[str, Any]) -> None:
        self._usage = merged_usage(self._usage, usage_in(payload))
        self.usage = usage_of_message(self._usage)


def _speaks(payload: dict[str, Any] | None) -> bool:
    """Whether an event is more than a beginning; a caller is shown what is not understood here."""
    if payload is None:
        return True
    kind = payload.get("type")
    if kind == BLOCK_START:
        opened = payload.get("content_block")
        return not (isinstance(opened, dict) and opened.get("type") in _OPENED_EMPTY)
    return kind not in _SAYS_NOTHING
