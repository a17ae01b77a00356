"""
What a vendor says on the wire, heard beside a translator that would not pass it on.

LiteLLM makes up a `stop` for an answer that was cut, has one word for many endings, and statuses of its own
for errors in a stream. Here the vendor's own words are kept: why each choice ended, what went wrong, and the
body of a refusal. Pure: bytes in, facts out.
"""

import re
from typing import Any

from serve_app.providers.json_objects import found_in
from serve_app.providers.vendor_words import MOST_READ

_TELLING = re.compile(
    rb"stop_?[rR]eason|finish_?[rR]eason|blockReason|\"error\"|Error\"|\"candidates\"|\"choices\"|message_start"
    rb"|\"type\"\s*:\s*\"message\""
)
# Line ends to whoever splits lines as Python does. In JSON they stand within strings only.
_SEPARATORS = (
    (b"\xe2\x80\xa8", b"\\u2028"),
    (b"\xe2\x80\xa9", b"\\u2029"),
    (b"\xc2\x85", b"\\u0085"),
)
_BEGUN = (b"\xe2\x80", b"\xe2", b"\xc2")


class Overheard:
    """
    One answer as it goes by.

    `finishes` are the vendor's reasons by choice. `tells_finish` is True once it is known that this vendor
    gives one for every choice; `error` is an error object in an answer that had begun well, `refusal` the
    body of one that had not. Nothing is kept of an answer above `most` bytes that comes in one piece.
    """

    def __init__(self, is_refusal: bool, most: float) -> None:
        self.finishes: dict[int, str] = {}
        self.tells_finish = False
        self.error: dict[str, Any] | None = None
        self.refusal = b""
        self._is_refusal = is_refusal
        self._most = most
        self._rest = bytearray()
        self._is_one_piece: bool | None = None

    def feed(self, piece: bytes) -> None:
        """Listen to the next bytes."""
        if self._is_refusal:
            self.refusal += piece[: MOST_READ - len(self.refusal)]
            return
        if self._is_one_piece is None and (head := (bytes(self._rest) + piece).lstrip()[:1]):
            self._is_one_piece = head in (b"{", b"[")
        if len(self._rest) > self._most:
            self._rest.clear()  # longer than it may be: whoever counts the bytes says so
        self._rest += piece
        end = max(piece.rfind(b"\n"), piece.rfind(b"\r")) + 1
        if end and not self._is_one_piece:
            cut = len(self._rest) - len(piece) + end
            lines = bytes(self._rest[:cut])
            del self._rest[:cut]
            for line in re.split(rb"[\r\n]+", lines):
                self._hear(line)

    def end(self) -> None:
        """The answer is over."""
        self._hear(bytes(self._rest))
        self._rest.clear()

    def _hear(self, line: bytes) -> None:
        data = line.strip().removeprefix(b"data:").strip()
        if _TELLING.search(data) is None:
            return
        found = found_in(data)
        if found is not None:
            self._note(found.object)

    def _note(self, said: dict[str, Any]) -> None:
        kind = said.get("type")
        if said.get("error") or kind == "error":
            self.error = self.error or said
        for name, reason in (("candidates", "finishReason"), ("choices", "finish_reason")):
            for place, choice in enumerate(_objects(said.get(name))):
                self.tells_finish = True
                index = choice.get("index", place)
                self._ended(index if isinstance(index, int) else place, choice.get(reason))
        feedback = said.get("promptFeedback")
        if isinstance(feedback, dict) and feedback.get("blockReason"):
            self.tells_finish = True
            self._ended(0, "SAFETY")  # Gemini refuses a prompt with an answer of no candidates
        if kind in ("message_start", "message"):
            self.tells_finish = True
        if kind == "message":
            self._ended(0, said.get("stop_reason"))
        elif kind == "message_delta" and isinstance(said.get("delta"), dict):
            self._ended(0, said["delta"].get("stop_reason"))
        elif kind == "message-end" and isinstance(said.get("delta"), dict):
            self._ended(0, said["delta"].get("finish_reason"))
        elif "choices" not in said:
            self._ended(0, said.get("stopReason") or said.get("finish_reason"))

    def _ended(self, index: int, reason: Any) -> None:
        if isinstance(reason, str) and reason:
            self.finishes[index] = reason


class Separators:
    """
    Writes U+2028, U+2029 and U+0085 as escapes, wherever the network cuts them.

    LiteLLM takes them for line ends, and what stands behind them for another line.
    """

    def __init__(self) -> None:
        self._begun = b""

    def feed(self, piece: bytes) -> bytes:
        """Return what can be passed on."""
        data = self._begun + piece
        self._begun = next((begun for begun in _BEGUN if data.endswith(begun)), b"")
        if self._begun:
            data = data[: -len(self._begun)]
        for raw, escaped in _SEPARATORS:
            if raw in data:
                data = data.replace(raw, escaped)
        return data

    def end(self) -> bytes:
        """Return what was kept back in case more of it would come."""
        rest, self._begun = self._begun, b""
        return rest


def _objects(values: Any) -> list[dict[str, Any]]:
    return [value for value in values if isinstance(value, dict)] if isinstance(values, list) else []
