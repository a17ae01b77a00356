"""
Chat completions' streams on their way through: what goes on to the caller, and how the answer ended.

Every frame is parsed, because half a frame in the hands of a caller's SDK ends the whole stream; most are
passed on as the bytes they came in all the same. This runs for every token of every stream.
"""

import logging
import re
from collections.abc import Iterable
from typing import Any

from serve_app.errors import FailureKind, UpstreamError
from serve_app.formats.json_objects import Found, as_json, errors_in_list, found_in, parsed
from serve_app.formats.openai_chat.chunks import (
    choices_in,
    index_of,
    is_chunk,
    is_mere_text,
    usage_in,
    without_empty_usage,
)
from serve_app.formats.sse import Frame, FrameCutter, event, frames_in, plain_data
from serve_app.pricing.usage import Usage
from serve_app.providers.counted_usage import Said
from serve_app.providers.finish_reasons import finish_of, tell_unknown_finish
from serve_app.providers.openai_compatible.failures import (
    broken,
    failure_of_ending,
    failure_of_error,
    no_answer,
)
from serve_app.providers.tool_calls import Numbering
from serve_app.providers.vendor_words import is_error

logger = logging.getLogger("sekha.providers")

FRAME_LIMIT = 64 * 1024 * 1024  # bytes of a frame that has not ended: beyond that nobody is sending frames

# What begins as an object, or holds one of these, was more than noise between the pieces of an answer.
_PART_OF_AN_ANSWER = re.compile(
    rb'"(?:choices|delta|content|text|tool_calls|arguments|refusal|reasoning\w*|finish_reason|error)\b'
)


