"""The check of endpoints that operators set; a name is resolved once, when it is set."""

import asyncio
import socket
from collections.abc import Awaitable, Callable, Iterable, Sequence
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit

from serve_app.config.endpoint_addresses import Address, is_ours, literal_address, refused_address
from serve_app.errors import InvalidRequest

Resolve = Callable[[str], Awaitable[Sequence[str]]]
RESOLVE_WITHIN_S = 3.0
METADATA_NAMES = frozenset({
    "metadata", "metadata.google.internal", "metadata.goog", "instance-data", "instance-data.ec2.internal",
    "metadata.azure.internal", "metadata.tencentyun.com",
})  # fmt: skip
USUAL_PORT = {"http": 80, "https": 443}


async def system_resolve(name: str) -> Sequence[str]:
    """Return every address of a name; empty if it has none, or the DNS does not answer in time."""
    try:
        async with asyncio.timeout(RESOLVE_WITHIN_S):
            loop = asyncio.get_running_loop()
            found = await loop.getaddrinfo(name, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return ()
    return tuple(dict.fromkeys(str(entry[4][0]).partition("%")[0] for entry in found))


class EndpointGuard:
    """Refuses endpoints at the gateway's own addresses, and at others that it must not call."""

    def __init__(self, port: int, allow_private: bool, resolve: Resolve = system_resolve) -> None:
        self._port = port
        self._allow_private = allow_private
        self._resolve = resolve

    async def check(self, endpoint: str, scope: Any) -> None:
        """
        Raise InvalidRequest for an endpoint that is refused.

        `scope` is that of the request, with the address and port at which the gateway was reached. An unknown
        name passes: its machine may still be starting.
        """
        parts = urlsplit(endpoint)
        host, port = parts.hostname or "", parts.port or USUAL_PORT[parts.scheme]
        if "%" in host:
            raise _refused(endpoint, "has a host with '%' in it")
        if host.rstrip(".") in METADATA_NAMES:
            raise _refused(endpoint, "names a cloud's metadata service")
        addresses = await self._addresses(host, endpoint)
        for address in addresses:
            if why := refused_address(address, allow_private=self._allow_private):
                at = "" if str(address) == host else f" ({address})"
                raise _refused(endpoint, f"leads to an address that {why}{at}")
        ports = {self._port, *_ports_of(scope)}
        if port in ports:
            own = await self._own_addresses(scope)
            if any(is_ours(address, port, own, ports) for address in addresses):
                raise _refused(endpoint, "leads to this gateway itself")

    async def _addresses(self, host: str, endpoint: str) -> list[Address]:
        try:
            literal = literal_address(host)
        except ValueError:
            raise _refused(endpoint, "has a host that is no address") from None
        if literal is not None:
            return [literal]
        return [ip_address(found) for found in await self._resolve(host.rstrip("."))]

    async def _own_addresses(self, scope: Any) -> Iterable[Address]:
        server = scope.get("server") or ("", None)
        names = [socket.gethostname(), str(server[0])]
        found: list[Address] = []
        for name in filter(None, names):
            try:
                found.append(ip_address(name))
            except ValueError:
                found += [ip_address(text) for text in await self._resolve(name)]
        return found


def _ports_of(scope: Any) -> Iterable[int]:
    """Return the ports by which this request may have arrived: the server's, and that of its Host header."""
    server = scope.get("server")
    if server and server[1]:
        yield int(server[1])
    host = next((value for name, value in scope.get("headers", ()) if name == b"host"), b"")
    try:
        port = urlsplit(f"//{host.decode('latin-1')}").port
    except ValueError:
        return
    if port:
        yield port


def _refused(endpoint: str, why: str) -> InvalidRequest:
    return InvalidRequest(f"The endpoint {endpoint} {why}", param="endpoint", code="endpoint_refused")
