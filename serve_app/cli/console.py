"""
The two outputs of a gateway: the console, for people and log collectors, and files for the rest.

Ray writes to its driver's stdout and stderr, also from C++, and forwards the lines of all its workers. Here
these go to a file. The gateway's own lines, JSON objects, go to a file of their own and, once the gateway is
ready, to the console's stderr: as they are, without Ray's prefix.
"""

import logging
import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import Any, TextIO

LARGEST_FILE = 64 * 2**20  # bytes; the previous file is kept as well
HELD_LINES = 1000  # lines kept until the gateway is ready
_OURS = ('{"time":', '"logger":"sekha')  # as written by `observability/logs.py`


class Console:
    """The original stdout and stderr of this process, which stay usable when they are redirected."""

    def __init__(self) -> None:
        self._out = _copy_of(sys.stdout)
        self._err = _copy_of(sys.stderr)
        self._held: list[str] | None = []

    def say(self, text: str) -> None:
        """Print a line; ignored if the terminal is gone."""
        _write(self._out, text)

    def complain(self, text: str) -> None:
        """Print an error."""
        _write(self._err, text)

    def log(self, line: str) -> None:
        """Print a line of the gateway's log; before `release`, keep it until then."""
        if self._held is None:
            _write(self._err, line)
        elif len(self._held) < HELD_LINES:
            self._held.append(line)

    def release(self) -> None:
        """Print the kept lines."""
        held, self._held = self._held or [], None
        for line in held:
            _write(self._err, line)


class LogFiles:
    """The log files of a run: the gateway's own lines, and the output of Ray and its processes."""

    def __init__(self, folder: Path, port: int) -> None:
        self.gateway = folder / f"gateway-{port}.jsonl"
        self.ray = folder / f"ray-{port}.log"

    def redirect(self) -> None:
        """Redirect this process's stdout and stderr to Ray's file. Raises OSError."""
        self.ray.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if self.ray.exists():
            self.ray.replace(self.ray.with_name(f"{self.ray.name}.1"))
        file = os.open(self.ray, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        sys.stdout.flush()
        sys.stderr.flush()
        os.dup2(file, 1)
        os.dup2(file, 2)
        os.close(file)


class WorkerLines:
    """The lines that Ray forwards from its workers, separated into the gateway's and the rest."""

    def __init__(self, files: LogFiles, console: Console) -> None:
        self._console = console
        self._ray = files.ray
        self._file = RotatingFileHandler(
            files.gateway, maxBytes=LARGEST_FILE, backupCount=1, delay=True, encoding="utf-8"
        )

    def __call__(self, batch: Mapping[str, Any]) -> None:
        """Write one batch from Ray's dispatcher."""
        if batch.get("pid") == "autoscaler":  # repeats every few seconds that nothing is scaled
            return
        lines: Sequence[str] = batch.get("lines") or ()
        with suppress(OSError):  # a full disk; after an exception Ray would forward nothing more
            self._sort(lines, str(batch.get("actor_name") or batch.get("pid")))

    def _sort(self, lines: Sequence[str], source: str) -> None:
        for line in lines:
            if line.startswith(_OURS[0]) and _OURS[1] in line:
                self._file.emit(logging.makeLogRecord({"msg": line}))
                self._console.log(line)
            else:
                sys.stderr.write(f"({source}) {line}\n")
        sys.stderr.flush()
        begin_anew_above(LARGEST_FILE, 2, self._ray)


def begin_anew_above(most: int, file: int, path: Path) -> None:
    """
    Empty a file of more than `most` bytes, and keep its content as `.1`.

    It is truncated in place, because other processes have it open and append to it. Raises OSError.
    """
    if os.fstat(file).st_size > most:
        kept = path.with_name(f"{path.name}.1")
        shutil.copyfile(path, kept)
        kept.chmod(0o600)
        os.ftruncate(file, 0)


def _copy_of(stream: TextIO) -> TextIO:
    return os.fdopen(os.dup(stream.fileno()), "w", buffering=1, encoding="utf-8", errors="replace")


def _write(stream: TextIO, text: str) -> None:
    with suppress(OSError, ValueError):
        stream.write(f"{text}\n")
        stream.flush()
