"""A gateway with a store and an HTTP face, as operators meet it: no Ray, but everything else is real."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

import httpx

from serve_app.api.app import build_api
from serve_app.api.auth import Keyring
from serve_app.clock import SystemClock
from serve_app.config.settings import Settings
from serve_app.control.control_cache import ControlCache
from serve_app.control.control_plane import ControlPlane
from serve_app.control.local_control_plane import LocalControlPlane
from serve_app.deployments.wiring import wire
from serve_app.ledger.entry import Entry
from serve_app.limits.allocator import BudgetAlert
from serve_app.observability.metrics import exposition
from serve_app.pricing.target_prices import prices_of
from serve_app.providers.base import Provider
from serve_app.storage.sql import SqlStore
from tests.support.harness import ListedProvider
from tests.support.ledgers import ledger_in

ADMIN, READER, USER = "sk-the-admin", "sk-the-reader", "sk-the-user"
KEYS = {
    "api_keys": [USER, {"key": READER, "id": "grafana", "role": "read"}],
    "admin_keys": [ADMIN],
}
HAIKU = "claude-3-haiku-20240307"
SONNET = "claude-3-5-sonnet-20241022"
QWEN = "Qwen/Qwen2.5-7B-Instruct"


class MovedClock(SystemClock):
    """The system's clock, ahead by what it was moved; sleeping takes as long as ever."""

    def __init__(self) -> None:
        self.ahead_s = 0.0

    def now(self) -> float:
        return super().now() + self.ahead_s


def two_backends(vllm_url: str | None = None, **more: Any) -> Settings:
    """Anthropic and one's own vLLM, whose tokens cost nothing; keys of each role unless `auth` says else."""
    claude = {
        "id": "claude",
        "type": "anthropic",
        "priority": 1,
        "retry": {"max_retries": 0},
        "models": [
            {"model_id": SONNET, "task": "chat_smart", "cost_per_1k_input": 0.0, "cost_per_1k_output": 1.0},
            {"model_id": HAIKU, "task": "chat_small"},
        ],
    }
    own = {
        "id": "own",
        "type": "vllm",
        "base_url": vllm_url,
        "priority": 2,
        "retry": {"max_retries": 0},
        "models": [{"model_id": QWEN, "task": "chat_smart"}],
    }
    providers = [claude, own] if vllm_url else [claude]
    config = {"llm_providers": providers, "default_models": {}, "auth": KEYS, **more}
    return Settings.model_validate(config)


class Office:
    """The gateway, its authority, and clients by their key."""

    def __init__(
        self, settings: Settings, store: SqlStore | None, clock: MovedClock, providers: Mapping[str, Any]
    ) -> None:
        self.clock = clock
        self.alerts: list[BudgetAlert] = []
        self.store = store
        self.authority = LocalControlPlane(
            ControlPlane("generation-1", prices_of, on_alert=self.alerts.append),
            clock,
            store,
            responses=None if store is None else store.responses,
        )
        self.providers = providers
        self.settings = settings
        self.routers = [self._router(f"router-{number}") for number in (1, 2)]
        self._apps: dict[int, Any] = {}

    def _router(self, name: str) -> tuple[ControlCache, Callable[[], Any]]:
        settings, clock = self.settings, self.clock
        control = ControlCache(name, settings, self.authority, clock, prices_of(settings))
        running = wire(settings, self.providers, control, clock, Random(7))
        keyring = Keyring.of(settings, {}, clock)
        control.on_runtime_config(keyring.take)
        return control, partial(build_api, running, keyring, exposition)

    def app(self, router: int = 0) -> Any:
        """The router's application, made when somebody asks it: FastAPI takes its time over routes."""
        if router not in self._apps:
            self._apps[router] = self.routers[router][1]()
        return self._apps[router]

    def client(self, key: str | None = ADMIN, router: int = 0) -> httpx.AsyncClient:
        """Somebody with this key before one of the two routers; to be closed by nobody: it opens nothing."""
        transport = httpx.ASGITransport(self.app(router), raise_app_exceptions=False)
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        return httpx.AsyncClient(transport=transport, base_url="http://localhost", headers=headers)

    async def spent(self, entries: Sequence[Entry]) -> None:
        """These attempts are in the ledger."""
        await self.authority.submit_recovered(entries)
        assert self.store is not None
        await self.authority._write(self.store)

    async def noted(self) -> None:
        """What the routers accounted for is in the ledger."""
        for control, _ in self.routers:
            await control.flush()
        assert self.store is not None
        await self.authority._write(self.store)


async def soon(condition: Callable[[], Awaitable[bool]]) -> None:
    """Wait until it holds, for a second at most: so long the news may take."""
    async with asyncio.timeout(1):
        while not await condition():  # noqa: ASYNC110 - what is waited for is in another router
            await asyncio.sleep(0.01)


@asynccontextmanager
async def office(
    folder: Path,
    settings: Settings | None = None,
    providers: Mapping[str, Provider] | None = None,
    *,
    stored: bool = True,
    make_clock: Callable[[], MovedClock] = MovedClock,
) -> AsyncIterator[Office]:
    """Two routers of one gateway with its ledger in this folder, started and stopped."""
    settings = settings or two_backends()
    known = providers or {p.id: ListedProvider(RuntimeError()) for p in settings.llm_providers}
    store = await ledger_in(folder) if stored else None
    opened = Office(settings, store, make_clock(), known)
    await opened.authority.start()
    for control, _ in opened.routers:
        await control.start()
    try:
        yield opened
    finally:
        for control, _ in opened.routers:
            await control.stop()
        await opened.authority.stop()
