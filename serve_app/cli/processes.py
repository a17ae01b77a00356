"""
The processes of this machine, and those of one run of `sekha serve`.

A run has a folder, whose path every process that it starts inherits in `RUN_VARIABLE`. A process that clears
its environment is recognized by its session: the kernel does not reuse a session's number while one of its
processes lives. Read from /proc; without it (not Linux) no process is found and none is ended.
"""

import os
import re
import signal
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

RUN_VARIABLE = "SEKHA_RUN_FOLDER"
POLITE_S = 1.5  # from SIGTERM to SIGKILL
_PROC = Path("/proc")
_LISTENS = "0A"


@dataclass(frozen=True)
class Process:
    """
    One process of this user.

    Attributes:
        started: when it started, in clock ticks since boot; identifies the process together with `pid`.
        run: the folder of its run, from its environment.
    """

    pid: int
    session: int
    started: int
    name: str
    run: str | None = None


def running() -> list[Process]:
    """Return every process of this user that is not a zombie."""
    return list(_running())


def process_of(pid: int) -> Process | None:
    """Return the process with this pid; None if there is none, or it is a zombie or another user's."""
    with suppress(OSError, ValueError):
        folder = _PROC / str(pid)
        if folder.stat().st_uid != os.getuid():
            return None
        before, _, after = (folder / "stat").read_text(errors="replace").rpartition(")")
        fields = after.split()
        if fields[0] in "ZX":
            return None
        return Process(pid, int(fields[3]), int(fields[19]), before.partition("(")[2], _run_of(folder))
    return None


def members(
    processes: Iterable[Process], run: str, session: int | None = None, spare: Iterable[int] = ()
) -> list[Process]:
    """
    Return the processes of a run.

    Args:
        processes: those of this user.
        run: the run's folder.
        session: a session that is known to be the run's, because its leader is a child of the caller.
        spare: process ids that are left out.
    """
    found = list(processes)
    sessions = {process.session for process in found if process.run == run} | {session}
    left_out = set(spare)
    return [
        process
        for process in found
        if (process.run == run or process.session in sessions) and process.pid not in left_out
    ]


def end(find: Callable[[], list[Process]], within_s: float) -> list[Process]:
    """
    End the found processes, and those started meanwhile: first by SIGTERM, then by SIGKILL.

    Returns:
        The processes that remain after `within_s` seconds; normally none.
    """
    begun = time.monotonic()
    signalled: set[Process] = set()
    while (remaining := find()) and time.monotonic() - begun < within_s:
        late = time.monotonic() - begun > POLITE_S
        for process in remaining:
            if late or process not in signalled:
                _tell(process, signal.SIGKILL if late else signal.SIGTERM)
        signalled.update(remaining)
        time.sleep(0.05)
    return remaining


def listener_on(port: int) -> Process | None:
    """Return this user's process that listens on a TCP port; None if there is none, or it cannot be seen."""
    inodes = set(_inodes_of(port))
    if not inodes:
        return None
    return next((p for p in _running() if not inodes.isdisjoint(_sockets_of(p.pid))), None)


def _running() -> Iterator[Process]:
    with suppress(FileNotFoundError):
        for entry in _PROC.iterdir():
            if entry.name.isdigit() and (process := process_of(int(entry.name))) is not None:
                yield process


def _run_of(folder: Path) -> str | None:
    with suppress(OSError):
        for line in (folder / "environ").read_bytes().split(b"\0"):
            name, _, value = line.partition(b"=")
            if name == RUN_VARIABLE.encode():
                return os.fsdecode(value)
    return None


def _tell(process: Process, number: signal.Signals) -> None:
    """Send a signal, unless the process has ended and its pid was reused."""
    now = process_of(process.pid)
    if now is not None and now.started == process.started:
        with suppress(ProcessLookupError):
            os.kill(process.pid, number)


def _inodes_of(port: int) -> Iterator[str]:
    for table in ("tcp", "tcp6"):
        with suppress(OSError):
            for line in (_PROC / "net" / table).read_text().splitlines()[1:]:
                fields = line.split()
                if fields[3] == _LISTENS and int(fields[1].rpartition(":")[2], 16) == port:
                    yield fields[9]


def _sockets_of(pid: int) -> Iterator[str]:
    with suppress(OSError):
        for file in (_PROC / str(pid) / "fd").iterdir():
            with suppress(OSError):
                if socket := re.fullmatch(r"socket:\[(\d+)\]", os.readlink(file)):
                    yield socket.group(1)
