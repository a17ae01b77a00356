"""A look into a DNS of the test's own, whose names lead elsewhere when the test says so."""

import socket
from typing import Any

from aiohttp.abc import AbstractResolver, ResolveResult


class FakeResolver(AbstractResolver):
    """Knows the addresses of names as they stand; `asked` are the looks so far."""

    def __init__(self, **addresses: tuple[str, ...]) -> None:
        self.addresses = addresses
        self.asked: list[str] = []

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        self.asked.append(host)
        return [
            ResolveResult(hostname=host, host=address, port=port, family=_family(address), proto=0, flags=0)
            for address in self.addresses[host]
        ]

    async def close(self) -> None:
        """Nothing to close."""

    async def getaddrinfo(self, host: str, port: int, **_: Any) -> list[tuple[Any, ...]]:
        """Answer as an event loop does, for clients that cannot be handed a resolver."""
        found = await self.resolve(str(host), port)
        return [(f["family"], socket.SOCK_STREAM, 6, "", (f["host"], f["port"])) for f in found]


def _family(address: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in address else socket.AF_INET
