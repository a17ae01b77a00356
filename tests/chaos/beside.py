"""A module that runs beside the chaos and tells what it sees, a line of JSON at a time."""

import contextlib
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from tests.bench.processes import ROOT, WORK

END_S = 40.0  # the last requests may take that long


class Beside:
    """One such module, and what it has told so far; with `again` it is started anew when it ends."""

    def __init__(
        self,
        name: str,
        arguments: tuple[str, ...],
        heard: Callable[[dict[str, Any]], None],
        environment: Mapping[str, str],
        again: bool,
    ) -> None:
        self._command = [sys.executable, "-m", f"tests.chaos.{name}", *arguments]
        self._environment = {**os.environ, **environment}
        self._heard = heard
        self._again = again
        self._log: Path = WORK / f"chaos-{name}.log"
        self._log.write_text("")
        self._process = self._started()
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._ending = False

    def start(self) -> None:
        self._listener.start()

    def tell(self, line: str) -> None:
        """Say something to it."""
        assert self._process.stdin is not None
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()

    def stop(self) -> None:
        """Let it end, and hear what it still has to say."""
        self._ending = True
        with contextlib.suppress(OSError):
            assert self._process.stdin is not None
            self._process.stdin.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(END_S)
        self._process.kill()
        self._process.wait()
        self._listener.join(5)

    def _started(self) -> subprocess.Popen[str]:
        with self._log.open("ab") as log:
            return subprocess.Popen(
                self._command,
                cwd=ROOT,
                env=self._environment,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                start_new_session=True,
                text=True,
            )

    def _listen(self) -> None:
        while True:
            assert self._process.stdout is not None
            for line in self._process.stdout:
                with contextlib.suppress(ValueError):  # Ray's own words end up here, too
                    self._heard(json.loads(line))
            if self._ending or not self._again:
                return
            self._process.wait()
            time.sleep(1)
            if not self._ending:
                self._process = self._started()


@contextlib.contextmanager
def beside(
    name: str,
    *arguments: str,
    heard: Callable[[dict[str, Any]], None],
    environment: Mapping[str, str] = {},
    again: bool = False,
) -> Iterator[Beside]:
    """Run a module of `tests.chaos` until the context is left."""
    running = Beside(name, arguments, heard, environment, again)
    running.start()
    try:
        yield running
    finally:
        running.stop()
