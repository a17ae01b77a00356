"""
The reader of chat completion streams: passes chunks on and checks how the answer ended.

Every frame is parsed, because a broken frame makes a caller's SDK abort the stream; most are passed on as the
bytes that arrived. This code runs for every token of every stream.
"""

import re
from typing import Any

from serve_app.errors import FailureKind
from serve_app.formats.json_objects import Found, as_json, parsed
from serve_app.formats.openai_chat.chunks import (
    choices_in,
    index_of,
    is_chunk,
    is_mere_text,
    says_something,
    usage_in,
    without_empty_usage,
)
from serve_app.formats.sse import Frame, event, plain_data
from serve_app.providers.counted_usage import Said
from serve_app.providers.finish_reasons import finish_of, tell_unknown_finish
from serve_app.providers.frame_reader import FRAME_LIMIT, FrameReader
from serve_app.providers.openai_compatible.failures import failure_of_ending
from serve_app.providers.tool_calls import Numbering

# Unreadable data that begins as an object, or contains one of these, counts as a part of the answer.
_PART_OF_AN_ANSWER = re.compile(
    rb'"(?:choices|delta|content|text|tool_calls|arguments|refusal|reasoning\w*|finish_reason|error)\b'
)


class ChatFrames(FrameReader):
    """
    The reader of one chat completion's frames.

    The text is kept in `said`, if its tokens may have to be counted.
    """

    part_of_an_answer = _PART_OF_AN_ANSWER

    def __init__(
        self,
        provider_id: str,
        wants_usage: bool,
        choices: int = 1,
        secret: str | None = None,
        frame_limit: float = FRAME_LIMIT,
        said: Said | None = None,
    ) -> None:
        super().__init__(provider_id, secret, frame_limit)
        self.text = said
        self._numbering = Numbering()
        self._wants_usage = wants_usage
        self._choices = choices
        self._seen: set[int] = set()
        self._finished: set[int] = set()

    @property
    def is_complete(self) -> bool:
        """
        Return whether every choice has given its finish reason.

        A server that sends fewer choices than were asked for is complete with [DONE].
        """
        if len(self._finished) >= self._choices:
            return True
        return self.is_done and bool(self._finished) and self._finished >= self._seen

    def has_begun(self, block: bytes) -> bool:
        """Return whether a block has output, and not just the start of an answer."""
        return says_something(block)

    def _pass_all(self, block: bytes) -> bytes | None:
        pieces = plain_data(block)
        if pieces is None:
            return None
        chunks = [parsed(data) for data in pieces]
        if not all(map(is_mere_text, chunks)):
            return self._one_by_one((data, chunk, None) for data, chunk in zip(pieces, chunks, strict=True))
        self.count += len(chunks)
        self._has_begun = True
        if self.text or self._choices > 1:
            for chunk in chunks:
                self._hear(chunk)
        return block

    def _pass_object(self, found: Found, frame: Frame | None) -> bytes:
        data = self._look_inside(found.object, found.data)
        return event(data) if data else b""

    def _look_inside(self, chunk: dict[str, Any], data: bytes) -> bytes:
        """Return the data of one chunk for the caller; empty if it gets none."""
        if not is_chunk(chunk):
            return self._drop(data)
        if chunk.get("choices"):
            self._has_begun = True
        elif self._aside is None:
            self._aside = chunk
        self._hear(chunk)
        reported = chunk.get("usage")
        if reported is None and not self._wants_usage and "usage" in chunk:
            del chunk["usage"]
            data = without_empty_usage(data)
            if is_mere_text(chunk):
                return data
        changed = self._end_choices(chunk)
        if self.failure is not None:
            return b""
        changed = self._numbering.number(chunk) or changed
        if isinstance(reported, dict):
            self.usage = usage_in(chunk) or self.usage
            if not self._wants_usage:
                if not chunk.get("choices"):
                    return b""
                del chunk["usage"]
                changed = True
        return as_json(chunk) if changed else data

    def _end_choices(self, chunk: dict[str, Any]) -> bool:
        """Record which choices this chunk ends, and how; return whether a finish reason was replaced."""
        changed = False
        for choice in choices_in(chunk):
            if choice.get("error"):
                error, kind = choice["error"], FailureKind.BROKEN
                self.failure = failure_of_ending(error, kind, self._provider_id, self._secret)
                return True
            reason = choice.get("finish_reason")
            if not isinstance(reason, str) or not reason:
                continue
            finish = finish_of(reason)
            if finish.failure is not None:
                message = f"Provider '{self._provider_id}' ended its answer with '{reason}'"
                self.failure = failure_of_ending(message, finish.failure, self._provider_id, self._secret)
                return True
            if not finish.is_known:
                tell_unknown_finish(self._provider_id, reason)
            # An answer with lost parts must not look complete.
            word = None if self.lost else finish.word
            if word != reason:
                choice["finish_reason"] = word
                changed = True
            self._finished.add(index_of(choice))
        return changed

    def _hear(self, chunk: dict[str, Any] | None) -> None:
        """Keep the text, if its tokens may have to be counted, and the indexes of the choices."""
        if self.text:
            self.text.listen(chunk)
        if self._choices > 1:
            self._seen.update(index_of(choice) for choice in choices_in(chunk))
