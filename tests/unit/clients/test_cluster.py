"""Who cannot join a cluster hears why, and in time."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

JOIN = """
import asyncio
from serve_app.clients.gateway import GatewayClient
from serve_app.errors import GatewayError
async def ask():
    await GatewayClient(timeout_s=2).chat("hi")
try:
    asyncio.run(ask())
except GatewayError as error:
    print(type(error).__name__, error)
import os, sys
sys.stdout.flush()
os._exit(0)  # Ray's own attempt goes on in a thread
"""


@pytest.fixture
def silent_address() -> Iterator[str]:
    """Somebody accepts connections there and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield f"127.0.0.1:{listening.getsockname()[1]}"


def refusal(address: str, home: Path, **environ: str) -> str:
    """What a program hears that calls a gateway of the cluster at this address, and in how many seconds."""
    told = {**os.environ, "RAY_ADDRESS": address, "HOME": str(home), "RAY_AUTH_MODE": "disabled", **environ}
    done = subprocess.run(
        [sys.executable, "-c", JOIN], capture_output=True, text=True, timeout=60, check=True, env=told
    )
    return done.stdout


@pytest.mark.process
def test_a_dead_address_is_told_at_once(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        address = f"127.0.0.1:{listening.getsockname()[1]}"

    said = refusal(address, tmp_path)

    assert said.startswith("GatewayUnavailable Cannot join a Ray cluster: nothing answers at RAY_ADDRESS")
    assert address in said
    assert "refused" in said


@pytest.mark.process
def test_a_silent_address_is_given_up_after_the_clients_timeout(tmp_path: Path, silent_address: str) -> None:
    begun = time.monotonic()

    said = refusal(silent_address, tmp_path)

    assert f"the Ray cluster at {silent_address} did not answer within 2 s" in said
    assert time.monotonic() - begun < 50  # Ray itself would take a minute and more


@pytest.mark.process
def test_a_missing_token_is_named(tmp_path: Path, silent_address: str) -> None:
    said = refusal(silent_address, tmp_path, RAY_AUTH_MODE="token")

    assert "asks for a token" in said
    assert "RAY_AUTH_TOKEN" in said
