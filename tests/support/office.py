"""A gateway with a store and its admin API, in the test's own process: what operators do, without Ray."""

from pathlib import Path
from typing import Any

import httpx

from serve_app.api.app import build_api
from serve_app.api.auth import Keyring
from serve_app.clock import SystemClock
from serve_app.config.settings import Settings
from serve_app.observability.metrics import exposition
from serve_app.storage.sql import SqlStore
from tests.support.gateways import House, ListedProvider

ADMIN_KEY = "an-admins-key"


class Office:
    """
    Two routers of one gateway over one store: `http` asks the first, `other` the second, as an admin.

    Both tell each other nothing but through the authority, as on a cluster.
    """

    def __init__(self, settings: Settings, providers: dict[str, ListedProvider], folder: Path) -> None:
        clock = SystemClock()
        self.store = SqlStore(f"sqlite:///{folder}/ledger.db")
        self.house = House(settings, providers, clock, self.store)
        self.routers = (self.house, House(settings, providers, clock, beside=self.house))
        self.apps = tuple(_app(house, settings) for house in self.routers)
        self.http, self.other = (_client(app, ADMIN_KEY) for app in self.apps)

    def as_caller(self, key: str, router: int = 0) -> httpx.AsyncClient:
        """A client of one of the routers, with this key."""
        return _client(self.apps[router], key)

    async def open(self) -> "Office":
        await self.house.authority.start()
        for house in self.routers:
            await house.control.start()
        return self

    async def close(self) -> None:
        for house in self.routers:
            await house.control.stop()
        await self.house.authority.stop()


def _app(house: House, settings: Settings) -> Any:
    keyring = Keyring.of(settings, {}, SystemClock())
    house.control.on_new_book(keyring.take)
    return build_api(house.gateway, house.lookout, keyring, SystemClock(), exposition)


def _client(app: Any, key: str) -> httpx.AsyncClient:
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    return httpx.AsyncClient(
        transport=transport, base_url="http://gateway", headers={"authorization": f"Bearer {key}"}
    )
