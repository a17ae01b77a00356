"""
A record of the vendor's answer on the wire, beside LiteLLM, which loses parts of it.

LiteLLM invents a `stop` for an answer that was cut, maps many finish reasons to one, and invents statuses for
errors in a stream; it fails on a usage that is null, and skips what it cannot read. The vendor's own values
are kept here, and the bytes for LiteLLM are rewritten so that it can read them. Pure: no I/O.
"""

import re
from typing import Any

from serve_app.formats.json_objects import as_json, errors_in_list, found_in, parsed
from serve_app.formats.sse import Frame, FrameCutter, frames_in
from serve_app.providers.body_form import Form, form_of
from serve_app.providers.vendor_words import MOST_READ, is_error

_PART_OF_AN_ANSWER = re.compile(
    rb'"(?:choices|candidates|delta|content|text|tool_calls|arguments|finish_?[rR]eason|stop_?[rR]eason)\b'
)
# Line ends for `str.splitlines`. In JSON they occur within strings only.
_SEPARATORS = (
    (b"\xe2\x80\xa8", b"\\u2028"),
    (b"\xe2\x80\xa9", b"\\u2029"),
    (b"\xc2\x85", b"\\u0085"),
)
_BOM = b"\xef\xbb\xbf"
_USAGES = ("usage", "usageMetadata")


