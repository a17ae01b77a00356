"""A way to a server that can be shut, or fall silent."""

import asyncio
import contextlib


class Gate:
    """
    Passes every byte on to a server of this machine, at a port of its own.

    `shut` refuses new connections and breaks the ones there are, `silent` lets nothing through any more but
    keeps them, `reopen` goes on as if nothing had been.
    """

    def __init__(self, port: int) -> None:
        self.port = 0
        self._behind = port
        self._server: asyncio.Server | None = None
        self._passing = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()

    async def open(self) -> None:
        self._passing.set()
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def shut(self) -> None:
        assert self._server is not None
        self._server.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def silent(self) -> None:
        self._passing.clear()

    async def reopen(self) -> None:
        self._passing.set()
        if self._server is None or not self._server.is_serving():
            await self.open()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            behind_reader, behind_writer = await asyncio.open_connection("127.0.0.1", self._behind)
            with contextlib.suppress(ConnectionError):
                await asyncio.gather(self._pass(reader, behind_writer), self._pass(behind_reader, writer))
        except asyncio.CancelledError:
            pass
        finally:
            self._tasks.discard(task)
            writer.close()

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while block := await reader.read(65536):
                await self._passing.wait()
                writer.write(block)
                await writer.drain()
        finally:
            writer.close()
