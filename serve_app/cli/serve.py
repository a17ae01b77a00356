"""`sekha serve`: one command from nothing to an answering gateway."""

import logging
import os
import signal
import socket
import sys
import threading
import time
from ipaddress import ip_address
from typing import Annotated, Any

import typer

from serve_app.cli.check import tell_notes
from serve_app.cli.configured import CANNOT_START, ConfigOption, configured, fail
from serve_app.config.settings import Settings
from serve_app.control.replica import REPORT_EVERY_S
from serve_app.errors import ConfigError
from serve_app.providers.catalogue import vendor
from serve_app.providers.keys import key_of, missing_key

APP_NAME = "sekha"
DRAIN_FOR_S = 12.0
STOP_WITHIN_S = 12.0

# Serve's template for HAProxy splices requests: a body that comes after its head bypasses HAProxy, which then
# does not always notice that the caller has left (3 to 5 times in 100). There is no switch for that, but this
# value is written into the same section.
# When a router dies before the first byte of an answer, another may begin the request anew.
RETRY_WITHOUT_SPLICING = "conn-failure empty-response\n    no option splice-request"

# Read by Serve when it is imported, in every process of the cluster, so they are set before Ray starts.
PRODUCTION = {
    "RAY_SERVE_ENABLE_HA_PROXY": "1",
    "RAY_SERVE_THROUGHPUT_OPTIMIZED": "1",
    "RAY_SERVE_LOG_TO_STDERR": "1",  # our own lines belong on the console and in a pod's log
    "RAY_SERVE_REPLICA_GRPC_MAX_MESSAGE_LENGTH": str(128 * 1024 * 1024),
    "RAY_SERVE_HAPROXY_RETRY_ON": RETRY_WITHOUT_SPLICING,
    "RAY_SERVE_HAPROXY_METRICS_ENABLED": "0",  # /metrics has the cluster's numbers
    "RAY_SERVE_PROXY_HEALTH_CHECK_PERIOD_S": "0.3",  # HAProxy is replaced when it has failed three of them
    # No load balancer has to notice first that this machine goes away: a replica may go when it is idle.
    "RAY_SERVE_DIRECT_INGRESS_MIN_DRAINING_PERIOD_S": "0.5",
    "RAY_enable_metrics_collection": "0",  # Ray's own: load without a reader here
    # Of every call of every actor, kept for a dashboard that does not run here: 50 MB an hour.
    "RAY_task_events_report_interval_ms": "0",
    "RAY_USAGE_STATS_ENABLED": "0",  # nothing calls home
    # Of glibc: an arena for each of a process' threads costs a router 70 MB and grows by steps for hours.
    "MALLOC_ARENA_MAX": "2",
    "MALLOC_TRIM_THRESHOLD_": "131072",
    "RAY_DEDUP_LOGS": "0",  # two requests that look alike are still two requests
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",
}
SIDE_PORTS = (
    "RAY_SERVE_HAPROXY_METRICS_PORT",
    "RAY_SERVE_HAPROXY_STATS_PORT",
    "RAY_SERVE_FALLBACK_PROXY_HTTP_PORT",
    "RAY_SERVE_FALLBACK_PROXY_GRPC_PORT",
)


def serve(
    config: ConfigOption = None,
    host: Annotated[str | None, typer.Option(help="The address to listen on.")] = None,
    port: Annotated[int | None, typer.Option(min=1, max=65535, help="The port to listen on.")] = None,
    insecure: Annotated[
        bool, typer.Option("--insecure", help="Listen beyond this machine although no caller keys are set.")
    ] = False,
) -> None:
    """Start Ray on this machine and serve until SIGINT or SIGTERM."""
    loaded = configured(config)
    settings = loaded.settings
    typer.echo(f"Configuration: {loaded.source}")
    try:
        tell_notes(loaded)
    except ConfigError as error:
        fail(str(error), CANNOT_START)
    address = _address(settings, host, insecure)
    number = port or settings.port or _free_ports(1)[0]
    _refuse_if_taken(address, number)
    _warn_of_missing_keys(settings)
    typer.echo("Starting Ray and the deployments; this takes 10 to 40 seconds.")
    signals = _Signals()
    signals.take_over()
    code = 0
    try:
        _start(settings, address, number, signals)
        everywhere = address == "0.0.0.0"  # noqa: S104
        shown, where = ("127.0.0.1", ", and on every other address") if everywhere else (address, "")
        typer.echo(f"Sekha Serve is ready: http://{shown}:{number}{where}  (docs at /docs, stop with Ctrl-C)")
        signals.wait()
        typer.echo("Stopping: letting requests in flight finish.")
        _drain()
    except (_Stopped, SystemExit):
        typer.echo("Stopped before it was ready.")
    except ConfigError as error:
        code = CANNOT_START
        typer.secho(f"sekha: {error}", err=True, fg=typer.colors.RED)
    except Exception as error:  # noqa: BLE001 - whatever Ray says, the caller of a command wants the reason
        code = 1
        typer.secho(f"sekha: cannot start: {error}", err=True, fg=typer.colors.RED)
    finally:
        _stop(code)
    raise typer.Exit(code)


def _warn_of_missing_keys(settings: Settings) -> None:
    for provider in settings.llm_providers:
        row = vendor(provider.type)
        if missing := missing_key(provider, row, key_of(provider, row, os.environ)):
            typer.secho(f"  {missing}: its requests fail and go to the next", fg=typer.colors.YELLOW)


class _Stopped(BaseException):
    """A signal came while the gateway was still starting."""


def _address(settings: Settings, host: str | None, insecure: bool) -> str:
    """Where to listen; without caller keys that is this machine only, unless told otherwise twice."""
    asked = host or (settings.host if "host" in settings.model_fields_set else None)
    if not settings.auth.is_open or insecure:
        return asked or settings.host
    if asked is None:
        typer.echo("The configuration has no caller keys (auth.api_keys): serving this machine only.")
        return "127.0.0.1"
    if not _is_loopback(asked):
        fail(
            f"will not listen on {asked}: no caller keys are configured, so anyone could spend your money. "
            "Set auth.api_keys or SEKHA_API_KEYS, or say --insecure.",
            code=CANNOT_START,
        )
    return asked


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _refuse_if_taken(host: str, port: int) -> None:
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
