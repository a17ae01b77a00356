"""Callers who send slowly, at both front doors: HAProxy before `sekha serve`, and Serve's own proxy."""

import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from urllib.parse import urlsplit

import pytest
import yaml

from tests.support.api import Api
from tests.support.commands import Command
from tests.support.serving import (
    HOST,
    ONE_REPLICA,
    Gateway,
    child_environment,
    free_port,
    gateway_config,
    inline,
)
from tests.support.upstream import ScriptedUpstream

MOST_CONNECTIONS = 120  # of HAProxy
HALF_OPEN = 200
WITHIN_S = 90  # far above every bound that is tried, for a busy machine
BETWEEN_BYTES_S = 0.3

HALF_A_HEAD = b"POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Le"
PATH = "/v1/chat/completions"


@pytest.fixture(scope="module")
def upstream() -> Iterator[ScriptedUpstream]:
    with ScriptedUpstream() as running:
        yield running


@pytest.fixture(scope="module")
def haproxy(upstream: ScriptedUpstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    """A `sekha serve` that lets few connections in, and gives a body three seconds."""
    folder, port = tmp_path_factory.mktemp("slow"), free_port()
    config = folder / "gateway.yaml"
    config.write_text(yaml.safe_dump(impatient(upstream)))
    command = ["sekha", "serve", "--config", str(config), "--port", str(port)]
    few = child_environment(RAY_SERVE_HAPROXY_MAXCONN=str(MOST_CONNECTIONS))
    with Command(command, few, folder / "output") as running:
        running.says("is ready")
        yield Api(f"http://{HOST}:{port}")


@pytest.fixture(params=["haproxy", "serves-own"])
def door(request: pytest.FixtureRequest, upstream: ScriptedUpstream) -> Api:
    if request.param == "haproxy":
        found: Api = request.getfixturevalue("haproxy")
        return found
    gateway: Gateway = request.getfixturevalue("gateway")
    return gateway(impatient(upstream))


def impatient(upstream: ScriptedUpstream) -> dict[str, object]:
    provider = inline("cloud", upstream.url, {"model_id": "gpt-4o", "task": "chat_smart"})
    return gateway_config(provider, router={**ONE_REPLICA, "body_timeout_s": 3})


@dataclass
class SlowCaller:
    """A connection on which `begun` was sent, and nothing more unless the caller is told to."""

    connection: socket.socket

    @classmethod
    def at(cls, api: Api, begun: bytes) -> "SlowCaller":
        where = urlsplit(api.url)
        connection = socket.create_connection((where.hostname, where.port), WITHIN_S)
        connection.sendall(begun)
        return cls(connection)

    def dribble(self) -> bytes:
        """Send a byte now and then until there is an answer, or the connection has ended; what came."""
        self.connection.settimeout(BETWEEN_BYTES_S)
        give_up = time.monotonic() + WITHIN_S
        while time.monotonic() < give_up:
            try:
                return self.connection.recv(65536)
            except TimeoutError:
                try:
                    self.connection.sendall(b" ")
                except OSError:
                    return b""
            except OSError:
                return b""
        raise AssertionError(f"still listened to after {WITHIN_S} s")

    def outcome(self) -> bytes:
        """Wait, in silence, for an answer or the end of the connection."""
        self.connection.settimeout(WITHIN_S)
        try:
            return self.connection.recv(65536)
        except ConnectionError:
            return b""


def is_turned_away(said: bytes) -> bool:
    """Whether it was a 408, or the end of the connection without a word."""
    return said == b"" or said.split(b" ", 2)[1] == b"408"


def slow_body(api: Api) -> bytes:
    path = urlsplit(api.url).path + PATH
    head = f"POST {path} HTTP/1.1\r\nHost: {HOST}\r\nContent-Type: application/json\r\nContent-Length: 5000"
    return head.encode() + b"\r\n\r\n{"


def test_a_head_that_does_not_end_is_given_up_and_others_get_in_again(haproxy: Api) -> None:
    """More of them than HAProxy lets in: nobody else gets in until their time is up."""
    with ExitStack() as connections:
        slow = [SlowCaller.at(haproxy, HALF_A_HEAD) for _ in range(HALF_OPEN)]
        for caller in slow:
            connections.enter_context(caller.connection)

        served = haproxy.chat("hi", model="gpt-4o")

        assert served.status_code == 200
        assert all(is_turned_away(caller.outcome()) for caller in slow)


def test_heads_that_do_not_end_keep_nobody_else_from_an_answer(door: Api) -> None:
    with ExitStack() as connections:
        for _ in range(MOST_CONNECTIONS // 2):
            connections.enter_context(SlowCaller.at(door, HALF_A_HEAD).connection)

        assert door.chat("hi", model="gpt-4o").status_code == 200


def test_a_body_that_comes_a_byte_at_a_time_is_given_up_while_others_are_served(door: Api) -> None:
    with ExitStack() as connections:
        slow = [SlowCaller.at(door, slow_body(door)) for _ in range(MOST_CONNECTIONS // 4)]
        for caller in slow:
            connections.enter_context(caller.connection)

        served = door.chat("hi", model="gpt-4o")

        assert served.status_code == 200
        assert all(is_turned_away(caller.dribble()) for caller in slow)
        assert door.chat("hi", model="gpt-4o").status_code == 200
