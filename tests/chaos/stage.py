"""What both parts stand on: two upstreams, a configuration, the callers, and the ways to strike."""

import contextlib
import json
import os
import shutil
import signal
import tempfile
import time
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import psutil

from tests.bench.processes import WORK, Family, helper, role_of
from tests.bench.subjects import free_port, write_config
from tests.chaos.beside import Beside, beside
from tests.chaos.load import Load, Request
from tests.chaos.play import Blow
from tests.chaos.witness import Sighting

MODEL = "gpt-4o-mini"
PER_S = 50.0
STREAM_EVERY = 5
ANSWER_AFTER_S = 0.1  # a model thinks; with no time at all hardly anything would ever be in flight
DOWN_FOR_S = 5.0
RECENT_S = 2.0
STALE_S = 5.0

PRIMARY, FALLBACK, DOOMED = "primary", "fallback", "doomed"
DOOMED_MODEL = "gpt-4.1-mini"
TWO = {"min_replicas": 2, "max_replicas": 2}
REPLICAS = {"router": 2, f"provider-{PRIMARY}": 2, f"provider-{FALLBACK}": 2}
CONTROL = "ControlActor"


class Upstream:
    """A model server that can be killed and started again at the same address."""

    def __init__(self) -> None:
        self.port = free_port()
        self._running = contextlib.ExitStack()
        self.start()

    def start(self) -> None:
        self._running.enter_context(helper("tests.bench.upstream", str(self.port), str(ANSWER_AFTER_S)))

    def kill(self) -> None:
        self._running.close()


@contextlib.contextmanager
def upstream() -> Iterator[Upstream]:
    """One that is gone when the context is left."""
    running = Upstream()
    try:
        yield running
    finally:
        running.kill()


def provider(name: str, port: int, priority: int, model: str = MODEL, **more: Any) -> dict[str, Any]:
    return {
        "id": name,
        "type": "openai",
        "base_url": f"http://127.0.0.1:{port}/v1",
        "api_key": "chaos",
        "priority": priority,
        "autoscaling": TWO,
        "models": [
            {"model_id": model, "task": task, "context_window": 128_000}
            for task in ("chat_small", "chat_smart")
        ],
        **more,
    }


def configuration(primary: Upstream, fallback: Upstream) -> Path:
    """Two providers of one model, and a third that nobody answers for; the file's path."""
    content = {
        "version": "2.0",
        "host": "127.0.0.1",
        "storage": {"folder": str(WORK / "state" / "chaos")},
        "log_level": "WARNING",
        "llm_providers": [
            provider(PRIMARY, primary.port, 1),
            provider(FALLBACK, fallback.port, 2),
            provider(DOOMED, free_port(), 3, DOOMED_MODEL, transport="inline"),
        ],
        "default_models": {"chat_fast": MODEL, "chat_smart": MODEL},
        "circuit_breaker": {"failure_threshold": 5, "reset_timeout": 15},
        "budgets": [{"limit": 1e6, "window": "day"}],
        "rates": {"requests_per_minute": 10**6, "concurrent_requests": 10**4},
        "router": {"autoscaling": TWO},
    }
    return write_config("chaos.yaml", content)


class Play:
    """The callers' requests so far, and what Serve said last."""

    def __init__(self) -> None:
        self.requests: list[Request] = []
        self.sighting = Sighting(at=0.0)
        self._callers: Beside | None = None

    def heard(self, line: dict[str, Any]) -> None:
        self.requests.append(Request(**line))

    def seen(self, line: dict[str, Any]) -> None:
        self.sighting = Sighting(**line)

    @contextlib.contextmanager
    def callers(self, urls: Sequence[str]) -> Iterator[None]:
        """Let them call until the context is left; then their last requests have ended, too."""
        with beside("load", heard=self.heard) as self._callers:
            self.call(urls)
            yield

    def call(self, urls: Sequence[str]) -> None:
        """From now on, call these."""
        assert self._callers is not None
        self._callers.tell(json.dumps(asdict(Load(list(urls), MODEL, PER_S, STREAM_EVERY))))

    def served_lately(self, name: str) -> int:
        """How many requests that began within the last seconds a provider has served."""
        since = time.monotonic() - RECENT_S
        return sum(r.started >= since and r.provider == name and not r.failure for r in self.requests[-500:])

    def lacking(self) -> str:
        """What Serve's own word lacks; nothing when all replicas run."""
        if time.monotonic() - self.sighting.at > STALE_S:
            return "no word from Serve's controller"
        short = [name for name, count in REPLICAS.items() if self.sighting.replicas.get(name, 0) < count]
        return f"too few replicas of {', '.join(short)}" if short else ""


