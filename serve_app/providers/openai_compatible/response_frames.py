"""
Responses' streams on their way through: what goes on to the caller, and how the answer ended.

An answer is whole when one of the three last events has come; one that failed is a failure.
"""

import re
from typing import Any

from serve_app.errors import FailureKind
from serve_app.formats.json_objects import Found, parsed
from serve_app.formats.openai_responses.events import TERMINAL, response_in, type_in, usage_in
from serve_app.formats.sse import Frame, event, frames_in
from serve_app.providers.frame_reader import FRAME_LIMIT, FrameReader
from serve_app.providers.openai_compatible.failures import failure_of_ending

FAILED = "response.failed"
_SAYS_NOTHING = frozenset({"response.created", "response.in_progress", "response.queued", "keepalive"})


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
        return any(
            payload is None or type_in(payload) not in _SAYS_NOTHING
            for payload in (parsed(frame.json) for frame in frames_in(block) if frame.data)
        )

    def _pass_all(self, block: bytes) -> bytes | None:
        """A block of deltas alone is passed on as it is, which is nearly every one."""
        passed = 0
        for frame in frames_in(block):
            if not frame.name.endswith(b".delta"):
                return None
            payload = parsed(frame.data)
            if payload is None or not type_in(payload).endswith(".delta"):
                return None
            passed += 1
        self.count += passed
        self._has_begun = True
        return block

    def _pass_object(self, found: Found, frame: Frame | None) -> bytes:
        payload = found.object
        kind = type_in(payload) or (frame.name.decode("utf-8", "replace") if frame is not None else "")
        if kind in TERMINAL:
            return self._ended(kind, payload, found)
        if not kind.startswith("response."):
            if kind == "" and self._aside is None:
                self._aside = payload
            return event(found.data, kind.encode()) if kind else b""
        self._has_begun = self._has_begun or kind not in _SAYS_NOTHING
        return event(found.data, kind.encode())

    def _ended(self, kind: str, payload: dict[str, Any], found: Found) -> bytes:
        """The end of an answer; with a part of it lost, it must not look as if it had come to its end."""
        response = response_in(payload)
        self.usage = usage_in(response) or self.usage
        self.is_done = self._has_begun = True
        if kind == FAILED:
            said = (
                response.get("error") or f"Provider '{self._provider_id}' reported that the response failed"
            )
            self.failure = failure_of_ending(said, FailureKind.BROKEN, self._provider_id, self._secret)
            return b""
        self._is_complete = True
        return b"" if self.lost else event(found.data, kind.encode())
