"""
Server-sent events, as far as chat completions need them.

Every frame is parsed, because half a frame in the hands of a caller's SDK ends the whole stream; most are
passed on as the bytes they came in all the same. This runs for every token of every stream.
"""

import json
import logging
import re
from typing import Any

import orjson

from serve_app.accounting.reported import usage_of
from serve_app.accounting.usage import Usage
from serve_app.errors import UpstreamError
from serve_app.providers.counted import Said
from serve_app.providers.wire_failures import broken, failure_of_error

logger = logging.getLogger("sekha.providers")

FRAME_LIMIT = 64 * 1024 * 1024  # bytes of a frame that has not ended: beyond that nobody is sending frames

# A quote inside a JSON string is escaped, so these match members only, never what a model says.
_FINISH = re.compile(rb'"finish_reason"\s*:\s*"[^"]')
_HALF_OF_A_PAIR = re.compile(rb"\\u[dD][89a-fA-F]")
_NO_USAGE = re.compile(rb',\s*"usage"\s*:\s*null|"usage"\s*:\s*null\s*,?\s*')


def frame_of(chunk: Any) -> bytes:
    """One SSE frame with this JSON in it."""
    return b"data: " + orjson.dumps(chunk) + b"\n\n"


class FrameCutter:
    """
    Cuts what arrives into blocks of whole frames, wherever the network split them.

    Every byte is looked at once, however small the pieces of a large frame are.
    """

    def __init__(self) -> None:
        self._rest = bytearray()
        self._cut_return = False  # the last piece ended within a line end: "\r" came, "\n" may follow

    def feed(self, data: bytes) -> bytes:
        """All frames that are whole by now, with plain line ends; empty when none is."""
        if self._cut_return or b"\r" in data:
            data = self._with_plain_line_ends(data)
        end = data.rfind(b"\n\n") + 2
        if end == 1 and not (self._rest.endswith(b"\n") and data.startswith(b"\n")):
            self._rest += data
            return b""
        whole = data[:end]
        if self._rest:
            whole = bytes(self._rest) + whole
            self._rest.clear()
        if end < len(data):
            self._rest += data[end:]
        return whole

    def end(self) -> bytes:
        """The last frame, where the upstream closed without the blank line that ends it."""
        rest = bytes(self._rest).strip()
        self._rest.clear()
        return rest + b"\n\n" if rest else b""

    @property
    def pending(self) -> int:
        """Bytes of the frame that has not ended yet."""
        return len(self._rest)

    def _with_plain_line_ends(self, data: bytes) -> bytes:
        if self._cut_return:
            data = b"\r" + data
        self._cut_return = data.endswith(b"\r")
        if self._cut_return:
            data = data[:-1]
        return data.replace(b"\r\n", b"\n")


class ChatFrames:
    """
    The frames of one chat completion on their way through.

    `feed` gives back what the caller shall see and remembers the rest: `usage`, `failure`, and whether the
    answer `is_complete`. `count` is the number of chunks passed on, about one token each; `dropped` counts
    the frames that could not be read. A single frame above `frame_limit` bytes is a failure.

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
        self._cutter = FrameCutter()
        self._provider_id = provider_id
        self._wants_usage = wants_usage
        self._secret = secret
        self._frame_limit = frame_limit
        self._choices = choices
        self._finished: set[int] = set()
        self._said = said

    @property
    def is_complete(self) -> bool:
        """True when every choice has told why it ended, or the upstream said [DONE]."""
        return self.is_done or len(self._finished) >= self._choices

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
        if not block:
            return b""
        if _is_plain(block) and self._all_parse(block):
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
                if self._said:
                    self._said.listen(_parsed(data))
                shown.append(b"data: " + data + b"\n\n")
        return b"".join(shown)

    def _all_parse(self, block: bytes) -> bool:
        """Whether each frame of a plain block is JSON."""
        chunks = [_parsed(data) for data in block[6:-2].split(b"\n\ndata: ")]
        if None in chunks:
            return False
        if self._said:
            for chunk in chunks:
                self._said.listen(chunk)
        return True

    def _watch_finish(self, block: bytes) -> None:
        """Note which choices have ended; some upstreams say so twice, and that is still one choice."""
        if _FINISH.search(block) is None:
            return
        for frame in block.split(b"\n\n"):
            if _FINISH.search(frame):
                self._finished |= _ended_in(frame.removeprefix(b"data: "))

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
        if _parsed(data) is None:
            return self._drop(data)
        return data if self._wants_usage else bare

    def _look_inside(self, data: bytes) -> bytes:
        chunk = _parsed(data)
        if chunk is None:
            return self._drop(data)
        if chunk.get("error"):
            self.failure = failure_of_error(chunk["error"], self._provider_id, self._secret)
            return b""
        reported = chunk.get("usage")
        if not isinstance(reported, dict):
            return data  # a usage of somebody else's, deeper in the chunk
        self.usage = usage_of(reported, chunk.get("service_tier")) or self.usage
        if self._wants_usage:
            return data
        if not chunk.get("choices"):
            return b""
        del chunk["usage"]
        return orjson.dumps(chunk)

    def _drop(self, data: bytes) -> bytes:
        """Leave this frame out. Only the first of a stream is logged, lest one upstream fill the log."""
        self.dropped += 1
        if self.dropped == 1:
            logger.warning(
                "provider '%s' sent a frame that is not JSON: %d bytes dropped", self._provider_id, len(data)
            )
        return b""


def says_something(block: bytes) -> bool:
    """Whether there is more in these frames than that an answer begins: a word, a tool call, an end."""
    return any(_speaks(frame.removeprefix(b"data: ")) for frame in block.split(b"\n\n") if frame)


def speaks(chunk: Any) -> bool:
    """As `says_something`, of one chunk; what we do not understand, the caller shall see."""
    choices = chunk.get("choices") if isinstance(chunk, dict) else None
    if not isinstance(choices, list) or not choices:
        return True
    return any(
        choice.get("finish_reason")
        or any(value for name, value in (choice.get("delta") or {}).items() if name != "role")
        for choice in choices
        if isinstance(choice, dict)
    )


def _speaks(data: bytes) -> bool:
    try:
        return speaks(orjson.loads(data))
    except orjson.JSONDecodeError:
        return True


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


def _parsed(data: bytes) -> dict[str, Any] | None:
    """
    The object in a frame's data; None where there is none.

    Upstreams that cut an emoji in two send half of it as an escape: JSON to everyone but orjson.
    """
    try:
        chunk = orjson.loads(data)
    except orjson.JSONDecodeError:
        if _HALF_OF_A_PAIR.search(data) is None:
            return None
        try:
            chunk = json.loads(data)
        except (ValueError, RecursionError):
            return None
    return chunk if isinstance(chunk, dict) else None


def _data_of(frame: bytes) -> bytes:
    """The data of a frame, on one line: between JSON's words a line break is as good as a space."""
    lines = [line[5:].strip() for line in frame.split(b"\n") if line.startswith(b"data:")]
    return b" ".join(lines)


def _ended_in(data: bytes) -> set[int]:
    """Which choices this chunk ends."""
    choices = (_parsed(data) or {}).get("choices")
    ended = (
        choice.get("index")
        for choice in (choices if isinstance(choices, list) else ())
        if isinstance(choice, dict) and choice.get("finish_reason")
    )
    return {index if isinstance(index, int) else 0 for index in ended}
