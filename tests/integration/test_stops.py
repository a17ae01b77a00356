"""
`sekha serve` from its first line to its last process: what it prints, who listens, and every way it ends.

Each start takes seconds, so each gateway here serves several tests, or ends in a way that small processes
cannot show (`tests/unit/cli/test_supervisor.py` has those that they can).
"""

import fcntl
import json
import os
import pty
import re
import select
import signal
import socket
import stat
import subprocess
import termios
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path

import httpx
import psutil
import pytest
import yaml

from tests.support.api import Api, eventually, text_of
from tests.support.commands import BIN
from tests.support.serving import HOST, child_environment, free_port, gateway_config, inline
from tests.support.upstream import ScriptedUpstream

NOTHING_LISTENS_AFTER_S = 15
STARTS_WITHIN_S = 120
FIXED = "52365"  # of one Ray on each machine; a second one goes without
DOCUMENT = Path(__file__).parents[2] / "docs" / "security.md"


@dataclass
class Gateway:
    """A `sekha serve` under test, and what it was seen to consist of."""

    process: "subprocess.Popen[bytes]"
    port: int
    output: Path
    state: Path
    terminal: int = -1

    @property
    def said(self) -> str:
        if self.terminal >= 0:
            with suppress(OSError):  # a terminal that is closed
                while select.select([self.terminal], [], [], 0)[0]:
                    with self.output.open("ab") as file:
                        file.write(os.read(self.terminal, 65536))
        return self.output.read_text(errors="replace")

    def says(self, text: str, within_s: float = STARTS_WITHIN_S) -> None:
        eventually(lambda: text in self.said or self.process.poll() is not None, within_s, every_s=0.2)
        assert text in self.said, self.said

    def family(self) -> list[psutil.Process]:
        return psutil.Process(self.process.pid).children(recursive=True)

    def member(self, name: str) -> psutil.Process:
        return next(process for process in self.family() if name in process.name())

    def ends(self, family: list[psutil.Process], within_s: float = NOTHING_LISTENS_AFTER_S) -> int:
        """The exit status; all that belonged to it has ended by then, and nobody has its port."""
        begun = time.monotonic()
        status = self.process.wait(within_s)
        left_s = within_s - (time.monotonic() - begun)
        eventually(lambda: not [p for p in family if alive(p)], within_s=left_s, every_s=0.2)
        assert is_free(self.port)
        return status


def listening_at(process: psutil.Process) -> dict[str, set[int]]:
    """The ports that it listens on, by address."""
    found: dict[str, set[int]] = {}
    for connection in process.net_connections("inet"):
        if connection.status == psutil.CONN_LISTEN:
            found.setdefault(connection.laddr.ip, set()).add(connection.laddr.port)
    return found


def alive(process: psutil.Process) -> bool:
    return process.is_running() and process.status() != psutil.STATUS_ZOMBIE


def is_free(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex((HOST, port)) != 0


@pytest.fixture(scope="module")
def upstream() -> Iterator[ScriptedUpstream]:
    with ScriptedUpstream() as upstream:
        yield upstream


@pytest.fixture(scope="module")
def config(upstream: ScriptedUpstream, tmp_path_factory: pytest.TempPathFactory) -> Path:
    provider = inline("openai_cloud", upstream.url, {"model_id": "gpt-4o", "task": "chat_smart"})
    file = tmp_path_factory.mktemp("config") / "gateway.yaml"
    file.write_text(yaml.safe_dump(gateway_config(provider, log_level="INFO")))
    return file


@dataclass
class Start:
    """Starts gateways, and sees to it that none outlives its test."""

    config: Path
    folder: Path
    stack: ExitStack

    def __call__(self, *options: str, port: int = 0, terminal: bool = False, **more: str) -> Gateway:
        port = port or free_port()
        folder = self.folder / f"{port}-{time.monotonic_ns()}"
        folder.mkdir()
        state = self.folder / "state"
        master, slave = pty.openpty() if terminal else (-1, -1)
        with (folder / "output").open("wb") as output:
            process = subprocess.Popen(
                [BIN / "sekha", "serve", "--config", self.config, "--port", str(port), *options],
                env=child_environment(**{"SEKHA_STATE_DIR": str(state), "HOME": str(self.folder)} | more),
                stdin=slave if terminal else subprocess.DEVNULL,
                stdout=slave if terminal else output,
                stderr=slave if terminal else subprocess.STDOUT,
                start_new_session=True,
                umask=0,
                preexec_fn=(lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0)) if terminal else None,
            )
        if terminal:
            os.close(slave)
        self.stack.callback(end, process)
        return Gateway(process, port, folder / "output", state, master)


