"""
Part two: a head and two worker nodes, all of them on this machine, and Redis for what the head must remember.

Each node is a `ray start` with a HAProxy of its own on a port of its own. The head runs no replicas. The
callers come in at the workers, in turn, as a load balancer in front of them would send them; when a worker is
struck, it is the one they are not sent to: that balancer is not the gateway's.
"""

import contextlib
import os
import secrets
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import psutil

from serve_app.cli.production import PRODUCTION, SIDE_PORTS
from tests.bench.processes import ROOT, WORK, DidNotStart, Family, Server, server
from tests.bench.subjects import free_port, status_of
from tests.chaos.beside import beside
from tests.chaos.play import Act, Blow
from tests.chaos.stage import (
    CONTROL,
    DOOMED,
    REPLICAS,
    Play,
    ask_the_doomed,
    breakers,
    configuration,
    kill_all,
    ray_folder,
    roles,
    upstream,
    wait_for,
)

NAMES = ("worker", "head")
HOST = "127.0.0.1"
# Ray allows parts of a node 15 s to start, and here three nodes and the callers share the processors: so it
# starts first, where `nice` may say so, and then waits its turn like the others.
PRECEDENCE = -10
NODE_HOST = "127.0.0.2"  # Ray takes 127.0.0.1 for a mistake, and the machine's outer address instead
BIN = Path(sys.executable).parent
DEPLOY_S = 180.0
START_S = 180.0
HEAD_AWAY_S = 5.0


class Node:
    """One Ray node: a `ray start`, and everything that came of it."""

    def __init__(self, name: str, flags: Sequence[str], environment: Mapping[str, str]) -> None:
        self.name = name
        self.port = free_port()  # its HAProxy's
        self.url = f"http://{HOST}:{self.port}"
        self._command = ["nice", "-n", str(PRECEDENCE), str(BIN / "ray"), "start", "--block", *flags]
        self._environment = {
            **environment,
            **{name: str(free_port()) for name in SIDE_PORTS[:2]},
            "RAY_SERVE_WORKER_PROXY_HTTP_PORT": str(self.port),
        }
        self._running = contextlib.ExitStack()
        self._server: Server | None = None

    @property
    def family(self) -> Family:
        assert self._server is not None
        return self._server.family

    def start(self) -> None:
        self._server = self._running.enter_context(
            server(f"chaos-{self.name}", self._command, self._environment)
        )

    def stop(self) -> None:
        self._running.close()

    def unstarted(self) -> str:
        """What is missing until others may join it, or it them; a start that failed is tried again."""
        assert self._server is not None
        if "Ray runtime started" in self._server.log.read_text(errors="replace"):
            self._take_turns()
            return ""
        if self._server.process.poll() is not None:
            self.stop()
            self.start()
        return f"the {self.name} node has not started"

    def _take_turns(self) -> None:
        for process in self.family.members():
            with contextlib.suppress(psutil.Error):
                if process.nice() < 0:
                    process.nice(0)

    def closed(self) -> str:
        """What is missing until callers may come in here."""
        return "" if status_of(self.url, "/health") == 200 else f"the {self.name} node lets nobody in"

    def kill(self) -> Blow:
        """As when the machine loses its power."""
        blow = kill_all(self.family, f"the {self.name} node")
        self.stop()
        return blow


