"""
Callers who go away in the middle of a request.

They speak HTTP over bare sockets, so that nothing tidies up after them: some say goodbye (FIN), some just
drop the line (RST).
"""

import asyncio
import json
import socket
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from random import Random
from types import TracebackType
from typing import Any
from urllib.parse import urlsplit

from tests.support.api import user

CHAT, EMBEDDINGS = "/v1/chat/completions", "/v1/embeddings"
AT_ONCE = struct.pack("ii", 1, 0)  # SO_LINGER: what is unsent is thrown away, and the line is dropped


@dataclass(frozen=True)
class Moment:
    """What the caller has asked for, and what of the answer there is when it leaves."""

    name: str
    orders: Mapping[str, Any]
    stream: bool
    hears: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        return self.name


FOREVER = {"chunks": 3_000, "chunk_delay_s": 0.02}  # a minute: longer than anybody waits here
SILENT = {"chunks": 10, "stall_after": 2}
STALL = {"stall": True}

MOMENTS = (
    Moment("waiting for a whole answer", STALL, stream=False),
    Moment("before the first token", STALL, stream=True),
    Moment("in the middle of a stream", FOREVER, stream=True, hears=b"w1 "),
    Moment("in a silence of the stream", SILENT, stream=True, hears=b"w1 "),
    Moment(
        "while a stream is held back", FOREVER, stream=True, headers={"x-sekha-on-stream-failure": "hold"}
    ),
)


class Visitor:
    """One caller with one request under way. Leaving the context leaves the request."""

    def __init__(
        self,
        url: str,
        path: str,
        body: Mapping[str, Any],
        headers: Mapping[str, str] | None = None,
        *,
        drops_the_line: bool = False,
    ) -> None:
        place = urlsplit(url)
        self._host, self._port = place.hostname, place.port
        self._body = json.dumps(body).encode()
        lines = {
            "Host": place.netloc,
            "Content-Type": "application/json",
            "Content-Length": str(len(self._body)),
            **(headers or {}),
        }
        told = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
        self._head = f"POST {place.path}{path} HTTP/1.1\r\n{told}\r\n".encode()
        self._drops_the_line = drops_the_line

    async def __aenter__(self) -> "Visitor":
        self._reader, self._writer = await asyncio.open_connection(self._host, self._port)
        self._writer.write(self._head)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._drops_the_line:
            line: socket.socket = self._writer.get_extra_info("socket")
            line.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, AT_ONCE)
        self._writer.transport.abort()

    async def ask(self, share: float = 1.0) -> None:
        """Send the body, or only so much of it."""
        self._writer.write(self._body[: int(len(self._body) * share)])
        await self._writer.drain()

    async def heard(self, what: bytes) -> bytes:
        """Everything up to these bytes of the answer."""
        return await self._reader.readuntil(what)


def question(model: str, orders: Mapping[str, Any], **fields: Any) -> dict[str, Any]:
    """A chat that carries orders for the scripted upstream."""
    return {"model": model, "messages": [user(f"[[{json.dumps(orders)}]]")], **fields}


async def leave_somewhere(url: str, path: str, body: Mapping[str, Any], within_s: float, rng: Random) -> None:
    """
    Ask, and leave at a random moment, one in ten before the body is whole.

    An answer that comes sooner is not read either.
    """
    drops, whole, patience_s = rng.random() < 0.5, rng.random() < 0.9, rng.random() * within_s
    async with Visitor(url, path, body, drops_the_line=drops) as visitor:
        await visitor.ask(1.0 if whole else 0.5)
        await asyncio.sleep(patience_s)
