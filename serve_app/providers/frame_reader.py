"""
The base of readers of SSE frames: passes frames on, and counts those that cannot be read.

The meaning of a format's frames is in the subclasses.
"""

import logging
import re
from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import Any

from serve_app.errors import UpstreamError
from serve_app.formats.json_objects import Found, errors_in_list, found_in
from serve_app.formats.sse import Frame, FrameCutter, frames_in
from serve_app.pricing.usage import Usage
from serve_app.providers.openai_compatible.failures import broken, failure_of_error, no_answer
from serve_app.providers.vendor_words import is_error

logger = logging.getLogger("sekha.providers")

FRAME_LIMIT = 64 * 1024 * 1024  # bytes of an unfinished frame


class FrameReader(ABC):
    """
    A reader of the frames of one answer.

    `feed` returns the frames for the caller and keeps the rest. Nearly every frame is passed on unchanged.

    Attributes:
        usage: the reported usage; None until then.
        failure: why the stream failed; None so far. A single frame above `frame_limit` bytes is a failure.
        is_done: the upstream has sent its last frame.
        count: chunks passed on, about one token each.
        dropped: frames that could not be read.
        lost: those of them that may have been a part of the answer. Later frames are passed on, but the
            answer is no longer complete: it has a `shortfall`.
        text: the text of the answer, if its tokens may have to be counted; else None.
    """

    # A frame that cannot be read was a part of the answer where it holds one of these.
    part_of_an_answer: re.Pattern[bytes]

    def __init__(self, provider_id: str, secret: str | None = None, frame_limit: float = FRAME_LIMIT) -> None:
        self.usage: Usage | None = None
        self.failure: UpstreamError | None = None
        self.is_done = False
        self.count = 0
        self.dropped = 0
        self.lost = 0
        self.text: Any = None
        self._cutter = FrameCutter()
        self._provider_id = provider_id
        self._secret = secret
        self._frame_limit = frame_limit
        self._aside: dict[str, Any] | None = None  # the first object that is no part of an answer
        self._has_begun = False  # a part of an answer was seen
        self._is_over = False  # nothing that follows can be a part of the answer

    @property
    @abstractmethod
    def is_complete(self) -> bool:
        """Return whether the answer has given its finish reason."""

    @property
    def shortfall(self) -> UpstreamError | None:
        """Return why an ended answer is incomplete; None if it is whole."""
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

    @abstractmethod
    def has_begun(self, block: bytes) -> bool:
        """Return whether a block has output: text, a tool call or an end, not just the start of an answer."""

    def none_at_all(self, what: str) -> UpstreamError:
        """Return the failure of an answer that is missing or was cut off."""
        aside = None if self._has_begun else self._aside
        return no_answer(aside, what, self._provider_id, self._secret, 200)

    def feed(self, data: bytes) -> bytes:
        """Return the frames of this data for the caller: whole ones, maybe none."""
        passed = self._pass(self._cutter.feed(data))
        if self._cutter.pending > self._frame_limit:
            megabytes = self._frame_limit / 1024**2
            self.failure = broken(self._provider_id, f"sent a frame of more than {megabytes:g} MB", 200)
        return passed

    def end(self) -> bytes:
        """Return the last, unfinished frame for the caller, after the upstream has closed."""
        return self._pass(self._cutter.end())

    def closing(self) -> bytes:
        """Return the frames that a whole answer still lacks for its caller."""
        return b""

    # --- what a format adds -----------------------------------------------------------------------------

    @abstractmethod
    def _pass_all(self, block: bytes) -> bytes | None:
        """Return the caller's part of a block of plain frames; None if they must be read one by one."""

    @abstractmethod
    def _pass_object(self, found: Found, frame: Frame | None) -> bytes:
        """Return the frame that the caller gets for an object; empty: none."""

    # --- one frame after the other -----------------------------------------------------------------------

    def _pass(self, block: bytes) -> bytes:
        if not block or self.is_done or self.failure is not None:
            return b""
        passed = self._pass_all(block)
        if passed is None:
            passed = self._one_by_one((frame.json, None, frame) for frame in frames_in(block))
        return passed

    def _one_by_one(self, frames: Iterable[tuple[bytes, dict[str, Any] | None, Frame | None]]) -> bytes:
        """Return the caller's part of frames that are read one by one: each with its data, parsed or not."""
        passed = []
        for data, chunk, frame in frames:
            if self.is_done or self.failure:
                break
            if seen := self._look_at(data, chunk, frame):
                self.count += 1
                passed.append(seen)
        return b"".join(passed)

    def _look_at(self, data: bytes, chunk: dict[str, Any] | None, frame: Frame | None) -> bytes:
        """Return one frame for the caller; empty if it gets none."""
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
        return self._pass_object(found, frame)

    def _look_at_no_object(self, data: bytes, is_error_event: bool) -> bytes:
        """Handle data without an object: a list of errors (Google), an error text, or unreadable data."""
        if is_error_event:
            self.failure = failure_of_error(data, self._provider_id, self._secret)
            return b""
        if (errors := errors_in_list(data)) is not None:
            self.failure = failure_of_error(errors, self._provider_id, self._secret)
            return b""
        return self._drop(data)

    def _without_data(self, frame: Frame | None) -> bytes:
        """Skip a frame without data, a comment; but read a bare error object, which some servers send."""
        bare = b"" if frame is None else frame.raw.strip()
        if bare[:1] != b"{":
            return b""
        found = found_in(bare)
        if found is not None and is_error(found.object):
            self.failure = failure_of_error(found.object, self._provider_id, self._secret)
            return b""
        return self._drop(bare)

    def _drop(self, data: bytes) -> bytes:
        """
        Drop this frame, and count it as lost if it may have been a part of the answer.

        Only the first one of a stream is logged, so that one upstream cannot fill the log.
        """
        self.dropped += 1
        if not self._is_over:
            self.lost += data[:1] == b"{" or self.part_of_an_answer.search(data) is not None
        if self.dropped == 1:
            logger.warning(
                "provider '%s' sent a frame that is not JSON: %d bytes dropped", self._provider_id, len(data)
            )
        return b""
