"""
The control plane in an actor of its own: detached, named, restarted by Ray when it dies.

It outlives a redeployment of the application, and is replaced by the first router of a newer version.
"""

import asyncio
import logging
import os
from collections.abc import Awaitable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, TypeVar
from uuid import uuid4

import ray
from ray.exceptions import GetTimeoutError, RayError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from serve_app import __version__
from serve_app.clock import SystemClock
from serve_app.config.settings import Settings
from serve_app.config.storage import StorageConfig, state_folder, store_url
from serve_app.control.admin_quota import Allowance
from serve_app.control.capacity import Presence
from serve_app.control.control_plane import ControlPlane
from serve_app.control.local_control_plane import LocalControlPlane
from serve_app.control.protocol import ControlUnreachable, Overtaken, Receipt, Report, Snapshot, Totals
from serve_app.control.runtime_config import RuntimeConfig
from serve_app.deployments.gc_tuning import set_aside, tune_gc
from serve_app.errors import AdminLimitReached
from serve_app.ledger.entry import Entry
from serve_app.ledger.mark import Mark
from serve_app.ledger.store import Change, Record, Spend, StoreUnavailable
from serve_app.limits.allocator import BudgetAlert
from serve_app.observability.logs import configure_logs, log_breaker_change, log_budget_alert
from serve_app.observability.webhook import Webhook
from serve_app.pricing.target_prices import prices_of
from serve_app.resilience.breaker import Breaker
from serve_app.storage.folder import own_folder
from serve_app.storage.locked import locked_if_free
from serve_app.storage.sql import SqlStore

NAMESPACE = "sekha"
ANSWER_WITHIN_S = 5.0
STORE_WITHIN_S = 10.0  # more than that, for what waits for the store
RECEIPT_WITHIN_S = 2.0  # twice in the life of a lease: what is held has to be told again before that ends

T = TypeVar("T")
Refusal = StoreUnavailable | AdminLimitReached | Overtaken

log = logging.getLogger("sekha.control")


class ControlActor:
    """The plane with its store, and a name to find it by."""

    def __init__(self, app_name: str, log_level: str, storage: StorageConfig) -> None:
        configure_logs(log_level)
        clock = SystemClock()
        plane = ControlPlane(
            uuid4().hex, partial(prices_of, environ=os.environ), log_breaker_change, self._alert
        )
        url = store_url(storage, os.environ, app_name)
        self._is_ours = _locked(state_folder(storage, os.environ, app_name))
        store = SqlStore(url, storage.timeout_s, storage.retention_days)
        self._control = LocalControlPlane(plane, clock, store)
        self._webhook = Webhook(lambda: plane.settings, os.environ, clock)
        self._starting: asyncio.Task[None] | None = None
        tune_gc()
        set_aside()

    async def version(self) -> str:
        return __version__

    async def start(self) -> None:
        """Take up what the store has; whoever comes meanwhile waits for the same."""
        if self._starting is None or _has_failed(self._starting):
            self._starting = asyncio.create_task(self._control.start())
        await asyncio.shield(self._starting)

    async def register(self, router_id: str, settings: Settings, known: Snapshot) -> Snapshot:
        await self.start()
        return await self._control.register(router_id, settings, known)

    async def report(self, report: Report) -> Receipt:
        await self.start()
        return await self._control.report(report)

    async def submit_recovered(self, entries: Sequence[Entry]) -> Mark:
        await self.start()
        return await self._control.submit_recovered(entries)

    async def heartbeat(self, presence: Presence) -> None:
        await self._control.heartbeat(presence)

    async def watch(self, generation: str, version: int, timeout_s: float) -> Snapshot:
        return await self._control.watch(generation, version, timeout_s)

    async def runtime_config(self) -> RuntimeConfig:
        return await self._control.runtime_config()

    async def change(
        self, records: Sequence[Record], change: Change, revision: int | None = None
    ) -> RuntimeConfig | Refusal:
        """Call `Control.change`; here and below, errors are returned as values: they keep their type."""
        return await self._or_error(self._control.change(records, change, revision))

    async def asked(self, who: str) -> Allowance | Refusal:
        return await self._or_error(self._control.asked(who))

    async def spends(self, since: float, until: float | None) -> Sequence[Spend] | Refusal:
        return await self._or_error(self._control.spends(since, until))

    async def entries(
        self, limit: int, tenant: str | None, before: float | None
    ) -> Sequence[Entry] | Refusal:
        return await self._or_error(self._control.entries(limit, tenant, before))

    async def changes(self, limit: int, before: float | None) -> Sequence[Change] | Refusal:
        return await self._or_error(self._control.changes(limit, before))

    async def reset_breaker(self, provider_id: str) -> Breaker | None:
        await self.start()
        return await self._control.reset_breaker(provider_id)

    async def _or_error(self, answer: Awaitable[T]) -> T | Refusal:
        await self.start()
        try:
            return await answer
        except (StoreUnavailable, AdminLimitReached, Overtaken) as error:
            return error

    async def probe(self, provider_id: str) -> float | None:
        return await self._control.probe(provider_id)

    async def totals(self) -> Totals:
        return await self._control.totals()

    def _alert(self, alert: BudgetAlert) -> None:
        log_budget_alert(alert)
        self._webhook.tell(alert)


def _locked(folder: Path) -> int | None:
    """The folder, for as long as this process lives; what another gateway keeps there it goes on keeping."""
    try:
        own_folder(folder)
        file = folder / "gateway.lock"
        file.touch(mode=0o600)
        lock = locked_if_free(file)
    except OSError as error:
        log.error("the state folder %s cannot be used: %s", folder, error)
        return None
    if lock is None:
        log.error(
            "another gateway of this machine uses %s: budgets hold for each of them alone; "
            "give one another storage.folder",
            folder,
        )
    return lock


