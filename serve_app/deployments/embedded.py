"""
A whole gateway inside somebody's own process: the router's parts, put together without Ray.

Where the configuration or `SEKHA_STATE_DIR` says where to keep things, there is a ledger, and budgets hold
over restarts. Several processes may write to one ledger, and its sums are right; but each process lends its
own credit, so that between two starts a budget holds within each of them and not over all.
"""

import asyncio
import contextlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from uuid import uuid4

from serve_app.clock import Clock
from serve_app.config.settings import Settings
from serve_app.config.storage import is_kept, state_folder, store_url
from serve_app.control.cache import ControlCache
from serve_app.control.control_plane import ControlPlane
from serve_app.control.local_control_plane import LocalControlPlane
from serve_app.control.protocol import ControlUnreachable
from serve_app.deployments.wiring import wire
from serve_app.events import Listener
from serve_app.gateway.running import RunningGateway
from serve_app.ledger.journal import MemoryJournal
from serve_app.ledger.store import Store
from serve_app.limits.allocator import BudgetAlert
from serve_app.observability.logs import log_breaker_change, log_budget_alert
from serve_app.observability.webhook import Webhook
from serve_app.pricing.target_prices import prices_of
from serve_app.providers.base import Provider
from serve_app.providers.health_monitor import free_to_look_at
from serve_app.storage.journal_file import Journal
from serve_app.storage.journal_recovery import JournalRecovery

JOURNALS = "journals"
OWN = "local"  # the folder that all gateways within processes of this machine share


class Authority:
    """What outlives one configuration and one event loop: a plane, and who tells its alerts."""

    def __init__(self, environ: Mapping[str, str], clock: Clock) -> None:
        self.clock = clock
        self.plane = ControlPlane(uuid4().hex, prices_of, log_breaker_change, self._alert)
        self.webhook = Webhook(lambda: self.plane.settings, environ, clock)

    def _alert(self, alert: BudgetAlert) -> None:
        log_budget_alert(alert)
        self.webhook.tell(alert)


@dataclass(frozen=True, slots=True)
class LocalGateway:
    """A gateway that has been started in one event loop, with what surrounds it."""

    running: RunningGateway
    providers: Mapping[str, Provider]
    authority: Authority
    local: LocalControlPlane
    journal_recovery: JournalRecovery | None

    async def stop(self) -> None:
        """Report and write down what is left, and end; the providers stay connected, for whoever is next."""
        await self.running.health_monitor.stop()
        if self.journal_recovery is not None:
            await self.journal_recovery.stop()
            with contextlib.suppress(ControlUnreachable):
                await self.running.control.flush()
            await self.local.write()  # then the journal is not needed any more, and goes
        await self.running.control.stop()
        await self.local.stop()
        await self.authority.webhook.stop()

    def abandon(self) -> None:
        """Its event loop was closed and nobody had stopped it: what it knows is not lost for the next one."""
        for report in self.running.control.abandon():
            self.authority.plane.report(report, self.authority.clock.now())

    async def aclose(self) -> None:
        """End, and let go of the providers' connections."""
        await self.stop()
        await asyncio.gather(*(provider.aclose() for provider in self.providers.values()))


async def local_gateway(
    settings: Settings,
    providers: Mapping[str, Provider],
    clock: Clock,
    rng: Random,
    listeners: Sequence[Listener] = (),
    environ: Mapping[str, str] = os.environ,
    authority: Authority | None = None,
) -> LocalGateway:
    """
    A running gateway of this configuration; `providers` are by id, all of this process.

    `listeners` hear what metrics and the log hear. The upstreams are looked at when somebody asks for it.
    Raises ConfigError when there shall be a ledger and nobody can tell where, OSError when the disk refuses.
    """
    authority = authority or Authority(environ, clock)
    name = uuid4().hex
    store, journals = _kept(settings, environ)
    local = LocalControlPlane(authority.plane, clock, store, is_alone=True)
    await local.start()
    journal = MemoryJournal(name) if journals is None else Journal(journals, name)
    control = ControlCache(name, settings, local, clock, prices_of(settings), journal)
    journal_recovery = None if journals is None else JournalRecovery(journals, local, clock)
    running = wire(settings, providers, control, clock, rng, listeners)
    await control.start()
    running.health_monitor.watch(control.breakers, free_to_look_at(settings))
    if journal_recovery is not None:
        journal_recovery.start()
    return LocalGateway(running, providers, authority, local, journal_recovery)


def _kept(settings: Settings, environ: Mapping[str, str]) -> tuple[Store | None, Path | None]:
    """The ledger and the folder of journals, where there shall be any."""
    storage = settings.storage
    if not is_kept(storage, environ):
        return None, None
    from serve_app.storage.sql import SqlStore  # SQLAlchemy takes half a second, which most have no use for

    store = SqlStore(store_url(storage, environ, OWN), storage.timeout_s, storage.retention_days)
    return store, state_folder(storage, environ, OWN) / JOURNALS
