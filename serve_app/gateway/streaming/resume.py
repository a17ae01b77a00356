"""
One answer from two targets: where the first breaks off, the second goes on.

Only plain text of one choice can be carried on: a caller who has half a tool call has nothing that another
model would begin with.
"""

from collections.abc import Iterator
from typing import Any

import orjson

from serve_app.pricing.usage import Usage


class Differs(Exception):
    """The new answer does not begin with what the caller has already."""


class SentText:
    """What a caller has been told so far. `can_continue` is False once there was more than plain text."""

    def __init__(self) -> None:
        self.text = ""
        self.id: str | None = None
        self.can_continue = True

    def listen(self, block: bytes) -> None:
        """Take note of a block of frames on its way to the caller."""
        for chunk in _chunks_in(block):
            self.id = self.id or chunk.get("id")
            for choice in chunk.get("choices") or ():
                said = _text_of(choice)
                if said is None:
                    self.can_continue = False
                else:
                    self.text += said


class Continuation:
    """The frames of a new answer, without what the caller has already, and under the old answer's id."""

    def __init__(self, told: SentText) -> None:
        self._known = told.text
        self._id = told.id
        self._seen = 0

    @property
    def has_caught_up(self) -> bool:
        """Whether the new answer has got as far as the old one."""
        return self._seen >= len(self._known)

    def feed(self, block: bytes) -> bytes:
        """What of this block is news; Differs when it is another answer."""
        return b"".join(self._frame(chunk) for chunk in _chunks_in(block))

    def _frame(self, chunk: dict[str, Any]) -> bytes:
        choices = chunk.get("choices") or []
        news = not choices  # a usage, for instance
        for choice in choices:
            said = _text_of(choice)
            if said is None:
                raise Differs
            rest = self._rest(said)
            if "content" in (choice.get("delta") or {}):
                choice["delta"]["content"] = rest
            if choice.get("finish_reason") and not self.has_caught_up:
                raise Differs
            news = news or bool(rest or choice.get("finish_reason"))
        if not news:
            return b""
        if self._id is not None:
            chunk["id"] = self._id
        return b"data: " + orjson.dumps(chunk) + b"\n\n"

    def _rest(self, said: str) -> str:
        """What goes beyond the known text."""
        known = self._known[self._seen : self._seen + len(said)]
        if not said.startswith(known):
            raise Differs
        self._seen += len(said)
        return said[len(known) :]


def usage_frame(block: bytes, usage: Usage) -> bytes:
    """A last chunk with the usage, for an upstream that told none; `block` is the answer's first."""
    first = next(_chunks_in(block), {})
    told: dict[str, Any] = {name: first[name] for name in ("id", "created", "model") if name in first}
    counts = {
        "prompt_tokens": usage.input_tokens,
        "completion_tokens": usage.output_tokens,
        "total_tokens": usage.total_tokens,
    }
    chunk = {**told, "object": "chat.completion.chunk", "choices": [], "usage": counts}
    return b"data: " + orjson.dumps(chunk) + b"\n\n"


def _chunks_in(block: bytes) -> Iterator[dict[str, Any]]:
    for frame in block.split(b"\n\n"):
        if frame.startswith(b"data: {"):
            try:
                yield orjson.loads(frame[6:])
            except orjson.JSONDecodeError:
                continue  # whoever reads the stream drops it as well


def _text_of(choice: dict[str, Any]) -> str | None:
    """What is said in a choice; None when it is more than text, or not the first choice."""
    delta = choice.get("delta") or {}
    if choice.get("index", 0) != 0 or any(v for k, v in delta.items() if k not in ("role", "content")):
        return None
    content = delta.get("content")
    return content if isinstance(content, str) else ""
