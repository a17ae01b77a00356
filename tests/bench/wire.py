"""HTTP/1.1 as a load generator needs it: requests made once, responses read with the least work."""

import json
import re
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

KEY = "bench"
LENGTH = re.compile(rb"content-length: *(\d+)")


@dataclass(frozen=True)
class Address:
    """Where a subject listens."""

    host: str
    port: int

    @classmethod
    def of(cls, url: str) -> "Address":
        parts = urlsplit(url)
        return cls(parts.hostname or "127.0.0.1", parts.port or 80)


def chat_request(url: str, model: str, key: str | None = KEY, **more: Any) -> bytes:
    """The bytes of one chat completion request to the subject at `url`; without a key nobody is named."""
    question = {"role": "user", "content": "How many pebbles lie on the shore?"}
    body = json.dumps({"model": model, "messages": [question], **more}, separators=(",", ":")).encode()
    authorization = f"authorization: Bearer {key}\r\n" if key else ""
    head = (
        f"POST /v1/chat/completions HTTP/1.1\r\nhost: {urlsplit(url).netloc}\r\naccept: */*\r\n"
        f"{authorization}content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


class ResponseReader:
    """Reads one response; `reset` makes it ready for the next on the same connection."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        self.status = 0
        self.complete = False
        self.keep_alive = True
        self._unread = b""
        self._left: int | None = None  # bytes of the body still to come; None: it is chunked

    def feed(self, data: bytes) -> bytes:
        """What arrived of the body; ValueError if this is not HTTP as we speak it."""
        data = self._unread + data
        if not self.status:
            end = data.find(b"\r\n\r\n")
            if end < 0:
                self._unread = data
                return b""
            self._read_head(data[:end])
            data = data[end + 4 :]
        if self._left is None:
            return self._read_chunks(data)
        self._unread = b""
        self._left -= len(data)
        self.complete = self._left <= 0
        return data

    def _read_head(self, head: bytes) -> None:
        self.status = int(head[9:12])
        head = head.lower()
        self.keep_alive = b"\r\nconnection: close" not in head
        if b"transfer-encoding: chunked" in head:
            self._left = None
        elif length := LENGTH.search(head):
            self._left = int(length[1])
        else:
            raise ValueError("a response with neither a length nor chunks")

    def _read_chunks(self, data: bytes) -> bytes:
        body, at = b"", 0
        while (line_end := data.find(b"\r\n", at)) >= 0:
            end = line_end + 2 + int(data[at:line_end], 16)
            if len(data) < end + 2:
                break
            body += data[line_end + 2 : end]
            self.complete = end == line_end + 2
            at = end + 2
        self._unread = data[at:]
        return body
