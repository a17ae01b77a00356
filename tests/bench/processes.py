"""
The processes that make up a subject: found, stopped, and what they use.

A subject is more than the process that was started: Ray starts daemons, those start workers, and HAProxy
leaves its parent when it reloads. All inherit the environment, so a mark in it finds them.
"""

import contextlib
import os
import signal
import subprocess
import sys
import time
import uuid
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import psutil

ROOT = Path(__file__).parents[2]
WORK = ROOT / ".bench"

MARK = "BENCH_SUBJECT"
STOP_S = 40.0  # a gateway has 30 s to end by itself
GONE = (psutil.NoSuchProcess, psutil.AccessDenied)

Reading = dict[int, tuple[str, float]]  # process id -> role, processor seconds so far


def role_of(process: psutil.Process) -> str:
    """In a word: `ray::ServeReplica:app:router` is `router`, `python x/agent.py` is `agent`."""
    words = process.cmdline() or [process.name()]
    title = words[0]
    if title.startswith("ray::"):
        return title.removeprefix("ray::").split(".")[0].split(":")[-1].split()[0]
    if title.startswith("ray-dashboard"):
        return title.split()[0]
    if Path(title).name.startswith("python"):
        scripts = [word for word in words[1:] if not word.startswith("-")]
        return Path(scripts[0]).stem if scripts else "python"
    return Path(title.split()[0]).name


@dataclass
class Family:
    """Every process that carries `mark`, the processes `roots`, and all of their descendants."""

    mark: str = ""
    roots: Sequence[int] = ()
    _known: dict[int, psutil.Process] = field(default_factory=dict)

    def members(self) -> list[psutil.Process]:
        """Those alive now. One found once is remembered: a worker hides its environment behind its title."""
        parents = {process.pid: process for process in psutil.process_iter() if self._belongs(process)}
        for process in list(parents.values()):
            with contextlib.suppress(*GONE):
                parents.update({child.pid: child for child in process.children(recursive=True)})
        self._known.update(parents)
        self._known = {pid: process for pid, process in self._known.items() if process.is_running()}
        return list(self._known.values())

    def _belongs(self, process: psutil.Process) -> bool:
        if process.pid in self.roots:
            return True
        with contextlib.suppress(*GONE):
            return bool(self.mark) and process.environ().get(MARK) == self.mark
        return False

    def cpu_s(self) -> Reading:
        """Processor time so far."""
        used: Reading = {}
        for process in self.members():
            with contextlib.suppress(*GONE):
                times = process.cpu_times()
                used[process.pid] = role_of(process), times.user + times.system
        return used

    def memory_mb(self) -> dict[str, float]:
        """Proportional set size by role: memory shared by several processes counts once."""
        held: dict[str, float] = defaultdict(float)
        for process in self.members():
            with contextlib.suppress(*GONE):
                held[role_of(process)] += process.memory_full_info().pss / 1e6
        return dict(held)


def cpu_since(before: Reading, after: Reading) -> dict[str, float]:
    """Processor seconds between two readings, by role. A process that ended in between is not seen."""
    used: dict[str, float] = defaultdict(float)
    for pid, (role, seconds) in after.items():
        used[role] += seconds - before.get(pid, (role, 0.0))[1]
    return dict(used)


class DidNotStart(Exception):
    """A subject that cannot be measured, and why."""


@dataclass
class Server:
    """A started subject: its family, its log, and a way to stop all of it."""

    process: subprocess.Popen[bytes]
    family: Family
    log: Path

    def last_lines(self, count: int = 3) -> str:
        lines = [line.strip() for line in self.log.read_text(errors="replace").splitlines()]
        return " / ".join(list(filter(None, lines))[-count:]) or "it said nothing"

    def stop(self) -> None:
        """Ask the first process, which owns the others; whoever is left after that is ended by id."""
        members = {process.pid: process for process in self.family.members()}
        with contextlib.suppress(ProcessLookupError):
            self.process.send_signal(signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(STOP_S)
        members |= {process.pid: process for process in self.family.members()}
        _, alive = psutil.wait_procs(list(members.values()), timeout=3)
        for process in alive:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        psutil.wait_procs(alive, timeout=5)
        self.process.wait()


@contextlib.contextmanager
def server(name: str, command: Sequence[str], environment: Mapping[str, str]) -> Iterator[Server]:
    """Start a subject; leaving the context stops all of it."""
    WORK.mkdir(exist_ok=True)
    mark, log = uuid.uuid4().hex, WORK / f"{name}.log"
    with log.open("wb") as output:
        try:
            process = subprocess.Popen(
                command,
                cwd=ROOT,
                env={**os.environ, **environment, MARK: mark},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C is for the bench, which then stops its subjects in order
            )
        except OSError as error:
            raise DidNotStart(str(error)) from error
    started = Server(process, Family(mark), log)
    try:
        yield started
    finally:
        started.stop()


@dataclass(frozen=True)
class Helper:
    """A process of the bench itself."""

    pid: int
    first_line: str

    def cpu_s(self) -> float:
        times = psutil.Process(self.pid).cpu_times()
        return times.user + times.system


@contextlib.contextmanager
def helper(module: str, *arguments: str) -> Iterator[Helper]:
    """Run a module of the bench beside it until the context is left."""
    process = subprocess.Popen(
        [sys.executable, "-m", module, *arguments],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        start_new_session=True,
        text=True,
    )
    try:
        assert process.stdout is not None
        yield Helper(process.pid, process.stdout.readline().strip())
    finally:
        process.kill()
        process.wait()


def idle_share(family: Family, seconds: float) -> float:
    """The share of one core that the family uses while nobody asks anything."""
    before, started = family.cpu_s(), time.monotonic()
    time.sleep(seconds)
    return sum(cpu_since(before, family.cpu_s()).values()) / (time.monotonic() - started)