class Cluster:
    """The nodes, and what can happen to them."""

    def __init__(self, play: Play, head: Node, workers: Sequence[Node], folder: str) -> None:
        self.play = play
        self.folder = folder
        self.head = head
        self.workers = list(workers)

    @property
    def nodes(self) -> list[Node]:
        return [self.head, *self.workers]

    def acts(self) -> dict[str, Act]:
        """By the names that `--only` takes."""
        return {
            "head": Act(
                f"kill the head, away {HEAD_AWAY_S:g} s",
                self.lose_the_head,
                self.missing,
                self.open_a_breaker,
                self.forgotten_breaker,
            ),
            "worker": Act("kill a worker node", self.lose_a_worker, self.missing, self.come_in_elsewhere),
        }

    def missing(self) -> str:
        """Processes first: Serve's own word may be from before the blow."""
        if unstarted := self.head.unstarted():
            return unstarted
        there = roles([node.family for node in self.nodes])
        for role, count in {"gcs_server": 1, "raylet": len(self.nodes), **REPLICAS, CONTROL: 1}.items():
            if there[role] < count:
                return f"{count - there[role]} {role} missing"
        if short := len(self.nodes) - self.play.sighting.nodes:
            return self.play.lacking() or (f"{short} nodes missing" if short > 0 else "")
        return self.play.lacking()

    def lose_the_head(self) -> Blow:
        blow = self.head.kill()
        time.sleep(HEAD_AWAY_S)
        # The workers on this machine name the head's address, so Ray would think that it still runs here.
        (Path(self.folder) / "ray" / "ray_current_cluster").unlink(missing_ok=True)
        self.head.start()
        return blow

    def come_in_elsewhere(self) -> None:
        """The balancer's part is not measured."""
        self.play.call([self.workers[0].url])

    def lose_a_worker(self) -> Blow:
        """The last one, which is not called but holds its share of the replicas."""
        lost = self.workers.pop()
        held = roles([lost.family])
        blow = lost.kill()
        share = ", ".join(f"{held[role]} {role}" for role in [*REPLICAS, CONTROL] if held[role])
        return Blow(blow.since, blow.at, f"{blow.whom}, among them {share}")

    def open_a_breaker(self) -> None:
        def closed() -> str:
            ask_the_doomed(self.workers[0].url, 3)
            return "" if breakers(self.workers[0].url) == {"open"} else f"the breaker of {DOOMED} is not open"

        wait_for(closed)

    def forgotten_breaker(self) -> Sequence[str]:
        states = breakers(self.workers[0].url)
        return (f"the breaker of {DOOMED} survived, it is closed",) if "closed" in states else ()


@contextlib.contextmanager
def redis(folder: str) -> Iterator[int]:
    """A Redis of our own, which keeps nothing on disk; its port."""
    port = free_port()
    command = ["redis-server", "--port", str(port), "--bind", HOST, "--dir", folder, "--save", ""]
    try:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, start_new_session=True
        )
    except OSError as error:
        raise DidNotStart(f"redis-server: {error}") from error
    try:
        yield port
    finally:
        process.kill()
        process.wait()


def nodes(environment: Mapping[str, str]) -> tuple[str, Node, list[Node]]:
    """Where the cluster will be, and its nodes, not yet started."""
    port = free_port()
    common = [f"--node-ip-address={NODE_HOST}", "--min-worker-port=0", "--max-worker-port=0"]
    common += ["--object-store-memory=100000000", "--disable-usage-stats"]
    head = Node(
        "head",
        ["--head", f"--port={port}", "--num-cpus=0", "--include-dashboard=false", *common],
        environment,
    )
    flags = [f"--address={NODE_HOST}:{port}", "--num-cpus=2", *common]
    return f"{NODE_HOST}:{port}", head, [Node(f"worker-{n}", flags, environment) for n in (1, 2)]


def deploy(address: str, config: Path, port: int, environment: Mapping[str, str]) -> None:
    log = WORK / "chaos-deploy.log"
    command = [sys.executable, "-m", "tests.chaos.deploy", address, str(config), str(port)]
    with log.open("wb") as output:
        try:
            subprocess.run(
                command,
                cwd=ROOT,
                env={**os.environ, **environment},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                timeout=DEPLOY_S,
                check=True,
            )
        except subprocess.SubprocessError as error:
            raise DidNotStart(f"the gateway was not deployed: see {log.relative_to(ROOT)}") from error


@contextlib.contextmanager
def cluster(play: Play) -> Iterator[Cluster]:
    """The gateway on three nodes, under load, with everybody watching."""
    with contextlib.ExitStack() as running:
        folder = running.enter_context(ray_folder("cluster"))
        environment = {
            **PRODUCTION,
            **{name: str(free_port()) for name in SIDE_PORTS[2:]},
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN": secrets.token_hex(16),
            "RAY_TMPDIR": folder,
            "RAY_gcs_rpc_server_reconnect_timeout_s": "600",  # as KubeRay sets it
            "RAY_REDIS_ADDRESS": f"{HOST}:{running.enter_context(redis(folder))}",
        }
        address, head, workers = nodes(environment)
        for node in (head, *workers):
            running.callback(node.stop)
            node.start()
            wait_for(node.unstarted, START_S)
        primary, fallback = running.enter_context(upstream()), running.enter_context(upstream())
        deploy(address, configuration(primary, fallback), head.port, environment)
        running.enter_context(
            beside("witness", address, heard=play.seen, environment=environment, again=True)
        )
        stage = Cluster(play, head, workers, folder)
        wait_for(stage.missing, START_S)
        for node in workers:
            wait_for(node.closed)
        running.enter_context(play.callers([node.url for node in workers]))
        yield stage
