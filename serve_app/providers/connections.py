"""Connections to upstreams, restricted by an address policy."""

import aiohttp
from aiohttp.abc import AbstractResolver

from serve_app.providers.address_policy import AddressPolicy

KEEPALIVE_S = 60.0  # how long an idle connection is kept for the next request


class Pool:
    """Connections under one address policy; the session opens at its first use."""

    def __init__(self, address_policy: AddressPolicy, resolver: AbstractResolver | None = None) -> None:
        self._address_policy = address_policy
        self._resolver = resolver
        self._session: aiohttp.ClientSession | None = None

    @property
    def session(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = open_session(self._address_policy, self._resolver)
        return self._session

    async def aclose(self) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None


def open_session(
    address_policy: AddressPolicy, resolver: AbstractResolver | None = None
) -> aiohttp.ClientSession:
    """Return a session under that policy; no `resolver`: the system's."""
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(
            limit=0,
            keepalive_timeout=KEEPALIVE_S,
            resolver=resolver,
            socket_factory=address_policy.socket_for,
        ),
        cookie_jar=aiohttp.DummyCookieJar(),
    )