def _has_failed(task: asyncio.Task[None]) -> bool:
    return task.done() and (task.cancelled() or task.exception() is not None)


def name_of(app_name: str) -> str:
    """The actor's name within NAMESPACE, for the gateway that runs as this Serve application."""
    return f"sekha-control:{app_name}"


def _older(version: str, than: str) -> bool:
    """Only the newer replaces: two versions side by side must not keep killing each other's actor."""
    first, second = ([int(part) for part in text.split(".")] for text in (version, than))
    return first < second


class ControlClient:
    """
    The control actor, seen from a router: a `Control` whose every trouble is ControlUnreachable.

    The actor is found by name, and made where there is none yet; a handle that turns out dead is let go, so
    that the next call looks again.
    """

    def __init__(self, app_name: str, log_level: str, storage: StorageConfig) -> None:
        self._app_name = app_name
        self._name = name_of(app_name)
        self._log_level = log_level
        self._storage = storage
        self._actor: Any = None

    async def register(self, router_id: str, settings: Settings, known: Snapshot) -> Snapshot:
        answer: Snapshot = await self._ask("register", router_id, settings, known)
        return answer

    async def report(self, report: Report) -> Receipt:
        answer: Receipt = await self._ask("report", report, at_most_s=RECEIPT_WITHIN_S)
        return answer

    async def submit_recovered(self, entries: Sequence[Entry]) -> Mark:
        answer: Mark = await self._ask("submit_recovered", entries)
        return answer

    async def heartbeat(self, presence: Presence) -> None:
        await self._ask("heartbeat", presence, at_most_s=RECEIPT_WITHIN_S)

    async def runtime_config(self) -> RuntimeConfig:
        answer: RuntimeConfig = await self._ask("runtime_config")
        return answer

    async def change(
        self, records: Sequence[Record], change: Change, revision: int | None = None
    ) -> RuntimeConfig:
        answer: RuntimeConfig = await self._ask_or_raise("change", records, change, revision)
        return answer

    async def asked(self, who: str) -> Allowance:
        answer: Allowance = await self._ask_or_raise("asked", who)
        return answer

    async def spends(self, since: float = 0.0, until: float | None = None) -> Sequence[Spend]:
        answer: Sequence[Spend] = await self._ask_or_raise("spends", since, until)
        return answer

    async def entries(
        self, limit: int = 100, tenant: str | None = None, before: float | None = None
    ) -> Sequence[Entry]:
        answer: Sequence[Entry] = await self._ask_or_raise("entries", limit, tenant, before)
        return answer

    async def changes(self, limit: int = 100, before: float | None = None) -> Sequence[Change]:
        answer: Sequence[Change] = await self._ask_or_raise("changes", limit, before)
        return answer

    async def reset_breaker(self, provider_id: str) -> Breaker | None:
        answer: Breaker | None = await self._ask("reset_breaker", provider_id)
        return answer

    async def watch(self, generation: str, version: int, timeout_s: float) -> Snapshot:
        answer: Snapshot = await self._ask("watch", generation, version, timeout_s, within_s=timeout_s)
        return answer

    async def probe(self, provider_id: str) -> float | None:
        answer: float | None = await self._ask("probe", provider_id)
        return answer

    async def totals(self) -> Totals:
        answer: Totals = await self._ask("totals")
        return answer

    async def _ask_or_raise(self, method: str, *args: object) -> Any:
        """For what waits for the store, and may come back as an error."""
        answer = await self._ask(method, *args, within_s=STORE_WITHIN_S)
        if isinstance(answer, Refusal):
            raise answer
        return answer

    async def _ask(
        self, method: str, *args: object, within_s: float = 0.0, at_most_s: float = ANSWER_WITHIN_S
    ) -> Any:
        try:
            async with asyncio.timeout(at_most_s + within_s):
                actor = self._actor or await self._found()
                return await getattr(actor, method).remote(*args)
        except (RayError, GetTimeoutError, TimeoutError, ValueError) as error:
            self._actor = None
            raise ControlUnreachable(f"{method}: {type(error).__name__}") from error

    async def _found(self) -> Any:
        actor = await asyncio.to_thread(self._made)  # asks the cluster, which may be slow to answer
        if _older(await actor.version.remote(), than=__version__):
            log.info("replacing the control actor of an older version")
            ray.kill(actor, no_restart=True)
            actor = await asyncio.to_thread(self._made)
        self._actor = actor
        return actor

    def _made(self) -> Any:
        remote, here = ray.remote(ControlActor), ray.get_runtime_context().get_node_id()
        return remote.options(
            name=self._name,
            namespace=NAMESPACE,
            lifetime="detached",
            get_if_exists=True,
            max_restarts=-1,
            max_task_retries=0,  # the router asks again itself, and numbers its reports
            num_cpus=0,
            max_concurrency=1000,
            # Beside a router, and not on the head by chance: then it works on while the head is away.
            scheduling_strategy=NodeAffinitySchedulingStrategy(here, soft=True),
        ).remote(self._app_name, self._log_level, self._storage)


class ReadOnlyControlClient(ControlClient):
    """
    The control actor, seen from a replica of a model, which only has something to say.

    It makes no actor and replaces none: that belongs beside a router, and not on a machine that goes away
    when nobody asks the model any more.
    """

    async def _found(self) -> Any:
        actor = await asyncio.to_thread(ray.get_actor, self._name, NAMESPACE)
        if _older(await actor.version.remote(), than=__version__):
            raise ValueError("a router has yet to replace it")
        self._actor = actor
        return actor
