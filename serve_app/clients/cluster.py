"""The connection to a Ray cluster, with a time limit and clear errors."""

import os
import socket
import threading
from collections.abc import Mapping
from urllib.parse import urlsplit

import ray
from ray.exceptions import AuthenticationError

from serve_app.errors import GatewayUnavailable

JOIN_WITHIN_S = 30.0
KNOCK_WITHIN_S = 3.0

_joining = threading.Lock()


def join_cluster(within_s: float = JOIN_WITHIN_S) -> None:
    """
    Join the cluster of this machine, or the one in RAY_ADDRESS; start none.

    Ray itself waits more than a minute for a cluster that is gone, and cannot be interrupted: after
    `within_s` seconds the attempt is abandoned.

    Raises:
        GatewayUnavailable: with the reason: no cluster, nothing at its address, no token, no answer in time.
    """
    if ray.is_initialized():
        return
    address = os.environ.get("RAY_ADDRESS") or "auto"
    _knock(address, min(within_s, KNOCK_WITHIN_S))
    with _joining:
        if ray.is_initialized():
            return
        failure = _failure_within(within_s)
    if isinstance(failure, TimeoutError):
        raise _no_cluster(f"{_named(address)} did not answer within {within_s:g} s") from failure
    if failure is not None:
        raise _no_cluster(_reason(failure, address, os.environ)) from failure


def _failure_within(within_s: float) -> BaseException | None:
    """Try to join in a separate thread; return the error, None: it succeeded."""
    failures: list[BaseException] = []

    def join() -> None:
        try:
            ray.init(address="auto", log_to_driver=False)
        except BaseException as error:  # noqa: BLE001 - handed to the one who waits
            failures.append(error)

    thread = threading.Thread(target=join, name="sekha-join-cluster", daemon=True)
    thread.start()
    thread.join(within_s)
    if thread.is_alive():
        return TimeoutError()
    return failures[0] if failures else None


def _knock(address: str, within_s: float) -> None:
    """Raise GatewayUnavailable if nothing listens at the port in the address."""
    host, port = _host_and_port(address)
    if host is None or port is None:
        return
    try:
        socket.create_connection((host, port), within_s).close()
    except OSError as error:
        reason = "timed out" if isinstance(error, TimeoutError) else (error.strerror or str(error))
        raise _no_cluster(f"nothing answers at RAY_ADDRESS {address} ({reason})") from error


def _host_and_port(address: str) -> tuple[str | None, int | None]:
    try:
        parts = urlsplit(address if "://" in address else f"ray-address://{address}")
        return parts.hostname, parts.port
    except ValueError:
        return None, None


def _reason(failure: BaseException, address: str, environ: Mapping[str, str]) -> str:
    """Return in one line why Ray did not join."""
    if isinstance(failure, AuthenticationError) or "token" in str(failure).lower():
        mode = environ.get("RAY_AUTH_MODE") or "not set"
        return (
            f"{_named(address)} asks for a token, and none is found or it is not the right one "
            f"(RAY_AUTH_MODE is {mode}; the token comes from RAY_AUTH_TOKEN, RAY_AUTH_TOKEN_PATH or "
            "~/.ray/auth_token)"
        )
    if isinstance(failure, ConnectionError) and address == "auto":
        return "there is no Ray cluster to join on this machine, and RAY_ADDRESS is not set"
    first_line = (str(failure).strip().splitlines() or [""])[0][:300]
    return f"{_named(address)}: {type(failure).__name__}: {first_line}"


def _named(address: str) -> str:
    return "the Ray cluster of this machine" if address == "auto" else f"the Ray cluster at {address}"


def _no_cluster(reason: str) -> GatewayUnavailable:
    return GatewayUnavailable(f"Cannot join a Ray cluster: {reason}")