def end(process: "subprocess.Popen[bytes]") -> None:
    if process.poll() is None:
        with suppress(subprocess.TimeoutExpired):
            process.terminate()
            process.wait(NOTHING_LISTENS_AFTER_S)
        process.kill()
        process.wait()


@pytest.fixture(scope="module")
def start(config: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Start]:
    with ExitStack() as stack:
        yield Start(config, tmp_path_factory.mktemp("gateways"), stack)


# --- one gateway in a terminal ------------------------------------------------------------------------


@pytest.fixture(scope="module")
def in_terminal(start: Start) -> Gateway:
    gateway = start(terminal=True)
    gateway.says("Stop:")
    return gateway


def test_a_start_is_ten_lines_of_ours_that_say_where_to_go(in_terminal: Gateway) -> None:
    lines = in_terminal.said.splitlines()

    assert len(lines) <= 10
    assert lines[0].startswith("Configuration: ")
    ready = next(n for n, line in enumerate(lines) if "is ready" in line)
    url = f"http://{HOST}:{in_terminal.port}"
    assert [url in lines[ready], f"{url}/docs" in lines[ready + 1]] == [True, True]
    assert not [line for line in lines if "Ray Serve enabled" in line or "WARNING" in line]


def test_what_ray_says_is_in_a_file_and_what_we_say_is_plain_json_in_another(in_terminal: Gateway) -> None:
    named = re.findall(r"(\S+\.(?:jsonl|log))", in_terminal.said)
    ours, rays = (Path(name) for name in named)
    api = Api(f"http://{HOST}:{in_terminal.port}")

    assert text_of(api.chat("which way?", model="gpt-4o"))
    eventually(lambda: ours.exists() and "request_served" in ours.read_text(), within_s=10)

    assert all(json.loads(line)["logger"].startswith("sekha") for line in ours.read_text().splitlines())
    assert "Throughput optimized Ray Serve" in rays.read_text()


def test_whatever_the_umask_only_the_owner_gets_at_what_is_kept_and_at_haproxy(in_terminal: Gateway) -> None:
    haproxy = in_terminal.member("haproxy")
    run = Path(haproxy.environ()["SEKHA_RUN_FOLDER"])
    kept = [in_terminal.state, *in_terminal.state.rglob("*")]
    socket_ = next(run.glob("*/admin.sock"))

    assert {stat.S_IMODE(path.stat().st_mode) for path in kept if path.is_dir()} == {0o700}
    assert {stat.S_IMODE(path.stat().st_mode) for path in kept if path.is_file()} == {0o600}
    assert stat.S_IMODE(socket_.stat().st_mode) == 0o600
    assert stat.S_IMODE(run.stat().st_mode) == stat.S_IMODE(socket_.parent.stat().st_mode) == 0o700
    with socket.socket(socket.AF_UNIX) as admin:
        admin.connect(str(socket_))
        admin.sendall(b"set server http-sekha/SERVE_PROXY_ACTOR-x addr 127.0.0.1 port 9\n")
        assert b"Permission denied" in admin.recv(4096)


def test_who_listens_is_what_the_document_says(in_terminal: Gateway) -> None:
    """Its table, row by row: process, address, port."""
    rows = re.findall(r"^\| `([\w:-]+)` \| `([^`]+)` \| `([^`]+)` \|", DOCUMENT.read_text(), re.MULTILINE)
    assert len(rows) >= 10
    listening = {
        (kind_of(process), "front" if port == in_terminal.port else str(port), address)
        for process in in_terminal.family()
        for address, ports in listening_at(process).items()
        for port in ports
    }

    unknown = {one for one in listening if not any(fits(row, *one) for row in rows)}
    gone = {row for row in rows if row[2] != FIXED and not any(fits(row, *one) for one in listening)}
    assert not unknown
    assert not gone, f"nobody listens there any more: {listening}"


def kind_of(process: psutil.Process) -> str:
    title = " ".join(process.cmdline())
    for word in ("gcs_server", "raylet", "haproxy"):
        if word in process.name():
            return word
    for word in ("DashboardAgent", "RuntimeEnvAgent", "ServeController", "HAProxyManager", "ProxyActor"):
        if word in title:
            return word
    if match := re.match(r"ray::(ControlActor|ServeReplica:sekha:\w+)", title):
        return match[1].replace("ServeReplica:sekha:", "ServeReplica:")
    return "driver" if "serve" in title and "--port" in title else title


