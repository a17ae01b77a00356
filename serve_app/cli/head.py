"""
The gateway's own process, which starts Ray and the deployments, monitors Ray, and stops both.

It runs in a session of its own, below the process in `supervisor.py`. If that one is killed, this one
notices, stops as usual, and then ends the remaining processes itself.
"""

import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any

from serve_app.cli.configured import CANNOT_START
from serve_app.cli.console import Console, LogFiles, WorkerLines
from serve_app.cli.processes import end
from serve_app.cli.required_processes import LOOKS_EVERY_S, VITAL, Vital, is_refused
from serve_app.cli.run_folder import Run
from serve_app.cli.supervisor import DRAIN_FOR_S, ENDED_WITHIN_S
from serve_app.config.settings import Settings
from serve_app.control.control_cache import REPORT_EVERY_S
from serve_app.errors import ConfigError

APP_NAME = "sekha"
FAILED = 1
THIS_MACHINE = "127.0.0.1"  # for replicas and Ray; HAProxy listens on the configured address
SERVE_STOPS_WITHIN_S = 4.0
RAY_ENDS_WITHIN_S = 1.0  # for `ray.shutdown`; remaining processes are ended afterwards


@dataclass(frozen=True)
class Plan:
    """The settings and the outputs of a run."""

    settings: Settings
    host: str
    port: int
    run: Run
    files: LogFiles
    console: Console


class _Stopped(BaseException):
    """A signal arrived while the gateway was starting."""


def run_gateway(plan: Plan, supervisor: int, ready: Callable[[], None]) -> int:
    """
    Serve until SIGTERM, or until Ray dies.

    Args:
        plan: what to start.
        supervisor: a pipe that ends when the supervisor does.
        ready: called once the gateway answers.

    Returns:
        The exit status.
    """
    stop = _Stop(supervisor)
    stop.take_over()
    status, death = 0, ""
    try:
        _start(plan, stop)
        ready()
        plan.console.release()
        death = stop.wait_or(_looking_at(plan))
        if death:
            status = FAILED
            plan.console.complain(f"sekha: {death}. Stopping; see {plan.files.ray}.")
        else:
            _in_time(_drain, DRAIN_FOR_S + 1)
    except (_Stopped, SystemExit):
        pass
    except ConfigError as error:
        status = CANNOT_START
        plan.console.complain(f"sekha: {error}")
    except Exception as error:  # any error of Ray: the command prints the reason
        status = FAILED
        logging.getLogger("ray").exception("the gateway cannot start")
        reason = getattr(error, "cause", None) or error  # without the traceback of one of Ray's processes
        plan.console.complain(f"sekha: cannot start: {reason}\nSee {plan.files.ray} for details.")
    if not death:
        _shut_down()
    if stop.alone:
        end(plan.run.left_over, ENDED_WITHIN_S)
        plan.run.remove()
    return status


def _start(plan: Plan, stop: "_Stop") -> None:
    plan.files.redirect()
    import ray
    from ray import serve as ray_serve
    from ray._private.ray_logging import global_worker_stdstream_dispatcher
    from ray.serve.config import HTTPOptions
    from ray.serve.schema import LoggingConfig

    from serve_app.app import graph
    from serve_app.config.named_plugins import import_plugins
    from serve_app.deployments.transports import refuse_without_extras

    refuse_without_extras(plan.settings)
    import_plugins(plan.settings)
    logging.basicConfig(level=logging.INFO)  # for this process, whose output goes to Ray's file
    global_worker_stdstream_dispatcher.add_handler("sekha", WorkerLines(plan.files, plan.console))
    here: dict[str, Any] = {"_node_ip_address": THIS_MACHINE}
    if not os.environ.get("RAY_TMPDIR"):
        here["_temp_dir"] = str(plan.run.folder / "ray")
    ray.init(
        address="local",
        namespace=APP_NAME,
        include_dashboard=False,
        log_to_driver=True,
        configure_logging=False,
        **here,
    )
    global_worker_stdstream_dispatcher.remove_handler("ray_print_logs")
    stop.take_over()
    quiet = LoggingConfig(log_level="WARNING", enable_access_log=False)
    ray_serve.start(http_options=HTTPOptions(host=THIS_MACHINE, port=plan.port), logging_config=quiet)
    settings = plan.settings.model_copy(update={"port": plan.port})
    ray_serve.run(graph(settings), name=APP_NAME, route_prefix="/", blocking=False)
    stop.take_over()


