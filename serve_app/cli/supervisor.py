"""
The supervisor, the process that a terminal or a service manager sees.

The gateway itself, with Ray and HAProxy, runs in a child, in a session of its own. So a signal to the process
group, Ctrl-C, or a closed terminal reaches this process only, which then stops the child in order. However
the child ends, nothing that it started outlives this process.

    starting -- the child is ready -->  serving
    either   -- a signal           -->  stopping: the child gets SIGTERM and a time limit
    stopping -- a second signal, or the time limit -->  everything is ended
"""

import os
import signal
import time
from collections.abc import Callable, Set
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum

from serve_app.cli.processes import Process, end, members, running
from serve_app.cli.run_folder import Run

DRAIN_FOR_S = 7.0  # for requests in flight
STOPS_WITHIN_S = 12.5  # for the child: requests in flight, and Serve's own shutdown
GIVES_UP_WITHIN_S = 2.0  # for a child that is still starting
ENDED_WITHIN_S = 10.0  # for everything that the child leaves behind; two seconds are usual
DID_NOT_STOP = 1
SIGNALLED = 128  # plus the number of the signal, as in shells
STOPS = (signal.SIGINT, signal.SIGTERM, signal.SIGQUIT, signal.SIGHUP)


class Step(Enum):
    """The next action of the supervisor."""

    WAIT = "wait"
    TELL = "tell"
    END = "end"


@dataclass
class Supervision:
    """The state of a run, without clock and processes."""

    serving: bool = False
    asked_at: float | None = None
    forced: bool = False

    def hear_stop(self, now: float) -> Step:
        """Return the action for a signal to stop; the second one ends everything."""
        if self.asked_at is None:
            self.asked_at = now
            return Step.TELL
        self.forced = True
        return Step.END

    def look(self, now: float) -> Step:
        """Return the action for this time."""
        if self.asked_at is None:
            return Step.WAIT
        patience_s = STOPS_WITHIN_S if self.serving else GIVES_UP_WITHIN_S
        if now - self.asked_at <= patience_s:
            return Step.WAIT
        self.forced = self.forced or self.serving  # an aborted start has no requests to finish
        return Step.END

    def status(self, child: int) -> int:
        """Return the exit status, from the child's: 0 for a requested stop that went well."""
        if self.asked_at is None:
            return child
        return DID_NOT_STOP if self.forced else 0


def stops_to_hear() -> frozenset[signal.Signals]:
    """Return the signals that stop the gateway, without SIGHUP if it is ignored, as under `nohup`."""
    hangs_up = signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN
    return frozenset(number for number in STOPS if hangs_up or number is not signal.SIGHUP)


def supervise(
    child: int, ready: int, run: Run, stops: Set[signal.Signals], say: Callable[[str], None]
) -> int:
    """
    Wait until the child has ended, and end the processes that it leaves behind.

    Args:
        child: the leader of a session, a child of this process.
        ready: the pipe that the child writes to when it serves.
        run: the run of all processes that the child starts.
        stops: the signals that stop the gateway. They are blocked, and so is SIGCHLD.
        say: prints a line.

    Returns:
        The exit status.
    """
    state = Supervision()
    os.set_blocking(ready, False)
    status: int | None = None
    killed = False
    while status is None:
        heard = signal.sigtimedwait({*stops, signal.SIGCHLD}, 0.25)
        state.serving = state.serving or _has_spoken(ready)
        step = state.look(time.monotonic())
        if heard is not None and heard.si_signo in stops:
            step = state.hear_stop(time.monotonic())
        if step is Step.TELL:
            say(_about_to_stop(state))
            os.kill(child, signal.SIGTERM)
        elif step is Step.END and not killed:
            killed = True
            if state.forced:
                say("Ending the remaining processes.")
            os.kill(child, signal.SIGKILL)
        status = _reap(child)
    if state.asked_at is None and status > SIGNALLED:
        say(f"sekha: the gateway's process was ended by {signal.Signals(status - SIGNALLED).name}.")
    remaining = end(lambda: _left_behind(run, child), ENDED_WITHIN_S)
    for process in remaining:
        say(f"{process.name} (pid {process.pid}) did not end.")
    return DID_NOT_STOP if remaining else state.status(status)


def _about_to_stop(state: Supervision) -> str:
    if state.serving:
        return f"Stopping: requests in flight have {DRAIN_FOR_S:g} s to finish."
    return "Stopped before it was ready."


def _left_behind(run: Run, session: int) -> list[Process]:
    with suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:  # in a container, the first process is their parent
            pass
    return members(running(), str(run.folder), session, spare=(os.getpid(),))


def _has_spoken(ready: int) -> bool:
    try:
        return bool(os.read(ready, 1))
    except BlockingIOError:
        return False


def _reap(child: int) -> int | None:
    """Return the child's exit status, or None while it runs."""
    while True:
        pid, status = os.waitpid(-1, os.WNOHANG)
        if pid == child:
            code = os.waitstatus_to_exitcode(status)
            return code if code >= 0 else SIGNALLED - code
        if pid == 0:
            return None
