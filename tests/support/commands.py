"""Commands under test: in a process group of their own, their output kept, ended by their pid."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType

BIN = Path(sys.executable).parent  # where pip put `sekha`, `ray` and `serve`


def run(*command: str, env: Mapping[str, str], within_s: float = 90) -> subprocess.CompletedProcess[str]:
    """Run a command of ours, or of Ray's, to its end."""
    return subprocess.run(
        [str(BIN / command[0]), *command[1:]],
        env=dict(env),
        capture_output=True,
        text=True,
        timeout=within_s,
        check=False,
    )


class Command:
    """
    A command that keeps running. `with` ends it and all it started, however the test went.

    At the end it has `patience_s` to stop by itself; then its whole process group is killed.
    """

    def __init__(
        self, command: Sequence[str], env: Mapping[str, str], output: Path, patience_s: float = 30
    ) -> None:
        self._output = output
        self._patience_s = patience_s
        with output.open("wb") as file:
            self._process = subprocess.Popen(
                [str(BIN / command[0]), *command[1:]],
                env=dict(env),
                stdout=file,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )

    @property
    def output(self) -> str:
        return self._output.read_text(errors="replace")

    @property
    def pid(self) -> int:
        return self._process.pid

    def says(self, text: str, within_s: float = 120) -> None:
        """Wait for these words in its output."""
        deadline = time.monotonic() + within_s
        while text not in self.output:
            assert self._process.poll() is None, f"it ended with {self._process.returncode}:\n{self.output}"
            assert time.monotonic() < deadline, f"no '{text}' after {within_s:g} s:\n{self.output}"
            time.sleep(0.1)

    def tell(self, number: signal.Signals) -> None:
        """Send it a signal."""
        self._process.send_signal(number)

    def ends(self, within_s: float) -> int:
        """Wait for its end; the exit status."""
        return self._process.wait(within_s)

    def stop(self, number: signal.Signals, within_s: float) -> int:
        """Send it a signal; the exit status it ends with in time."""
        self.tell(number)
        return self.ends(within_s)

    def __enter__(self) -> "Command":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with suppress(subprocess.TimeoutExpired):
            if self._process.poll() is None:
                self.stop(signal.SIGTERM, self._patience_s)
        with suppress(ProcessLookupError):  # nobody is left
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait(10)