class _Stop:
    """
    SIGTERM, or the end of the supervisor, as one event.

    During the start they abort it. Ray installs handlers of its own when it starts, so these are installed
    again afterwards.
    """

    def __init__(self, supervisor: int) -> None:
        self.alone = False
        self._came = threading.Event()
        self._starting = True
        threading.Thread(target=self._miss, args=(supervisor,), daemon=True).start()

    def take_over(self) -> None:
        """Install the signal handlers."""
        signal.signal(signal.SIGTERM, self._hear)
        signal.signal(signal.SIGINT, lambda *_: None)  # handled by the supervisor

    def wait_or(self, look: Callable[[], str]) -> str:
        """
        Wait until the gateway should stop; return an empty text, or as soon as there is one, the result of
        `look`.
        """
        self._starting = False
        while not self._came.wait(LOOKS_EVERY_S):
            if (found := look()) and not self._came.is_set():
                return found
        return ""

    def _hear(self, number: int, frame: object) -> None:
        if self._came.is_set():
            return
        self._came.set()
        if self._starting:
            raise _Stopped

    def _miss(self, supervisor: int) -> None:
        while os.read(supervisor, 1):
            pass
        self.alone = True
        os.kill(os.getpid(), signal.SIGTERM)


def _looking_at(plan: Plan) -> Callable[[], str]:
    """Return a function that tells which part of the platform has died; empty: none."""
    vital = Vital(f"{plan.host}:{plan.port}")
    return lambda: vital.what_died(time.monotonic(), _ended(), is_refused(plan.host, plan.port))


def is_loopback(host: str) -> bool:
    """Return whether only this machine can reach an address."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _drain() -> None:
    """Wait until no request is in flight, for at most `DRAIN_FOR_S`."""
    import ray
    from ray.exceptions import RayError

    from serve_app.deployments.control import NAMESPACE, name_of

    until = time.monotonic() + DRAIN_FOR_S
    time.sleep(REPORT_EVERY_S + 0.2)  # until every router has reported its requests in flight
    while time.monotonic() < until:
        try:
            control = ray.get_actor(name_of(APP_NAME), namespace=NAMESPACE)
            gauges = ray.get(control.totals.remote(), timeout=2).gauges
        except (RayError, ValueError):
            return  # unknown, so there is nothing to wait for
        if not any(gauges.values()):
            return
        time.sleep(0.25)


def _shut_down() -> None:
    """Stop Serve and Ray, each within a time limit. Ray may have died already."""
    if "ray" not in sys.modules:
        return
    import ray
    from ray import serve as ray_serve

    _in_time(ray_serve.shutdown, SERVE_STOPS_WITHIN_S)
    _in_time(ray.shutdown, RAY_ENDS_WITHIN_S)


def _in_time(step: Callable[[], None], within_s: float) -> None:
    """
    Run a step of the shutdown with a time limit, and not without Ray, whose calls would then wait a minute.
    """
    import ray

    if not ray.is_initialized():
        return
    taking = threading.Thread(target=step, daemon=True)
    taking.start()
    until = time.monotonic() + within_s
    while taking.is_alive() and time.monotonic() < until and not VITAL.intersection(_ended()):
        taking.join(0.2)


def _ended() -> list[str]:
    """Return the kinds of Ray's own processes that have ended."""
    from ray._private import worker

    node = worker._global_node
    return [kind for kind, _ in node.dead_processes()] if node is not None else []
