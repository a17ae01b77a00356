"""`sekha serve`: one command from nothing to an answering gateway."""

import os
import signal
import socket
import sys
from pathlib import Path
from typing import Annotated

import typer

from serve_app.cli.check import tell_notes
from serve_app.cli.cluster_token import require_token
from serve_app.cli.configured import CANNOT_START, ConfigOption, configured, fail
from serve_app.cli.console import Console, LogFiles
from serve_app.cli.head import APP_NAME, Plan, is_loopback, run_gateway
from serve_app.cli.processes import end, listener_on
from serve_app.cli.production import free_ports, set_up
from serve_app.cli.run_folder import Run, new_run, remove_old_runs, run_at
from serve_app.cli.state import usable_state
from serve_app.cli.supervisor import ENDED_WITHIN_S, stops_to_hear, supervise
from serve_app.config.settings import Settings
from serve_app.errors import ConfigError
from serve_app.providers.catalogue import vendor
from serve_app.providers.keys import key_of, missing_key

NOT_FOR_OTHERS = 0o077  # whatever is written, by any process of the gateway


def serve(
    config: ConfigOption = None,
    host: Annotated[str | None, typer.Option(help="The address to listen on.")] = None,
    port: Annotated[int | None, typer.Option(min=1, max=65535, help="The port to listen on.")] = None,
    insecure: Annotated[
        bool,
        typer.Option(
            "--insecure",
            help="Listen beyond this machine although no caller keys are set, and start although "
            "RAY_AUTH_MODE switches the token of Ray's own ports off.",
        ),
    ] = False,
    take_over: Annotated[
        bool,
        typer.Option(
            "--take-over", help="End what a killed `sekha serve` of yours has left on the port, and go on."
        ),
    ] = False,
) -> None:
    """Start Ray on this machine and serve until SIGINT, SIGTERM, SIGQUIT or SIGHUP."""
    os.umask(NOT_FOR_OTHERS)
    loaded = configured(config)
    settings = loaded.settings
    typer.echo(f"Configuration: {loaded.source}")
    try:
        tell_notes(loaded)
    except ConfigError as error:
        fail(str(error), CANNOT_START)
    address = _address(settings, host, insecure)
    number = port or settings.port or free_ports(1)[0]
    _free(address, number, take_over)
    _warn_of_missing_keys(settings)
    run = _new_run()
    try:
        state = usable_state(settings.storage, os.environ, APP_NAME, typer.echo)
        if warning := require_token(os.environ, run.folder, insecure):
            typer.secho(f"  {warning}", fg=typer.colors.YELLOW)
        set_up(os.environ, run.folder)
    except (ConfigError, OSError) as error:
        run.remove()
        fail(str(error), CANNOT_START)
    typer.echo("Starting Ray and the deployments; this takes 10 to 40 seconds.")
    files = LogFiles((state or run.folder) / "logs", number)
    raise typer.Exit(_run(Plan(settings, address, number, run, files, Console())))


def _run(plan: Plan) -> int:
    """Run the gateway in a child, and return the exit status once nothing of it is left."""
    stops = stops_to_hear()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {*stops, signal.SIGCHLD})
    told, telling = os.pipe()
    missed, held = os.pipe()  # the child reads the end of it when this process dies
    sys.stdout.flush()
    sys.stderr.flush()
    child = os.fork()
    if child == 0:
        status = 1
        try:
            os.setsid()
            os.close(told)
            os.close(held)
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
            status = run_gateway(plan, missed, lambda: _say_ready(plan, telling))
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(status)  # not a return into the command: that is the other process' to finish
    os.close(telling)
    os.close(missed)
    status = supervise(child, told, plan.run, stops, plan.console.say)
    if status == 0:
        plan.run.remove()
    return status


def _say_ready(plan: Plan, telling: int) -> None:
    everywhere = plan.host in ("0.0.0.0", "::")  # noqa: S104
    host = "127.0.0.1" if everywhere else f"[{plan.host}]" if ":" in plan.host else plan.host
    url = f"http://{host}:{plan.port}"
    for line in (
        f"Sekha Serve is ready: {url}{', and on every other address' if everywhere else ''}",
        f"  Documentation: {url}/docs",
        f"  Requests:      {plan.files.gateway}",
        f"  Ray's output:  {plan.files.ray}",
        f"  Stop:          Ctrl-C, or kill {plan.run.pid}",
    ):
        plan.console.say(line)
    os.write(telling, b"\n")


def _new_run() -> Run:
    remove_old_runs()
    try:
        return new_run()
    except OSError as error:
        fail(
            f"cannot make a folder for this run: {error}. Set TMPDIR to one that works.",
            CANNOT_START,
        )


def _warn_of_missing_keys(settings: Settings) -> None:
    for provider in settings.llm_providers:
        row = vendor(provider.type)
        if missing := missing_key(provider, row, key_of(provider, row, os.environ)):
            typer.secho(f"  {missing}: its requests fail and go to the next", fg=typer.colors.YELLOW)


def _address(settings: Settings, host: str | None, insecure: bool) -> str:
    """Where to listen; without caller keys that is this machine only, unless told otherwise twice."""
    asked = host or (settings.host if "host" in settings.model_fields_set else None)
    if not settings.auth.is_open or insecure:
        return asked or settings.host
    if asked is None:
        typer.echo("The configuration has no caller keys (auth.api_keys): serving this machine only.")
        return "127.0.0.1"
    if not is_loopback(asked):
        fail(
            f"will not listen on {asked}: no caller keys are configured, so anyone could spend your money. "
            "Set auth.api_keys or SEKHA_API_KEYS, or say --insecure.",
            code=CANNOT_START,
        )
    return asked


