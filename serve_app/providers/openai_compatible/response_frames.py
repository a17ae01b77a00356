"""
Responses' streams on their way through: what goes on to the caller, and how the answer ended.

An answer is whole when one of the three last events has come; one that failed is a failure.
"""

import re
from typing import Any

from serve_app.errors import FailureKind
from serve_app.formats.json_objects import Found, parsed
from serve_app.formats.openai_responses.events import TERMINAL, response_in, type_in, usage_in
from serve_app.formats.sse import Frame, event, frames_in, is_plain_event, named_event
from serve_app.providers.frame_reader import FRAME_LIMIT, FrameReader
from serve_app.providers.openai_compatible.failures import failure_of_ending
from serve_app.providers.vendor_words import is_error

FAILED = "response.failed"
_SAYS_NOTHING = frozenset({"response.created", "response.in_progress", "response.queued", "keepalive"})
# What begins an item, or a part of one, with the members that hold what is said in it.
_BEGINNINGS = {
    "response.output_item.added": "item",
    "response.content_part.added": "part",
    "response.reasoning_summary_part.added": "part",
}
_WRITTEN = frozenset({"message", "reasoning", "output_text", "summary_text", "reasoning_text", "refusal"})
_WORDS = ("content", "summary", "text", "refusal")


class ResponseFrames(FrameReader):
    """Reads the events of one response."""

    part_of_an_answer = re.compile(rb'"(?:delta|item|part|text|arguments|response|output_index|error)\b')

    def __init__(self, provider_id: str, secret: str | None = None, frame_limit: float = FRAME_LIMIT) -> None:
        super().__init__(provider_id, secret, frame_limit)
        self._is_complete = False

    @property
    def is_complete(self) -> bool:
        return self._is_complete

    def has_begun(self, block: bytes) -> bool:
        """Tell whether a block holds more than the beginning of a response, or of an item that is empty."""
        payloads = (parsed(frame.json) for frame in frames_in(block) if frame.data)
        return any(payload is None or _says_something(payload) for payload in payloads)

    def _pass_all(self, block: bytes) -> bytes | None:
        """A block of deltas alone is passed on as it is, which is nearly every one."""
        passed = 0
        for frame in frames_in(block):
            if not frame.name.endswith(b".delta") or not is_plain_event(frame):
                return None
            payload = parsed(frame.data)
            if payload is None or payload.get("type") != frame.name.decode("utf-8", "replace"):
                return None
            if is_error(payload) or not frame.name.startswith(b"response."):
                return None
            passed += 1
        if passed != block.count(b"\n\n"):
            return None
        self.count += passed
        self._has_begun = True
        return block

    def _pass_object(self, found: Found, frame: Frame | None) -> bytes:
        payload = found.object
        kind = type_in(payload) or (frame.name.decode("utf-8", "replace") if frame is not None else "")
        if kind in TERMINAL:
            return self._ended(kind, payload, found)
        if not kind:
            if self._aside is None:
                self._aside = payload
            return self._drop(found.data) if self.part_of_an_answer.search(found.data) else b""
        if kind.startswith("response."):
            self._has_begun = self._has_begun or kind not in _SAYS_NOTHING
        return named_event(found.data, kind)

    def _ended(self, kind: str, payload: dict[str, Any], found: Found) -> bytes:
        """The end of an answer; with a part of it lost, it must not look as if it had come to its end."""
        response = response_in(payload)
        self.usage = usage_in(response) or self.usage
        self.is_done = self._has_begun = True
        if kind == FAILED or response.get("status") == "failed":
            said = (
                response.get("error") or f"Provider '{self._provider_id}' reported that the response failed"
            )
            self.failure = failure_of_ending(said, FailureKind.BROKEN, self._provider_id, self._secret)
            return b""
        self._is_complete = True
        return b"" if self.lost else event(found.data, kind.encode())


def _says_something(payload: dict[str, Any]) -> bool:
    kind = type_in(payload)
    if kind in _SAYS_NOTHING:
        return False
    begun = payload.get(_BEGINNINGS[kind]) if kind in _BEGINNINGS else None
    word = begun.get("type") if isinstance(begun, dict) else None
    if not isinstance(begun, dict) or not isinstance(word, str) or word not in _WRITTEN:
        return True
    return any(begun.get(name) for name in _WORDS)
