"""
The control plane in an actor of its own: detached, named, restarted by Ray when it dies.

It outlives a redeployment of the application, and is replaced by the first router of a newer version.
"""

import asyncio
import logging
import os
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, cast
from uuid import uuid4

import ray
from ray.exceptions import GetTimeoutError, RayError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from serve_app import __version__
from serve_app.clock import SystemClock
from serve_app.config.storage import StorageConfig, state_folder, store_url
from serve_app.control.control_plane import ControlPlane
from serve_app.control.local_control_plane import LocalControlPlane
from serve_app.control.protocol import Control, ControlUnreachable, Overtaken
from serve_app.deployments.gc_tuning import set_aside, tune_gc
from serve_app.errors import AdminLimitReached
from serve_app.ledger.store import StoreUnavailable
from serve_app.limits.allocator import BudgetAlert
from serve_app.observability.logs import configure_logs, log_breaker_change, log_budget_alert
from serve_app.observability.webhook import Webhook
from serve_app.pricing.target_prices import prices_of
from serve_app.storage.folder import own_folder
from serve_app.storage.locked import locked_if_free
from serve_app.storage.sql import SqlStore

NAMESPACE = "sekha"
ANSWER_WITHIN_S = 5.0
STORE_WITHIN_S = 15.0  # for what waits for the store
RECEIPT_WITHIN_S = 2.0  # twice in the life of a lease: what is held has to be told again before that ends

REFUSALS = (StoreUnavailable, AdminLimitReached, Overtaken)

log = logging.getLogger("sekha.control")


class Remote(NamedTuple):
    """
    The way of one call of `Control` from a router to the actor.

    Fields:
        restores: the call waits until the actor has read its store.
        within_s: the longest the router waits; `watch` also waits for as long as it was told to.
    """

    restores: bool = True
    within_s: float = ANSWER_WITHIN_S


# Every call of `Control`. Actor and client get one method for each, below; a test compares the names.
CALLS: Mapping[str, Remote] = {
    "register": Remote(),
    "report": Remote(within_s=RECEIPT_WITHIN_S),
    "submit_recovered": Remote(),
    "heartbeat": Remote(restores=False, within_s=RECEIPT_WITHIN_S),
    "runtime_config": Remote(restores=False),
    "change": Remote(within_s=STORE_WITHIN_S),
    "asked": Remote(within_s=STORE_WITHIN_S),
    "spends": Remote(within_s=STORE_WITHIN_S),
    "entries": Remote(within_s=STORE_WITHIN_S),
    "changes": Remote(within_s=STORE_WITHIN_S),
    "stored_response": Remote(within_s=STORE_WITHIN_S),
    "response_chain": Remote(within_s=STORE_WITHIN_S),
    "responses_with_items": Remote(within_s=STORE_WITHIN_S),
    "store_response": Remote(),
    "delete_response": Remote(within_s=STORE_WITHIN_S),
    "reset_breaker": Remote(),
    "watch": Remote(restores=False),
    "probe": Remote(restores=False),
    "totals": Remote(restores=False),
}


class ControlActor:
    """The control plane with its store, and a name to find it by. Its calls are those of `Control`."""

    def __init__(self, app_name: str, log_level: str, storage: StorageConfig) -> None:
        configure_logs(log_level)
        clock = SystemClock()
        plane = ControlPlane(
            uuid4().hex, partial(prices_of, environ=os.environ), log_breaker_change, self._alert
        )
        url = store_url(storage, os.environ, app_name)
        self._is_ours = _locked(state_folder(storage, os.environ, app_name))
        store = SqlStore(url, storage.timeout_s, storage.retention_days)
        self._control = LocalControlPlane(plane, clock, store, responses=store.responses)
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
            "another gateway on this machine uses %s, so budgets apply to each of them separately; "
            "set a different storage.folder for one of them",
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

    async def _ask(self, method: str, args: Sequence[Any], within_s: float) -> Any:
        try:
            async with asyncio.timeout(within_s):
                actor = self._actor or await self._found()
                answer = await getattr(actor, method).remote(*args)
        except (RayError, GetTimeoutError, TimeoutError, ValueError) as error:
            self._actor = None
            raise ControlUnreachable(f"{method}: {type(error).__name__}") from error
        if isinstance(answer, REFUSALS):
            raise answer
        return answer

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


def _of_the_actor(name: str, remote: Remote) -> Callable[..., Awaitable[Any]]:
    async def call(self: ControlActor, *args: Any) -> Any:
        if remote.restores:
            await self.start()
        try:
            return await getattr(self._control, name)(*args)
        except REFUSALS as error:
            return error  # as a value, which keeps its type

    call.__name__ = name
    return call


def _of_the_client(name: str, remote: Remote) -> Callable[..., Awaitable[Any]]:
    async def call(self: ControlClient, *args: Any) -> Any:
        longer_s = args[-1] if name == "watch" else 0.0
        return await self._ask(name, args, remote.within_s + longer_s)

    call.__name__ = name
    return call


for _name, _remote in CALLS.items():
    setattr(ControlActor, _name, _of_the_actor(_name, _remote))
    setattr(ControlClient, _name, _of_the_client(_name, _remote))


def control_client(app_name: str, log_level: str, storage: StorageConfig) -> Control:
    """Return the control actor of this Serve application, as a router calls it."""
    return cast(Control, ControlClient(app_name, log_level, storage))


def read_only_control_client(app_name: str, log_level: str, storage: StorageConfig) -> Control:
    """Return the same for a replica of a model, which makes no actor and replaces none."""
    return cast(Control, ReadOnlyControlClient(app_name, log_level, storage))