def _free(host: str, port: int, take_over: bool) -> None:
    """Exit unless the port is free, or becomes so because what is left of an earlier run is ended."""
    if (trouble := _trouble_with(host, port)) is None:
        return
    holder = listener_on(port)
    run = run_at(Path(holder.run)) if holder is not None and holder.run else None
    if holder is None or run is None:
        fail(f"cannot listen on {host}:{port}: {trouble}. Choose another with --port.", code=1)
    if run.is_under_way:
        fail(
            f"cannot listen on {host}:{port}: another `sekha serve` does (pid {run.pid}). "
            f"Stop it with `kill {run.pid}`, or choose another port with --port.",
            code=1,
        )
    left = run.left_over()
    names = ", ".join(f"{process.name} (pid {process.pid})" for process in left)
    if not take_over:
        fail(
            f"cannot listen on {host}:{port}: a `sekha serve` that was killed has left {names} behind. "
            "To end them and start, add --take-over.",
            code=1,
        )
    typer.echo(f"Ending what a killed `sekha serve` has left behind: {names}.")
    if end(run.left_over, ENDED_WITHIN_S) or (trouble := _trouble_with(host, port)):
        fail(f"cannot listen on {host}:{port}: {trouble}. Choose another with --port.", code=1)
    run.remove()


def _trouble_with(host: str, port: int) -> str | None:
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            fail(f"cannot listen on {host}:{port}: {error.strerror}. Choose another with --port.", code=1)


def _start(settings: Settings, host: str, port: int, signals: "_Signals") -> None:
    os.environ.update({name: os.environ.get(name, value) for name, value in PRODUCTION.items()})
    for name, free in zip(SIDE_PORTS, _free_ports(len(SIDE_PORTS)), strict=True):
        os.environ.setdefault(name, str(free))
    import ray
    from ray import serve as ray_serve
    from ray.serve.config import HTTPOptions
    from ray.serve.schema import LoggingConfig

    from serve_app.app import graph, refuse_without_extras

    refuse_without_extras(settings)
    logging.getLogger("ray").setLevel(logging.ERROR)  # what a person should know, this command says itself
    logging.getLogger("ray.serve").setLevel(logging.WARNING)
    here: dict[str, Any] = {"_node_ip_address": "127.0.0.1"} if _is_loopback(host) else {}
    ray.init(
        address="local",
        namespace=APP_NAME,
        include_dashboard=False,
        log_to_driver=True,
        configure_logging=False,
        **here,
    )
    signals.take_over()
    quiet = LoggingConfig(log_level="WARNING", enable_access_log=False)
    ray_serve.start(http_options=HTTPOptions(host=host, port=port), logging_config=quiet)
    ray_serve.run(
        graph(settings.model_copy(update={"port": port})), name=APP_NAME, route_prefix="/", blocking=False
    )
    signals.take_over()


def _free_ports(count: int) -> list[int]:
    """Ports that nobody listens on just now, for HAProxy's own listeners."""
    probes = [socket.socket() for _ in range(count)]
    try:
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [probe.getsockname()[1] for probe in probes]
    finally:
        for probe in probes:
            probe.close()


class _Signals:
    """
    SIGINT and SIGTERM, as one event.

    While the gateway is still starting they end the start; the second of them no longer waits for anything.
    Ray puts handlers of its own in place when it starts, so ours are put back afterwards; a SIGTERM in the
    second between the two aborts.
    """

    def __init__(self) -> None:
        self.came = threading.Event()
        self._starting = True

    def take_over(self) -> None:
        """Put our handlers in place."""
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._hear)

    def wait(self) -> None:
        """Until one comes; from here on it no longer interrupts."""
        self._starting = False
        self.came.wait()

    def _hear(self, number: int, frame: object) -> None:
        if self.came.is_set():
            os._exit(128 + number)
        self.came.set()
        if self._starting:
            raise _Stopped


def _drain() -> None:
    """Wait until nothing is in flight any more, for at most `DRAIN_FOR_S`."""
    import ray
    from ray.exceptions import RayError

    from serve_app.deployments.control import NAMESPACE, name_of

    time.sleep(REPORT_EVERY_S + 0.2)  # by then every router has told what it has in flight
    until = time.monotonic() + DRAIN_FOR_S
    while time.monotonic() < until:
        try:
            control = ray.get_actor(name_of(APP_NAME), namespace=NAMESPACE)
            gauges = ray.get(control.totals.remote(), timeout=2).gauges
        except (RayError, ValueError):
            return  # nobody knows; nothing to wait for
        if not any(gauges.values()):
            return
        time.sleep(0.25)


def _stop(code: int) -> None:
    """End every process that was started; `code` is what this one exits with if it has to end here."""
    if "ray" not in sys.modules:
        return
    import ray
    from ray import serve as ray_serve

    if not ray.is_initialized():
        return
    polite = threading.Thread(target=ray_serve.shutdown, daemon=True)
    if _serve_has_started():
        polite.start()
        polite.join(STOP_WITHIN_S)
    ray.shutdown()
    if polite.is_alive():
        # It still talks to a cluster that is gone, and Ray would abort the process a minute from now.
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _serve_has_started() -> bool:
    import ray
    from ray.serve._private.constants import SERVE_CONTROLLER_NAME, SERVE_NAMESPACE

    try:
        ray.get_actor(SERVE_CONTROLLER_NAME, namespace=SERVE_NAMESPACE)
    except ValueError:
        return False
    return True
            return error.strerror or str(error)
    return None