def fits(row: tuple[str, str, str], kind: str, port: str, address: str) -> bool:
    places = {"127.0.0.1": HOST, "every": "::"}
    there = address in ("127.0.0.1", "::", "0.0.0.0")
    is_place = address == places[row[1]] if row[1] in places else not there
    numbers = {"any": port.isdigit() and not 30000 <= int(port) < 31000, "30000-31000": port.startswith("30")}
    return row[0] == kind and is_place and numbers.get(row[2], row[2] == port)


def test_thousands_who_never_finish_their_head_do_not_shut_the_door_and_are_shown_out(
    in_terminal: Gateway,
) -> None:
    begun = time.monotonic()
    with ExitStack() as stack:
        crowd = [
            stack.enter_context(socket.create_connection((HOST, in_terminal.port), 10)) for _ in range(4200)
        ]
        for one in crowd:
            one.sendall(b"POST /v1/chat/completions HTTP/1.1\r\nHost: a\r\n")
        assert httpx.get(f"http://{HOST}:{in_terminal.port}/health", timeout=5).status_code == 200

        crowd[-1].settimeout(20)
        assert b" 408 " in crowd[-1].recv(200).splitlines()[0]
    assert time.monotonic() - begun < 25


def test_a_terminal_that_closes_ends_it_all(in_terminal: Gateway) -> None:
    family = in_terminal.family()

    os.close(in_terminal.terminal)
    in_terminal.terminal = -1

    assert in_terminal.ends(family) == 0


# --- ways that are no stop ----------------------------------------------------------------------------


def test_when_it_is_killed_the_gateway_stops_nevertheless(start: Start) -> None:
    gateway = start("--host", "0.0.0.0", "--insecure")
    gateway.says("Stop:")
    family = gateway.family()
    assert "0.0.0.0" in listening_at(gateway.member("haproxy"))
    router = next(process for process in family if kind_of(process) == "ServeReplica:router")
    for_callers = {a for a, ports in listening_at(router).items() if any(30000 <= p < 31000 for p in ports)}
    assert for_callers == {HOST}  # elsewhere they would bypass HAProxy

    gateway.process.kill()

    assert gateway.ends(family) == -signal.SIGKILL


def test_what_a_killed_gateway_left_is_taken_over_and_when_ray_dies_it_says_so(
    start: Start,
) -> None:
    killed = start()
    killed.says("Stop:")
    family = killed.family()
    haproxy = killed.member("haproxy")
    killed.process.kill()
    for process in family:
        if process != haproxy:
            process.kill()
    killed.process.wait()
    assert not is_free(killed.port)

    refused = start(port=killed.port)
    assert refused.process.wait(30) != 0
    assert f"haproxy (pid {haproxy.pid})" in refused.said
    assert "--take-over" in refused.said
    assert haproxy.is_running()

    taken = start("--take-over", port=killed.port)
    taken.says("Stop:")
    assert not [p for p in family if alive(p)]
    second = start("--take-over", port=killed.port)
    assert second.process.wait(30) != 0
    assert f"another `sekha serve` does (pid {taken.process.pid})" in second.said

    family = taken.family()
    taken.member("raylet").kill()
    taken.says("raylet died", within_s=10)
    assert taken.ends(family) != 0


# --- starts that fail ---------------------------------------------------------------------------------


def test_a_haproxy_configuration_that_we_do_not_know_is_no_start(start: Start) -> None:
    gateway = start(RAY_SERVE_HAPROXY_RETRY_ON="conn-failure\n    filter lua")

    assert gateway.process.wait(STARTS_WITHIN_S) != 0
    assert "HAProxy was not started" in gateway.said
    assert "filter lua" in gateway.said
    assert "Traceback" not in gateway.said


def test_a_state_folder_that_cannot_be_used_is_no_start(start: Start) -> None:
    gateway = start(SEKHA_STATE_DIR="/dev/null/below")

    assert gateway.process.wait(30) != 0
    assert "/dev/null/below" in gateway.said.splitlines()[-1]


def test_ray_without_a_token_is_no_start(start: Start) -> None:
    gateway = start(RAY_AUTH_MODE="disabled")

    assert gateway.process.wait(30) != 0
    assert "--insecure" in gateway.said.splitlines()[-1]