def roles(families: Sequence[Family]) -> Counter[str]:
    """How many processes there are of each role."""
    count: Counter[str] = Counter()
    for family in families:
        for process in family.members():
            with contextlib.suppress(psutil.Error):
                if process.status() != psutil.STATUS_ZOMBIE:
                    count[role_of(process)] += 1
    return count


def member(families: Sequence[Family], role: str) -> psutil.Process:
    """The oldest process of a role among those that we started."""
    found = []
    for family in families:
        for process in family.members():
            with contextlib.suppress(psutil.Error):
                if role_of(process) == role and process.status() != psutil.STATUS_ZOMBIE:
                    found.append(process)
    if not found:
        raise LookupError(f"there is no {role}")
    return min(found, key=lambda process: process.create_time())


def kill_one(families: Sequence[Family], role: str) -> Blow:
    """Kill -9 one process of that role."""
    victim = member(families, role)
    since = time.monotonic()
    os.kill(victim.pid, signal.SIGKILL)
    return Blow(since, time.monotonic(), f"killed {role}, process {victim.pid}")


def kill_all(family: Family, what: str) -> Blow:
    """Kill -9 every process of a family, as when a machine loses its power."""
    killed, since = set(), time.monotonic()
    while members := [p for p in family.members() if p.is_running() and p.status() != psutil.STATUS_ZOMBIE]:
        for process in members:
            with contextlib.suppress(psutil.Error):
                process.kill()
                killed.add(process.pid)
    return Blow(since, time.monotonic(), f"killed {what}, {len(killed)} processes")


def restart(struck: Upstream) -> Blow:
    """Kill an upstream and start it again a few seconds later."""
    since = time.monotonic()
    struck.kill()
    blow = Blow(since, time.monotonic(), f"killed the upstream of {PRIMARY} for {DOWN_FOR_S:g} s")
    time.sleep(DOWN_FOR_S)
    struck.start()
    return blow


def breakers(url: str, looks: int = 6) -> set[str]:
    """The states of the doomed provider's breaker, as whichever router is asked says."""
    states = set()
    for _ in range(looks):
        try:
            with urllib.request.urlopen(f"{url}/api/v1/health", timeout=10) as answer:
                views = json.load(answer)["providers"]
            states.add(views[DOOMED]["circuit_breaker"]["state"])
        except OSError:
            states.add("unknown")
    return states


def ask_the_doomed(url: str, times: int) -> None:
    """Requests that name the provider nobody answers for; others serve them."""
    body = {"model": f"{DOOMED}/{DOOMED_MODEL}", "messages": [{"role": "user", "content": "Anyone?"}]}
    for _ in range(times):
        request = urllib.request.Request(
            f"{url}/v1/chat/completions", json.dumps(body).encode(), {"content-type": "application/json"}
        )
        with contextlib.suppress(OSError), urllib.request.urlopen(request, timeout=30) as answer:
            answer.read()


def wait_for(missing: Callable[[], str], within_s: float = 90.0) -> None:
    """Until nothing is missing; TimeoutError says what still is."""
    until = time.monotonic() + within_s
    while lacks := missing():
        if time.monotonic() > until:
            raise TimeoutError(f"{lacks} after {within_s:g} s")
        time.sleep(0.25)


@contextlib.contextmanager
def ray_folder(part: str) -> Iterator[str]:
    """For Ray's sockets and logs, and short, since sockets live in it; the logs are kept in `.bench`."""
    with tempfile.TemporaryDirectory(prefix="chaos-", ignore_cleanup_errors=True) as folder:
        try:
            yield folder
        finally:
            kept = WORK / f"chaos-{part}-logs"
            shutil.rmtree(kept, ignore_errors=True)
            for logs in Path(folder).glob("ray/session_*/logs"):
                if not logs.parent.is_symlink():
                    shutil.copytree(logs, kept / logs.parent.name, ignore_dangling_symlinks=True)
