"""The check that the platform of a running gateway is alive."""

import errno
import socket
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass

LOOKS_EVERY_S = 1.0
SHUT_FOR_S = 20.0  # without a listener; Serve replaces a HAProxy that died within one second
VITAL = frozenset({"gcs_server", "raylet"})  # Ray's processes that are not replaced when they die


@dataclass
class Vital:
    """The time since which nothing has listened at the gateway's address."""

    address: str
    shut_since: float | None = None

    def what_died(self, now: float, ended: Iterable[str], is_shut: bool) -> str:
        """
        Return the part that has died; empty: none.

        Args:
            now: seconds of any clock.
            ended: the kinds of Ray's own processes that have ended.
            is_shut: whether a connection to the address was refused just now.
        """
        if gone := sorted(VITAL.intersection(ended)):
            return f"Ray's {' and '.join(gone)} died"
        if not is_shut:
            self.shut_since = None
        elif self.shut_since is None:
            self.shut_since = now
        elif now - self.shut_since > SHUT_FOR_S:
            return f"nothing has listened on {self.address} for {SHUT_FOR_S:g} s"
        return ""


def is_refused(host: str, port: int) -> bool:
    """Return whether nothing listens at an address. A server too busy to accept a connection does listen."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with suppress(OSError), socket.socket(family) as probe:
        probe.settimeout(0.5)
        return probe.connect_ex((host, port)) == errno.ECONNREFUSED
    return False