class CapturedResponse:
    """
    The record of one answer; `feed` and `end` return the bytes for the translator.

    An answer in one piece is kept until its end. If a stream came in place of a whole answer or the reverse,
    it is in `other_form`, and the translator gets nothing.

    Fields:
        finishes: the vendor's finish reasons by choice.
        tells_finish: whether this vendor is known to send one for every choice.
        error: an error in an answer that had begun well.
        refusal: the body of a refusal.
        lost: how many unreadable parts may have belonged to the answer.
        aside: the first object that is no part of an answer.
        was_mended: an invalid number was replaced by null.
    """

    def __init__(self, is_refusal: bool, asks_stream: bool, is_lines: bool = False) -> None:
        self.finishes: dict[int, str] = {}
        self.tells_finish = False
        self.error: Any = None
        self.refusal = b""
        self.lost = 0
        self.aside: dict[str, Any] | None = None
        self.was_mended = False
        self.other_form = b""
        self._is_refusal = is_refusal
        self._asks_stream = asks_stream
        self._is_lines: bool | None = is_lines or None  # one object in each line; None: not known yet
        self._form = Form.UNTOLD
        self._cutter = FrameCutter()
        self._rest = bytearray()

    @property
    def pending(self) -> int:
        """Return the number of bytes that are kept until more arrive."""
        return len(self._rest) + self._cutter.pending

    def feed(self, piece: bytes) -> bytes:
        """Return the bytes that can be passed on now."""
        if self._is_refusal:
            self.refusal += piece[: MOST_READ - len(self.refusal)]
            return piece
        if self._form is Form.UNTOLD:
            piece = bytes(self._rest) + piece
            self._rest.clear()
            self._form = form_of(piece)
            if self._form is not Form.UNTOLD:
                piece = piece.removeprefix(_BOM)
        if self._form is Form.OTHER:
            return piece
        if self._form is Form.EVENTS and self._asks_stream:
            return self._frames(self._cutter.feed(piece))
        self._rest += piece
        return self._lines() if self._form is Form.JSON and self._asks_stream else b""

    def end(self) -> bytes:
        """Return the remaining bytes, at the end of the answer."""
        rest = bytes(self._rest)
        self._rest.clear()
        if self._form is Form.EVENTS and self._asks_stream:
            return self._frames(self._cutter.end())
        if self._form is Form.EVENTS:
            self.other_form = rest
            return b""
        if self._form is Form.JSON:
            return self._line(rest) if self._is_lines else self._one_piece(rest)
        return rest

    # In one piece

    def _one_piece(self, body: bytes) -> bytes:
        found = found_in(body)
        if found is None:
            self.error = errors_in_list(body)
            return body
        self._note(found.object)
        if self._asks_stream:
            if self.error is None:
                self.other_form = body
            return b""
        self.was_mended = found.was_mended
        return as_json(found.object) if self._mend(found.object) or found.was_mended else body

    # Line by line

    def _lines(self) -> bytes:
        """Return whole lines, once it is known that each has an object of its own."""
        if self._is_lines is None:
            line, _, more = bytes(self._rest).lstrip().partition(b"\n")
            if more.strip():
                self._is_lines = parsed(line) is not None
        end = self._rest.rfind(b"\n") + 1
        if not self._is_lines or not end:
            return b""
        lines = bytes(self._rest[:end])
        del self._rest[:end]
        return b"".join(self._line(line) + b"\n" for line in lines.split(b"\n") if line.strip())

    def _line(self, line: bytes) -> bytes:
        found = found_in(line)
        if found is None:
            return line
        self._note(found.object)
        return _escaped(as_json(found.object) if self._mend(found.object) else found.data)

    # Frame by frame

    def _frames(self, block: bytes) -> bytes:
        return b"".join(self._frame(frame) for frame in frames_in(block) if frame.raw.strip())

    def _frame(self, frame: Frame) -> bytes:
        data, is_error_event = frame.json, frame.name.strip() == b"error"
        if not data:
            bare = parsed(frame.raw.strip()) if frame.raw.strip()[:1] == b"{" else None
            if bare is not None and is_error(bare):
                self._note(bare)
            return frame.raw + b"\n\n"
        found = found_in(data)
        if found is not None:
            if is_error_event:
                self.error = self.error or found.object
            self._note(found.object)
            changed = self._mend(found.object)
            return _written(frame.raw, as_json(found.object) if changed else found.data)
        if (errors := errors_in_list(data)) is not None or is_error_event:
            self.error = self.error or errors or data
            return b""
        if data[:1] == b"{" or _PART_OF_AN_ANSWER.search(data):
            self.lost += 1
            return b""
        return _written(frame.raw, data)

    # Facts of an object

    def _note(self, payload: dict[str, Any]) -> None:
        kind = payload.get("type")
        if is_error(payload):
            self.error = self.error or payload
        known = len(self.finishes)
        for name, reason in (("candidates", "finishReason"), ("choices", "finish_reason")):
            for place, choice in enumerate(_objects(payload.get(name))):
                self.tells_finish = True
                index = choice.get("index", place)
                self._ended(index if isinstance(index, int) else place, choice.get(reason))
                # A whole answer in a frame of a stream would be taken for an empty piece.
                self.lost += self._asks_stream and bool(choice.get("message")) and "delta" not in choice
        feedback = payload.get("promptFeedback")
        if isinstance(feedback, dict) and feedback.get("blockReason"):
            self.tells_finish = True
            self._ended(0, "SAFETY")  # Gemini refuses a prompt with an answer of no candidates
        if kind in ("message_start", "message"):
            self.tells_finish = True
        if kind == "message":
            self._ended(0, payload.get("stop_reason"))
        elif kind == "message_delta" and isinstance(payload.get("delta"), dict):
            self._ended(0, payload["delta"].get("stop_reason"))
        elif kind == "message-end" and isinstance(payload.get("delta"), dict):
            self._ended(0, payload["delta"].get("finish_reason"))
        elif "choices" not in payload:
            self._ended(0, payload.get("stopReason") or payload.get("finish_reason"))
        if self.aside is None and not self.tells_finish and len(self.finishes) == known:
            self.aside = payload

    def _ended(self, index: int, reason: Any) -> None:
        if isinstance(reason, str) and reason:
            self.finishes[index] = reason

    def _mend(self, payload: dict[str, Any]) -> bool:
        """Remove an invalid usage, or invalid counts in it; return whether the object has changed."""
        kind = payload.get("type")
        begun = payload.get("message") if kind == "message_start" else None
        changed = _without_odd_usage(payload)
        # LiteLLM fails on an answer without a usage, and treats an empty one as none.
        if isinstance(begun, dict):
            changed |= _without_odd_usage(begun)
            changed |= _given(begun, "usage")
        if kind == "message":
            changed |= _given(payload, "usage")
        if "candidates" in payload and not self._asks_stream:
            changed |= _given(payload, "usageMetadata")
        return changed


def _without_odd_usage(payload: dict[str, Any]) -> bool:
    """Remove a usage, or counts in it, that are null or invalid; return whether any was removed."""
    changed = False
    for name in _USAGES:
        usage = payload.get(name)
        if isinstance(usage, dict):
            if None in usage.values():
                payload[name] = {count: value for count, value in usage.items() if value is not None}
                changed = True
        elif name in payload and (usage is not None or "choices" not in payload):
            del payload[name]
            changed = True
    return changed


def _given(payload: dict[str, Any], name: str) -> bool:
    """Add an empty object of that name if it is missing; return whether it was."""
    if name in payload:
        return False
    payload[name] = {}
    return True


def _written(frame: bytes, data: bytes) -> bytes:
    """Return the frame with this data, in one line for every reader of lines."""
    others = (line for line in frame.split(b"\n") if line.startswith((b"event:", b"id:", b"retry:")))
    return b"\n".join((*others, b"data: " + _escaped(data), b"\n"))


def _escaped(data: bytes) -> bytes:
    for raw, escaped in _SEPARATORS:
        if raw in data:
            data = data.replace(raw, escaped)
    return data


def _objects(values: Any) -> list[dict[str, Any]]:
    return [value for value in values if isinstance(value, dict)] if isinstance(values, list) else []
