"""Who ends what, and when: decisions on plain values, then on small processes of this machine."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from serve_app.cli.processes import Process, end, listener_on, members, process_of, running
from serve_app.cli.required_processes import Vital, is_refused
from serve_app.cli.run_folder import KEPT_FOR_S, Run, new_run, remove_old_runs, run_at
from serve_app.cli.supervisor import (
    DRAIN_FOR_S,
    GIVES_UP_WITHIN_S,
    STOPS_WITHIN_S,
    Step,
    Supervision,
    stops_to_hear,
)
from tests.support.api import eventually

NOTHING_LISTENS_AFTER_S = 15

# --- decisions ----------------------------------------------------------------------------------------


def test_a_first_signal_asks_and_a_second_one_ends() -> None:
    state = Supervision(serving=True)

    assert state.hear_stop(now=100) is Step.TELL
    assert state.hear_stop(now=101) is Step.END
    assert state.status(child=0) != 0


@pytest.mark.parametrize(("serving", "patience_s"), [(True, STOPS_WITHIN_S), (False, GIVES_UP_WITHIN_S)])
def test_what_was_told_to_stop_has_a_while_and_no_more(serving: bool, patience_s: float) -> None:
    state = Supervision(serving=serving)
    assert state.look(now=50) is Step.WAIT
    state.hear_stop(now=100)

    assert state.look(now=100 + patience_s) is Step.WAIT
    assert state.look(now=100.1 + patience_s) is Step.END
    # A start that is broken off has finished nothing; a gateway that does not stop has failed.
    assert (state.status(child=137) != 0) == serving


def test_the_whole_of_a_stop_fits_the_promise() -> None:
    assert DRAIN_FOR_S < STOPS_WITHIN_S < NOTHING_LISTENS_AFTER_S - 2


@pytest.mark.parametrize(("child", "status"), [(0, 0), (1, 1), (2, 2), (137, 137)])
def test_nobody_asked_so_the_status_is_the_childs(child: int, status: int) -> None:
    assert Supervision(serving=True).status(child) == status


def test_a_stop_that_was_asked_for_is_no_failure() -> None:
    """Also where a service manager told every process, and Ray went before the gateway did."""
    state = Supervision(serving=True)
    state.hear_stop(now=100)

    assert [state.status(child) for child in (0, 1, 143)] == [0, 0, 0]


def test_a_run_is_what_carries_its_folder_and_what_shares_a_session_with_that() -> None:
    marked = Process(10, session=7, started=1, name="raylet", run="/tmp/sekha-a")
    wiped = Process(11, session=7, started=2, name="ray::DashboardAgent")
    moved = Process(12, session=12, started=3, name="haproxy", run="/tmp/sekha-a")
    other_run = Process(13, session=8, started=4, name="raylet", run="/tmp/sekha-b")
    stranger = Process(14, session=9, started=5, name="haproxy")
    asking = Process(15, session=7, started=6, name="sekha")
    found = [marked, wiped, moved, other_run, stranger, asking]

    assert members(found, "/tmp/sekha-a", spare=(15,)) == [marked, wiped, moved]
    assert members(found, "/tmp/sekha-c") == []
    assert members(found, "/tmp/sekha-c", session=9) == [stranger]


@pytest.mark.parametrize("kind", ["gcs_server", "raylet"])
def test_without_rays_own_processes_it_is_over(kind: str) -> None:
    vital = Vital("127.0.0.1:5001")

    assert vital.what_died(0, ["log_monitor", "monitor"], is_shut=False) == ""
    assert kind in vital.what_died(0, ["log_monitor", kind], is_shut=False)


def test_a_door_that_is_shut_for_a_moment_is_opened_again_and_one_that_stays_shut_is_told() -> None:
    """A HAProxy that died is replaced within a second or two."""
    vital = Vital("127.0.0.1:5001")
    seen = [(0, True), (19, True), (20, False), (21, True), (41, True)]

    assert [vital.what_died(now, [], is_shut) for now, is_shut in seen] == [""] * 5
    assert "127.0.0.1:5001" in vital.what_died(41.1, [], is_shut=True)


def test_a_port_is_shut_when_nobody_listens_and_not_when_somebody_does() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        assert not is_refused("127.0.0.1", port)
    assert is_refused("127.0.0.1", port)


def test_a_hang_up_is_not_heard_where_it_is_ignored() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        ignored = stops_to_hear()
        signal.signal(signal.SIGHUP, signal.SIG_DFL)
        heard = stops_to_hear()
    finally:
        signal.signal(signal.SIGHUP, before)

    assert heard - ignored == {signal.SIGHUP}
    assert ignored == {signal.SIGINT, signal.SIGTERM, signal.SIGQUIT}


# --- processes ----------------------------------------------------------------------------------------

# A gateway in small: `supervise` in front of a child that listens, and a grandchild that no signal but
# SIGKILL ends, in a process group of its own, as Ray's workers are. It tells its port and the child's pid.
SMALL_GATEWAY = """
import os, signal, socket, subprocess, sys, time
from pathlib import Path
from serve_app.cli.processes import RUN_VARIABLE
from serve_app.cli.run_folder import new_run
from serve_app.cli.supervisor import stops_to_hear, supervise

