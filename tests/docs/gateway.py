"""
A gateway for the commands of a page: everything but Ray is real, so that it is there within seconds.

It takes the options and the environment of `sekha serve`; the port is `SEKHA__PORT`.
"""

import argparse
import asyncio
import os
import socket
from pathlib import Path
from random import Random

import uvicorn

from serve_app.api.app import build_api
from serve_app.api.auth import Keyring
from serve_app.clock import SystemClock
from serve_app.config.load import load
from serve_app.deployments.embedded import local_gateway
from serve_app.observability.metrics import exposition
from serve_app.providers.factory import build_provider


class Announced(uvicorn.Server):
    """Says when it is there."""

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        print("Sekha Serve is ready", flush=True)


async def serve(config: str | None) -> None:
    """Serve until a signal comes."""
    environ = {**os.environ, "SEKHA_STATE_DIR": str(Path.home() / ".local" / "state" / "sekha")}
    settings, clock = load(config, environ).settings, SystemClock()
    providers = {p.id: build_provider(p, environ, clock) for p in settings.llm_providers}
    local = await local_gateway(settings, providers, clock, Random(), environ=environ)
    keyring = Keyring.of(settings, environ, clock)
    local.running.control.on_runtime_config(keyring.take)
    app = build_api(local.running, keyring, exposition)
    port = settings.port
    told = uvicorn.Config(app, host="127.0.0.1", port=port, log_level="error", lifespan="off", ws="none")
    await Announced(told).serve()
    await local.aclose()


if __name__ == "__main__":
    options = argparse.ArgumentParser()
    options.add_argument("--config", "-c")
    asyncio.run(serve(options.parse_args().config))
