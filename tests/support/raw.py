"""An upstream that says exactly these bytes, however wrong they are, and hangs up when it likes."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass, field

Talk = Callable[["Line"], Awaitable[None]]


@dataclass
class Line:
    """One connection to the upstream, seen from there."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def hear(self) -> None:
        """Read a whole request."""
        head = await self.reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0])
        await self.reader.readexactly(length)

    async def say(self, status: str, kind: str, body: bytes, length: int | None = None) -> None:
        """An answer; `length` is what the head promises, if not what comes."""
        promised = len(body) if length is None else length
        head = f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {promised}\r\n\r\n"
        await self.add(head.encode() + body)

    async def begin(self, kind: str) -> None:
        """The head of an answer that goes on until the connection ends."""
        await self.add(f"HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nConnection: close\r\n\r\n".encode())

    async def add(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def until_closed(self) -> None:
        """Wait until the other side hangs up."""
        while await self.reader.read(65536):
            pass


@dataclass
class RawUpstream:
    """Where it is, how many connections it has had, and how many are open."""

    url: str
    seen: int = 0
    open: int = 0
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)


@contextlib.asynccontextmanager
async def raw_upstream(talk: Talk) -> AsyncIterator[RawUpstream]:
    """A server that talks like this on every connection."""
    upstream = RawUpstream("")

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        upstream.seen += 1
        upstream.open += 1
        try:
            with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
                await talk(Line(reader, writer))
        finally:
            upstream.open -= 1
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    upstream.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield upstream
    finally:
        server.close()


@contextlib.contextmanager
def deaf_address() -> Iterator[str]:
    """An address where nobody picks up: the queue of waiting connections is full."""
    with contextlib.ExitStack() as sockets:
        listener = sockets.enter_context(socket.socket())
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for _ in range(4):
            waiting = sockets.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(listener.getsockname())
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
