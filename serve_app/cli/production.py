"""The environment variables of Serve and Ray that `sekha serve` sets."""

import os
import shlex
import socket
import sys
from collections.abc import MutableMapping
from contextlib import ExitStack
from pathlib import Path

from serve_app.cli.processes import RUN_VARIABLE
from serve_app.deployments.haproxy.launcher import ADDRESS_VARIABLE, BINARY_VARIABLE, REAL_BINARY_VARIABLE

# For a HAProxy without our launcher. Serve's template splices requests: a body that arrives after the headers
# bypasses HAProxy, which then misses some disconnects of callers (3 to 5 in 100). There is no setting for
# that, but this value is written into the same section.
# If a router dies before the first byte of an answer, another one may start the request again.
RETRY_WITHOUT_SPLICING = "conn-failure empty-response\n    no option splice-request"

# Read by Serve when it is imported, in every process of the cluster, so they are set before Ray starts.
PRODUCTION = {
    "RAY_SERVE_ENABLE_HA_PROXY": "1",
    "RAY_SERVE_THROUGHPUT_OPTIMIZED": "1",
    "RAY_SERVE_LOG_TO_STDERR": "1",  # the gateway's own lines belong on the console and in a pod's log
    "RAY_SERVE_REPLICA_GRPC_MAX_MESSAGE_LENGTH": str(128 * 1024 * 1024),
    "RAY_SERVE_HAPROXY_RETRY_ON": RETRY_WITHOUT_SPLICING,
    "RAY_SERVE_HAPROXY_MAXCONN": "16384",  # connections of callers; the launcher limits it to `ulimit -Hn`
    "RAY_SERVE_HAPROXY_METRICS_ENABLED": "0",  # /metrics has the cluster's numbers
    "RAY_SERVE_PROXY_HEALTH_CHECK_PERIOD_S": "0.3",  # HAProxy is replaced after three failed checks
    # No load balancer has to notice that this machine stops, so an idle replica may stop at once.
    "RAY_SERVE_DIRECT_INGRESS_MIN_DRAINING_PERIOD_S": "0.5",
    "RAY_enable_metrics_collection": "0",  # Ray's own metrics, which nothing here reads
    "AUTOSCALER_METRIC_PORT": "-1",  # nor these two, which would listen on every address
    "DASHBOARD_METRIC_PORT": "-1",
    # Events of every actor call, kept for a dashboard that does not run here: 50 MB an hour.
    "RAY_task_events_report_interval_ms": "0",
    "RAY_USAGE_STATS_ENABLED": "0",  # no usage reports
    # For glibc: an arena for each thread costs a router 70 MB and grows in steps for hours.
    "MALLOC_ARENA_MAX": "2",
    "MALLOC_TRIM_THRESHOLD_": "131072",
    "RAY_DEDUP_LOGS": "0",  # two requests with equal lines are still two requests
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
    Set the variables that are not set yet; those of HAProxy's files and its start are always set.

    Args:
        environ: the environment that Serve and Ray will read; changed.
        folder: the folder of the run.
        address: where HAProxy listens for callers; Serve's other HTTP ports listen on loopback only.

    Raises:
        OSError: the launcher cannot be written to the folder.
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
    """Return ports that are free at this moment."""
    with ExitStack() as stack:
        probes = [stack.enter_context(socket.socket()) for _ in range(count)]
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [int(probe.getsockname()[1]) for probe in probes]
