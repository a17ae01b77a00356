"""What Serve and Ray read from the environment when they start, as `sekha serve` sets it."""

import os
import shlex
import socket
import sys
from collections.abc import MutableMapping
from contextlib import ExitStack
from pathlib import Path

from serve_app.cli.processes import RUN_VARIABLE
from serve_app.deployments.haproxy.launcher import ADDRESS_VARIABLE, BINARY_VARIABLE, REAL_BINARY_VARIABLE

# For a HAProxy without our launcher. Serve's template splices requests: a body that comes after its head
# bypasses HAProxy, which then does not always notice that the caller has left (3 to 5 times in 100). There is
# no switch for that, but this value is written into the same section.
# When a router dies before the first byte of an answer, another may begin the request anew.
RETRY_WITHOUT_SPLICING = "conn-failure empty-response\n    no option splice-request"

# Read by Serve when it is imported, in every process of the cluster, so they are set before Ray starts.
PRODUCTION = {
    "RAY_SERVE_ENABLE_HA_PROXY": "1",
    "RAY_SERVE_THROUGHPUT_OPTIMIZED": "1",
    "RAY_SERVE_LOG_TO_STDERR": "1",  # our own lines belong on the console and in a pod's log
    "RAY_SERVE_REPLICA_GRPC_MAX_MESSAGE_LENGTH": str(128 * 1024 * 1024),
    "RAY_SERVE_HAPROXY_RETRY_ON": RETRY_WITHOUT_SPLICING,
    "RAY_SERVE_HAPROXY_MAXCONN": "16384",  # of the front door; the launcher keeps within `ulimit -Hn`
    "RAY_SERVE_HAPROXY_METRICS_ENABLED": "0",  # /metrics has the cluster's numbers
    "RAY_SERVE_PROXY_HEALTH_CHECK_PERIOD_S": "0.3",  # HAProxy is replaced when it has failed three of them
    # No load balancer has to notice first that this machine goes away: a replica may go when it is idle.
    "RAY_SERVE_DIRECT_INGRESS_MIN_DRAINING_PERIOD_S": "0.5",
    "RAY_enable_metrics_collection": "0",  # Ray's own: load without a reader here
    "AUTOSCALER_METRIC_PORT": "-1",  # nor does anybody read these two, which would listen on every address
    "DASHBOARD_METRIC_PORT": "-1",
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
HAPROXY_FILES = {
    "RAY_SERVE_HAPROXY_SOCKET_PATH": "admin.sock",
    "RAY_SERVE_HAPROXY_CONFIG_FILE_LOC": "haproxy.cfg",
    "RAY_SERVE_HAPROXY_SERVER_STATE_BASE": "",
    "RAY_SERVE_HAPROXY_SERVER_STATE_FILE": "server-state",
    "RAY_SERVE_HAPROXY_METRICS_SOCKET_PATH": "metrics.sock",
}
LAUNCHER = "sekha-haproxy"


def set_up(environ: MutableMapping[str, str], folder: Path, address: str) -> None:
    """
    Set what is not set yet; where HAProxy's files are, and how it is started, is not up to the environment.

    Callers come in at `address`, through HAProxy; all else that Serve opens for HTTP listens on this machine.

    Raises OSError where the launcher cannot be written into the folder of the run.
    """
    for name, value in PRODUCTION.items():
        environ.setdefault(name, value)
    for name, port in zip(SIDE_PORTS, free_ports(len(SIDE_PORTS)), strict=True):
        environ.setdefault(name, str(port))
    environ[ADDRESS_VARIABLE] = address
    environ[RUN_VARIABLE] = str(folder)
    for name, file in HAPROXY_FILES.items():
        environ[name] = str(folder / file) if file else str(folder)
    own = environ.get(BINARY_VARIABLE)
    if own and Path(own).name != LAUNCHER:
        environ.setdefault(REAL_BINARY_VARIABLE, own)
    environ[BINARY_VARIABLE] = str(launcher(folder))


def launcher(folder: Path) -> Path:
    """Return the program that Serve starts as HAProxy: the installed one, else one written to the folder."""
    installed = Path(sys.executable).with_name(LAUNCHER)
    if os.access(installed, os.X_OK):
        return installed
    written = folder / LAUNCHER
    python = shlex.quote(sys.executable)
    command = f'exec {python} -m serve_app.deployments.haproxy.launcher "$@"'
    written.write_text(f"#!/bin/sh\n{command}\n", encoding="utf-8")
    written.chmod(0o700)
    return written


def free_ports(count: int) -> list[int]:
    """Return ports that nobody listens on just now."""
    with ExitStack() as stack:
        probes = [stack.enter_context(socket.socket()) for _ in range(count)]
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [int(probe.getsockname()[1]) for probe in probes]
