"""
Server-sent events, as far as chat completions need them.

Most frames are passed on as the bytes they came in: nothing is parsed but the few that carry a usage or an
error, because this runs for every token of every stream.
"""

import logging
import re
from typing import Any

import orjson

from serve_app.accounting.usage import Usage, usage_of
from serve_app.errors import UpstreamError
from serve_app.providers.wire_failures import broken, failure_of_error

logger = logging.getLogger("sekha.providers")

FRAME_LIMIT = 32 * 1024 * 1024  # bytes of a frame that has not ended: beyond that nobody is sending frames

# A quote inside a JSON string is escaped, so these match members only, never what a model says.
_FINISH = re.compile(rb'"finish_reason"\s*:\s*"[^"]')
_NO_USAGE = re.compile(rb',\s*"usage"\s*:\s*null|"usage"\s*:\s*null\s*,?\s*')


def frame_of(chunk: Any) -> bytes:
    """One SSE frame with this JSON in it."""
    return b"data: " + orjson.dumps(chunk) + b"\n\n"


class FrameCutter:
    """Cuts what arrives into blocks of whole frames, wherever the network split them."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> bytes:
        """All frames that are whole by now, with plain line ends; empty when none is."""
        data = self._rest + data
        if b"\r" in data:
            data = data.replace(b"\r\n", b"\n")
        end = data.rfind(b"\n\n") + 2
        if end == 1:
            self._rest = data
            return b""
        self._rest = data[end:]
        return data[:end]

    def end(self) -> bytes:
        """The last frame, where the upstream closed without the blank line that ends it."""
        rest, self._rest = self._rest.strip(), b""
        return rest + b"\n\n" if rest else b""

    @property
    def pending(self) -> int:
        """Bytes of the frame that has not ended yet."""
        return len(self._rest)


class ChatFrames:
    """
    The frames of one chat completion on their way through.

    `feed` gives back what the caller shall see and remembers the rest: `usage`, `failure`, and whether the
    answer `is_complete`. `count` is the number of chunks passed on; about one token each.
    """

    def __init__(
        self, provider_id: str, wants_usage: bool, choices: int = 1, secret: str | None = None
    ) -> None:
        self.usage: Usage | None = None
        self.failure: UpstreamError | None = None
        self.is_done = False
        self.count = 0
        self._cutter = FrameCutter()
        self._provider_id = provider_id
        self._wants_usage = wants_usage
        self._secret = secret
        self._unfinished = choices

    @property
    def is_complete(self) -> bool:
        """True when every choice has told why it ended, or the upstream said [DONE]."""
        return self.is_done or self._unfinished <= 0

    def feed(self, data: bytes) -> bytes:
        """What of this goes to the caller: whole frames, maybe none."""
        shown = self._pass(self._cutter.feed(data))
        if self._cutter.pending > FRAME_LIMIT:
            self.failure = broken(self._provider_id, "sent a stream without frames")
        return shown

    def end(self) -> bytes:
        """The upstream closed: what of the last, unended frame goes to the caller."""
        return self._pass(self._cutter.end())

    def _pass(self, block: bytes) -> bytes:
        if not block:
            return b""
        if _is_plain(block):
            self.count += block.count(b"\n\n")
            self._watch_finish(block)
            return block
        shown = []
        for frame in block.split(b"\n\n"):
            if self.is_done or self.failure:
                break
            if data := self._look_at(_data_of(frame)):
                self.count += 1
                self._watch_finish(data)
                shown.append(b"data: " + data + b"\n\n")
        return b"".join(shown)

    def _watch_finish(self, block: bytes) -> None:
        self._unfinished -= len(_FINISH.findall(block))

    def _look_at(self, data: bytes) -> bytes:
        """The data of one frame as the caller shall see it; empty: not at all."""
        if not data:
            return b""
        if data == b"[DONE]":
            self.is_done = True
            return b""
        if data[:1] != b"{" or data[-1:] != b"}":
            return self._drop(data)
        bare = _NO_USAGE.sub(b"", data)
        if b'"usage"' in bare or b'"error"' in bare:
            return self._look_inside(data)
        return data if self._wants_usage else bare

    def _look_inside(self, data: bytes) -> bytes:
        try:
            chunk = orjson.loads(data)
        except orjson.JSONDecodeError:
            return self._drop(data)
        if chunk.get("error"):
            self.failure = failure_of_error(chunk["error"], self._provider_id, self._secret)
            return b""
        reported = chunk.get("usage")
        if not isinstance(reported, dict):
            return data  # a usage of somebody else's, deeper in the chunk
        self.usage = usage_of(reported) or self.usage
        if self._wants_usage:
            return data
        if not chunk.get("choices"):
            return b""
        del chunk["usage"]
        return orjson.dumps(chunk)

    def _drop(self, data: bytes) -> bytes:
        logger.warning(
            "provider '%s' sent a frame that is not JSON: %d bytes dropped", self._provider_id, len(data)
        )
        return b""


def _is_plain(block: bytes) -> bool:
    """True when every frame is one line of data with a JSON object, and none says more than text."""
    frames = block.count(b"\n\n")
    return (
        b'"usage"' not in block
        and b'"error"' not in block
        and block.startswith(b"data: {")
        and block.endswith(b"}\n\n")
        and block.count(b"\n") == 2 * frames
        and block.count(b"}\n\ndata: {") == frames - 1
    )


def _data_of(frame: bytes) -> bytes:
    """The data of a frame, on one line: between JSON's words a line break is as good as a space."""
    lines = [line[5:].strip() for line in frame.split(b"\n") if line.startswith(b"data:")]
    return b" ".join(lines)