signal.signal(signal.SIGHUP, signal.SIG_DFL)  # under nohup it would be ignored, and rightly do nothing
run = new_run()
os.environ[RUN_VARIABLE] = str(run.folder)
stops = stops_to_hear()
before = signal.pthread_sigmask(signal.SIG_BLOCK, {*stops, signal.SIGCHLD})
told, telling = os.pipe()
if (child := os.fork()) == 0:
    os.setsid()
    signal.pthread_sigmask(signal.SIG_SETMASK, before)
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    listener = socket.create_server(("127.0.0.1", 0))
    stubborn = "import signal, time; signal.signal(15, signal.SIG_IGN); print(flush=True); time.sleep(99)"
    grandchild = subprocess.Popen(
        [sys.executable, "-c", stubborn],
        pass_fds=[listener.fileno()],
        process_group=0,
        stdout=subprocess.PIPE,
    )
    grandchild.stdout.readline()
    os.write(telling, b"ready")
    print(listener.getsockname()[1], os.getpid(), flush=True)
    time.sleep(99)
status = supervise(child, told, run, stops, lambda text: print(text, file=sys.stderr, flush=True))
sys.exit(status)
"""


class Small:
    """The small gateway, running; a port and the child's number are what it told."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self.process = process
        assert process.stdout is not None
        port, child = process.stdout.readline().split()
        self.port, self.child = int(port), int(child)

    @property
    def nobody_listens(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) != 0

    def run_folder(self) -> Path:
        held = listener_on(self.port)
        assert held is not None
        return Path(held.run or psutil.Process(held.pid).children()[0].environ()["SEKHA_RUN_FOLDER"])


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Small]:
    with subprocess.Popen(
        [sys.executable, "-c", SMALL_GATEWAY],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env={**os.environ, "TMPDIR": "/tmp"},
    ) as process:
        small = Small(process)
        folder = small.run_folder()
        yield small
        process.kill()
        end(lambda: members(running(), str(folder)), 10)
        Run(folder, 0, 0).remove()


@pytest.mark.process
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGQUIT, signal.SIGHUP])
def test_each_signal_to_the_process_group_ends_all_of_it_and_is_no_failure(
    small: Small, number: signal.Signals
) -> None:
    os.killpg(small.process.pid, number)

    assert small.process.wait(NOTHING_LISTENS_AFTER_S) == 0
    assert small.nobody_listens


@pytest.mark.process
def test_a_gateway_that_is_killed_takes_all_it_started_with_it_and_that_is_a_failure(small: Small) -> None:
    os.kill(small.child, signal.SIGKILL)

    _, said = small.process.communicate(timeout=NOTHING_LISTENS_AFTER_S)
    assert small.process.returncode == 128 + signal.SIGKILL
    assert "SIGKILL" in said
    assert small.nobody_listens


@pytest.mark.process
def test_what_two_kills_leave_behind_is_known_by_its_port_and_ends_without_anything_else(
    small: Small,
) -> None:
    folder = small.run_folder()
    beside = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(99)"], start_new_session=True)
    os.kill(small.process.pid, signal.SIGKILL)
    os.kill(small.child, signal.SIGKILL)
    small.process.wait(5)
    eventually(lambda: process_of(small.child) is None)  # while it dies it still holds the port

    holder = listener_on(small.port)
    assert holder is not None
    assert holder.run == str(folder)
    run = run_at(folder)
    assert run is not None
    assert not run.is_under_way
    assert end(run.left_over, 10) == []
    assert small.nobody_listens
    assert beside.poll() is None
    beside.kill()
    beside.wait()


def test_a_run_is_under_way_as_long_as_the_very_process_lives_that_answers_for_it(tmp_path: Path) -> None:
    run = new_run()
    us = process_of(os.getpid())
    assert us is not None

    assert run_at(run.folder) == run
    assert run.is_under_way
    assert not Run(run.folder, run.pid, run.started + 1).is_under_way  # its number is somebody else's now
    run.folder.chmod(0o755)
    assert run_at(run.folder) is None  # anybody may have written there
    run.remove()


def test_folders_of_runs_that_are_over_are_removed_after_a_day() -> None:
    over, under_way = new_run(), new_run()
    (over.folder / "run.json").write_text('{"pid": 4194305, "started": 1}')

    remove_old_runs()
    assert over.folder.exists()
    remove_old_runs(now=time.time() + KEPT_FOR_S + 1)

    assert not over.folder.exists()
    assert under_way.folder.exists()
    under_way.remove()


def test_the_path_of_a_socket_fits_what_the_kernel_takes() -> None:
    run = new_run()
    run.remove()

    assert len(f"{run.folder}/{'f' * 56}/admin.sock.4194304.tmp") <= 107


@pytest.mark.process
def test_zombies_and_strangers_are_nobody() -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as ended:
        eventually(lambda: psutil.Process(ended.pid).status() == psutil.STATUS_ZOMBIE)
        assert process_of(ended.pid) is None
    assert process_of(4_194_305) is None
