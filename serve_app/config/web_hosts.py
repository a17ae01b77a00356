"""
Lists of hosts whose addresses a request may name: `allowed_media_domains`, `allowed_mcp_servers`.

What is compared is an origin: scheme, host, and port where it is not the scheme's own.
"""

import re
from collections.abc import Iterable
from typing import Annotated

from pydantic import AfterValidator

from serve_app.config.data_policy import is_private_address
from serve_app.config.endpoint_addresses import is_literal
from serve_app.config.mistakes import WholeMistake

# A web address that every client reads alike: none with a user, a backslash or a blank in it, which some
# clients take for a part of the host and others do not.
_PLAIN = re.compile(
    r"(https?)://([a-z0-9](?:[a-z0-9.-]*[a-z0-9])?)(?::([0-9]{1,5}))?(?:[/?#][^\s\\]*)?",
    re.IGNORECASE | re.ASCII,
)
_ENTRY = re.compile(
    r"(?:(https?)://)?(\*|(?:\*\.)?[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?)(?::([0-9]{1,5}))?/?",
    re.IGNORECASE | re.ASCII,
)
_USUAL_PORTS = {"https": "443", "http": "80"}


def origin_of(url: str) -> str | None:
    """Return the origin of a web address, such as `https://example.org`; None where it is not a plain one."""
    found = _PLAIN.fullmatch(url)
    return None if found is None else _origin(*found.groups())


def is_listed(origin: str, hosts: Iterable[str]) -> bool:
    """
    Return whether an origin is of one of these hosts.

    Args:
        origin: as `origin_of` returns it.
        hosts: `example.org`; `*.example.org`, which is every host below it; `*`, which is every public name.
            They stand for https on its usual port, unless they are written with `http://` or a port.
    """
    scheme, _, place = origin.partition("://")
    host, _, port = place.partition(":")
    return any(_covers(entry, scheme, host, port) for entry in hosts)


def exact_hosts(hosts: Iterable[str]) -> list[str]:
    """Return the names of the hosts of a list, for software that compares nothing else."""
    return [_parts(entry)[1] for entry in hosts]


def first_pattern(hosts: Iterable[str]) -> str | None:
    """Return the first entry that stands for many hosts; None: there is none."""
    return next((entry for entry in hosts if "*" in entry), None)


def is_host(text: str) -> bool:
    """Return whether this is the name of one host, without a scheme or a port."""
    return "*" not in text and ":" not in text and _ENTRY.fullmatch(text) is not None


def _covers(entry: str, scheme: str, host: str, port: str) -> bool:
    of_scheme, pattern, of_port = _parts(entry)
    if (of_scheme, of_port) != (scheme, port):
        return False
    if pattern == "*":
        return not is_literal(host) and not is_private_address(f"{scheme}://{host}")
    return pattern == host or (pattern.startswith("*.") and host.endswith(pattern[1:]))


def _parts(entry: str) -> tuple[str, str, str]:
    found = _ENTRY.fullmatch(entry)
    assert found is not None, "the configuration has checked it"  # noqa: S101
    scheme, pattern, port = found.groups()
    scheme = (scheme or "https").lower()
    return scheme, pattern.lower(), _unusual(scheme, port)


def _origin(scheme: str, host: str, port: str | None) -> str:
    scheme = scheme.lower()
    rest = _unusual(scheme, port)
    return f"{scheme}://{host.lower()}" + (f":{rest}" if rest else "")


def _unusual(scheme: str, port: str | None) -> str:
    """Return a port, without zeros in front; empty where it is the scheme's own."""
    number = str(int(port)) if port else ""
    return "" if number == _USUAL_PORTS[scheme] else number


def _checked(hosts: tuple[str, ...]) -> tuple[str, ...]:
    for entry in hosts:
        if _ENTRY.fullmatch(entry) is None:
            shown = entry.partition("@")[2][:60] if "@" in entry else entry[:60]
            raise WholeMistake(
                f"'{shown}' is not a host; write example.org, *.example.org, http://example.org or "
                "example.org:8443, without a path"
            )
    return hosts


Hosts = Annotated[tuple[str, ...], AfterValidator(_checked)]
