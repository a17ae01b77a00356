"""
The folder of one run of `sekha serve`: private to this user, with a short path because it contains sockets.

`run.json` names the process that owns the run. The run is active while that process lives; if it is gone,
other processes of the run are left over, and may be ended.
"""

import json
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from serve_app.cli.processes import Process, members, process_of, running

PREFIX = "sekha-"
RECORD = "run.json"
KEPT_FOR_S = 24 * 3600.0  # the folder of a failed run, which contains Ray's logs
# A socket's path has at most 107 bytes; Serve's node id and HAProxy's name for a new socket take 80.
LONGEST_PARENT = 27 - len("/" + PREFIX) - 8


@dataclass(frozen=True)
class Run:
    """A run, and the process that owns it."""

    folder: Path
    pid: int
    started: int

    @property
    def is_under_way(self) -> bool:
        """Return whether the process that owns the run is alive."""
        owner = process_of(self.pid)
        return owner is not None and owner.started == self.started

    def left_over(self) -> list[Process]:
        """Return the processes of this run, except its owner and the current process."""
        return members(running(), str(self.folder), spare=(self.pid, os.getpid()))

    def remove(self) -> None:
        """Remove the folder; files that cannot be removed are left."""
        shutil.rmtree(self.folder, ignore_errors=True)


def new_run() -> Run:
    """Make the folder of a run owned by this process. Raises OSError."""
    folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=_parent()))
    us = process_of(os.getpid())
    run = Run(folder, os.getpid(), us.started if us else 0)
    record = folder / RECORD
    record.touch(mode=0o600)
    record.write_text(json.dumps({"pid": run.pid, "started": run.started}), encoding="utf-8")
    return run


def run_at(folder: Path) -> Run | None:
    """Return the run of a folder; None if it is not one, or not private to this user."""
    with suppress(OSError, ValueError, KeyError, TypeError):
        about = folder.lstat()
        if about.st_uid != os.getuid() or about.st_mode & 0o77 or not folder.is_dir():
            return None
        record = json.loads((folder / RECORD).read_text(encoding="utf-8"))
        return Run(folder, int(record["pid"]), int(record["started"]))
    return None


def remove_old_runs(now: float | None = None) -> None:
    """Remove the folders of runs without processes that ended at least a day ago."""
    before = (time.time() if now is None else now) - KEPT_FOR_S
    for run in _runs():
        if run.is_under_way or run.left_over():
            continue
        with suppress(OSError):
            if (run.folder / RECORD).stat().st_mtime < before:
                run.remove()


def _runs() -> Iterator[Run]:
    for folder in Path(_parent()).glob(f"{PREFIX}*"):
        if (run := run_at(folder)) is not None:
            yield run


def _parent() -> str:
    folder = tempfile.gettempdir()
    return folder if len(folder) <= LONGEST_PARENT else "/tmp"  # noqa: S108 - mkdtemp makes it private
