"""A gateway behind a real HTTP server, in a thread of the test's own process."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import uvicorn

from serve_app.config.settings import Settings
from tests.support.api import eventually
from tests.support.harness import ListedProvider
from tests.support.operators import office
from tests.support.serving import HOST, free_port

STARTS_WITHIN_S = 30.0


@contextmanager
def running(settings: Settings, providers: dict[str, ListedProvider], folder: Path) -> Iterator[str]:
    """The address where it answers."""
    port = free_port()
    server: list[uvicorn.Server] = []

    async def serve() -> None:
        async with office(folder, settings, providers) as opened:
            _, app = opened.routers[0]
            config = uvicorn.Config(app, host=HOST, port=port, log_level="error", lifespan="off", ws="none")
            server.append(uvicorn.Server(config))
            await server[0].serve()

    thread = threading.Thread(target=lambda: asyncio.run(serve()), daemon=True)
    thread.start()
    eventually(lambda: server and server[0].started, STARTS_WITHIN_S)
    yield f"http://{HOST}:{port}"
    server[0].should_exit = True
    thread.join(STARTS_WITHIN_S)