class ChatFrames:
    """
    The frames of one chat completion on their way through.

    `feed` gives back what the caller shall see and remembers the rest: `usage`, `failure`, and whether the
    answer `is_complete`. `count` is the number of chunks passed on, about one token each; `dropped` counts
    the frames that could not be read, and `lost` those of them that may have been a part of the answer. What
    comes after those is passed on, but the answer has no end any more: it has a `shortfall`. A single frame
    above `frame_limit` bytes is a failure.

    What is said goes into `said`, where somebody wants to count it.
    """

    def __init__(
        self,
        provider_id: str,
        wants_usage: bool,
        choices: int = 1,
        secret: str | None = None,
        frame_limit: float = FRAME_LIMIT,
        said: Said | None = None,
    ) -> None:
        self.usage: Usage | None = None
        self.failure: UpstreamError | None = None
        self.is_done = False
        self.count = 0
        self.dropped = 0
        self.lost = 0
        self._cutter = FrameCutter()
        self._numbering = Numbering()
        self._provider_id = provider_id
        self._wants_usage = wants_usage
        self._secret = secret
        self._frame_limit = frame_limit
        self._choices = choices
        self._seen: set[int] = set()
        self._finished: set[int] = set()
        self._said = said
        self._aside: dict[str, Any] | None = None  # the first object that is no part of an answer
        self._has_choices = False

    @property
    def is_complete(self) -> bool:
        """
        True when every choice has told why it ended.

        A server that gives one choice where more were asked for has said all it will once it says [DONE].
        """
        if len(self._finished) >= self._choices:
            return True
        return self.is_done and bool(self._finished) and self._finished >= self._seen

    @property
    def shortfall(self) -> UpstreamError | None:
        """What is wrong with the answer, now that the upstream has ended it; None: it is whole."""
        if self.failure is not None:
            return self.failure
        if not self.is_complete:
            if self.is_done:
                return broken(self._provider_id, "ended its answer without a finish_reason", 200)
            return self.none_at_all("was cut off in the middle of its answer")
        if self.lost:
            what = f"sent frames that cannot be read ({self.lost}): a part of its answer may be lost"
            return broken(self._provider_id, what, 200).telling({"dropped_frames": self.dropped})
        return None

    def none_at_all(self, what: str) -> UpstreamError:
        """An answer that did not come, or not to its end; `what` is how we would put it."""
        aside = None if self._has_choices else self._aside
        return no_answer(aside, what, self._provider_id, self._secret, 200)

    def feed(self, data: bytes) -> bytes:
        """What of this goes to the caller: whole frames, maybe none."""
        shown = self._pass(self._cutter.feed(data))
        if self._cutter.pending > self._frame_limit:
            megabytes = self._frame_limit / 1024**2
            self.failure = broken(self._provider_id, f"sent a frame of more than {megabytes:g} MB", 200)
        return shown

    def end(self) -> bytes:
        """The upstream closed: what of the last, unended frame goes to the caller."""
        return self._pass(self._cutter.end())

    def _pass(self, block: bytes) -> bytes:
        if not block or self.is_done or self.failure is not None:
            return b""
        pieces = plain_data(block)
        if pieces is None:
            return self._one_by_one((frame.json, None, frame) for frame in frames_in(block))
        chunks = [parsed(data) for data in pieces]
        if not all(map(is_mere_text, chunks)):
            return self._one_by_one((data, chunk, None) for data, chunk in zip(pieces, chunks, strict=True))
        self.count += len(chunks)
        self._has_choices = True
        if self._said or self._choices > 1:
            for chunk in chunks:
                self._hear(chunk)
        return block

    def _one_by_one(self, frames: Iterable[tuple[bytes, dict[str, Any] | None, Frame | None]]) -> bytes:
        """What the caller shall see of frames that are looked at: each with its data, read or not."""
        shown = []
        for data, chunk, frame in frames:
            if self.is_done or self.failure:
                break
            if seen := self._look_at(data, chunk, frame):
                self.count += 1
                shown.append(event(seen))
        return b"".join(shown)

    def _look_at(self, data: bytes, chunk: dict[str, Any] | None, frame: Frame | None) -> bytes:
        """The data of one frame as the caller shall see it; empty: not at all."""
        if data == b"[DONE]":
            self.is_done = True
            return b""
        if not data:
            return self._without_data(frame)
        is_error_event = frame is not None and frame.name.strip() == b"error"
        found = Found(chunk, data) if chunk is not None else found_in(data)
        if found is None:
            return self._look_at_no_object(data, is_error_event)
        if is_error_event or is_error(found.object):
            self.failure = failure_of_error(found.object, self._provider_id, self._secret)
            return b""
        return self._look_inside(found)

    def _look_at_no_object(self, data: bytes, is_error_event: bool) -> bytes:
        """An error in a list, as Google writes it, or in plain words; or nothing that can be read."""
        if is_error_event:
            self.failure = failure_of_error(data, self._provider_id, self._secret)
            return b""
        if (errors := errors_in_list(data)) is not None:
            self.failure = failure_of_error(errors, self._provider_id, self._secret)
            return b""
        return self._drop(data)

    def _without_data(self, frame: Frame | None) -> bytes:
        """A frame without a line of data is a comment; but some servers put a bare error into a stream."""
        bare = b"" if frame is None else frame.raw.strip()
        if bare[:1] != b"{":
            return b""
        found = found_in(bare)
        if found is not None and is_error(found.object):
            self.failure = failure_of_error(found.object, self._provider_id, self._secret)
            return b""
        return self._drop(bare)

    def _look_inside(self, found: Found) -> bytes:
        chunk, data = found.object, found.data
        if not is_chunk(chunk):
            return self._drop(data)
        if chunk.get("choices"):
            self._has_choices = True
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
        """Note which choices this chunk ends, and how; True when the caller shall see another word for it."""
        changed = False
        for choice in choices_in(chunk):
            if choice.get("error"):
                said, kind = choice["error"], FailureKind.BROKEN
                self.failure = failure_of_ending(said, kind, self._provider_id, self._secret)
                return True
            reason = choice.get("finish_reason")
            if not isinstance(reason, str) or not reason:
                continue
            finish = finish_of(reason)
            if finish.failure is not None:
                said = f"Provider '{self._provider_id}' ended its answer with '{reason}'"
                self.failure = failure_of_ending(said, finish.failure, self._provider_id, self._secret)
                return True
            if not finish.is_known:
                tell_unknown_finish(self._provider_id, reason)
            # With a part of it lost, an answer must not look as if it had come to its end.
            word = None if self.lost else finish.word
            if word != reason:
                choice["finish_reason"] = word
                changed = True
            self._finished.add(index_of(choice))
        return changed

    def _hear(self, chunk: dict[str, Any] | None) -> None:
        """Keep what is said, where somebody wants to count it; and which choices there are."""
        if self._said:
            self._said.listen(chunk)
        if self._choices > 1:
            self._seen.update(index_of(choice) for choice in choices_in(chunk))

    def _drop(self, data: bytes) -> bytes:
        """
        Leave this frame out, and remember whether it was a part of the answer.

        Only the first of a stream is logged, lest one upstream fill the log.
        """
        self.dropped += 1
        self.lost += data[:1] == b"{" or _PART_OF_AN_ANSWER.search(data) is not None
        if self.dropped == 1:
            logger.warning(
                "provider '%s' sent a frame that is not JSON: %d bytes dropped", self._provider_id, len(data)
            )
        return b""
