"""
A whole gateway embedded in an application's process: the parts of a router, assembled without Ray.

If the configuration or `SEKHA_STATE_DIR` names a place for state, there is a ledger, and budgets survive
restarts. Several processes may write to one ledger, and its sums are right; but each process leases its own
quota, so between two starts a budget holds within each process and not across them.
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
from serve_app.control.control_cache import ControlCache
from serve_app.control.control_plane import ControlPlane
from serve_app.control.local_control_plane import LocalControlPlane
from serve_app.control.protocol import ControlUnreachable
from serve_app.deployments.wiring import wire
from serve_app.events import Listener
from serve_app.gateway.running_gateway import RunningGateway
from serve_app.ledger.journal import MemoryJournal
from serve_app.ledger.store import Store
from serve_app.limits.allocator import BudgetAlert
from serve_app.observability.logs import log_breaker_change, log_budget_alert
from serve_app.observability.webhook import Webhook
from serve_app.pricing.target_prices import prices_of
from serve_app.providers.base import Provider
from serve_app.providers.health_monitor import free_to_look_at
from serve_app.response_store.store import ResponseStore
from serve_app.storage.journal_file import Journal
from serve_app.storage.journal_recovery import JournalRecovery

JOURNALS = "journals"
OWN = "local"  # the folder shared by all embedded gateways of this machine


class Authority:
    """The control plane and the webhook of its alerts; they outlive one configuration and one event loop."""

    def __init__(self, environ: Mapping[str, str], clock: Clock) -> None:
        self.clock = clock
        self.plane = ControlPlane(uuid4().hex, prices_of, log_breaker_change, self._alert)
        self.webhook = Webhook(lambda: self.plane.settings, environ, clock)

    def _alert(self, alert: BudgetAlert) -> None:
        log_budget_alert(alert)
        self.webhook.tell(alert)


@dataclass(frozen=True, slots=True)
class LocalGateway:
    """A gateway started in one event loop, with its providers, control plane and journal recovery."""

    running: RunningGateway
    providers: Mapping[str, Provider]
    authority: Authority
    local: LocalControlPlane
    journal_recovery: JournalRecovery | None

    async def stop(self) -> None:
        """Report and store what remains, and stop; the providers stay connected for the next gateway."""
        await self.running.health_monitor.stop()
        if self.journal_recovery is not None:
            await self.journal_recovery.stop()
            with contextlib.suppress(ControlUnreachable):
                await self.running.control.flush()
            await self.local.write()  # the journal is not needed after that, and is deleted
        await self.running.control.stop()
        await self.local.stop()
        await self.authority.webhook.stop()

    def abandon(self) -> None:
        """Report the state of a gateway whose event loop was closed without `stop`, for the next gateway."""
        for report in self.running.control.abandon():
            self.authority.plane.report(report, self.authority.clock.now())

    async def aclose(self) -> None:
        """Stop, and close the providers' connections."""
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
    Start and return a gateway of this configuration. Upstreams are health-checked on request only.

    Args:
        settings: the configuration.
        providers: by id, all within this process.
        clock: the source of time.
        rng: the source of randomness.
        listeners: receive the events that the metrics and the log receive.
        environ: the environment, for the place of the ledger and for prices.
        authority: the control plane of an earlier gateway; None: a new one.

    Raises:
        ConfigError: a ledger is configured, but no place for it.
        OSError: the disk rejects a file.
    """
    authority = authority or Authority(environ, clock)
    name = uuid4().hex
    store, responses, journals = _kept(settings, environ)
    local = LocalControlPlane(authority.plane, clock, store, is_alone=True, responses=responses)
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


def _kept(
    settings: Settings, environ: Mapping[str, str]
) -> tuple[Store | None, ResponseStore | None, Path | None]:
    """Return the ledger, the stored responses and the folder of journals; None where nothing is kept."""
    storage = settings.storage
    if not is_kept(storage, environ):
        return None, None, None
    from serve_app.storage.sql import SqlStore  # importing SQLAlchemy takes half a second

    store = SqlStore(store_url(storage, environ, OWN), storage.timeout_s, storage.retention_days)
    return store, store.responses, state_folder(storage, environ, OWN) / JOURNALS
