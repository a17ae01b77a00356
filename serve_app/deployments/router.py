"""The router: the ingress deployment, where HTTP and calls through handles meet the gateway."""

import asyncio
import logging
import os
from collections.abc import AsyncIterator, Mapping
from contextlib import aclosing
from functools import partial
from pathlib import Path
from random import Random
from typing import Any
from uuid import uuid4

from ray import serve
from ray.serve.exceptions import RayServeException

from serve_app.api.app import build_api
from serve_app.api.asgi import ASGIApp
from serve_app.api.auth import Keyring
from serve_app.caller import NOBODY, Caller
from serve_app.clock import SystemClock
from serve_app.config.provider import ProviderConfig, Transport
from serve_app.config.routing import OnStreamFailure
from serve_app.config.settings import Settings
from serve_app.config.storage import OnUnavailable, state_folder
from serve_app.control.cache import ControlCache
from serve_app.control.control_plane import ControlPlane
from serve_app.control.local_control_plane import LocalControlPlane
from serve_app.control.protocol import Control
from serve_app.deployments.control import ControlClient
from serve_app.deployments.gc_tuning import tune_gc
from serve_app.deployments.provider_handle import HandleProvider
from serve_app.errors import Forbidden, GatewayError
from serve_app.formats.openai_chat.request import read_chat
from serve_app.formats.openai_embeddings import read_embedding
from serve_app.formats.sse import spliced, with_member
from serve_app.gateway.gateway import Gateway, Response
from serve_app.gateway.routing_info import METADATA, metadata
from serve_app.ledger.journal import Journal as JournalPort
from serve_app.ledger.journal import JournalFull, MemoryJournal
from serve_app.observability.logs import (
    configure_logs,
    log_breaker_change,
    log_budget_alert,
    log_event,
)
from serve_app.observability.metrics import MetricsListener, exposition
from serve_app.pricing.target_prices import prices_of
from serve_app.providers.address_policy import EndpointPolicy
from serve_app.providers.base import Provider, StreamEnd
from serve_app.providers.endpoint_check import look_at_endpoint
from serve_app.providers.factory import build_provider
from serve_app.providers.health_monitor import HealthMonitor, free_to_look_at
from serve_app.storage.journal_file import Journal
from serve_app.storage.journal_recovery import JournalRecovery

JOURNALS = "journals"  # within the state folder

log = logging.getLogger("sekha.router")


@serve.ingress()
class RouterDeployment:
    """
    A place for a gateway to run.

    `handles` are the provider deployments by provider id; a provider with transport `inline` has none and
    runs in this process.
    """

    def __init__(self, settings: Settings, handles: Mapping[str, Any]) -> None:
        configure_logs(settings.log_level)
        tune_gc()
        clock = SystemClock()
        endpoint_policy = EndpointPolicy.of(settings)
        providers: dict[str, Provider] = {
            provider.id: build_provider(provider, os.environ, clock, endpoint_policy)
            if provider.transport is Transport.INLINE
            else HandleProvider(provider.id, handles[provider.id])
            for provider in settings.llm_providers
        }
        hosted = {provider.id for provider in settings.llm_providers if provider.local is not None}
        name = uuid4().hex  # of this life of a router, and of its journal
        control, journals = _connected(settings)
        journal = _journal(journals, name, settings.storage.on_unavailable)
        self._control = ControlCache(name, settings, control, clock, prices_of(settings, os.environ), journal)
        self._journal_recovery = None if journals is None else JournalRecovery(journals, control, clock)
        metrics = MetricsListener(lambda: self._control.tally)
        rng = Random()
        wakers = {
            name: provider.wake
            for name, provider in providers.items()
            if name in hosted and isinstance(provider, HandleProvider)
        }
        self._gateway = Gateway(settings, providers, self._control, clock, rng, [metrics, log_event], wakers)
        awake = {p.id: providers[p.id] for p in settings.llm_providers if not _may_sleep(p)}
        self._look = partial(look_at_endpoint, clock=clock, endpoint_policy=endpoint_policy)
        self._health_monitor = HealthMonitor(
            settings.health, awake, clock, rng, self._gateway.tell, self._gateway.moved, self._look
        )
        self._free = free_to_look_at(settings)
        self._keyring = Keyring.of(settings, os.environ, clock)
        self._control.on_runtime_config(self._keyring.take)
        self._providers = providers
        self._clock = clock

    async def __serve_build_asgi_app__(self) -> ASGIApp:
        """Serve calls this once, on the replica's loop: say hello to the control actor, begin to look."""
        await self._control.start()
        self._health_monitor.start()
        self._health_monitor.watch(self._control.breakers, self._free)
        if self._journal_recovery is not None:
            self._journal_recovery.start()
        return build_api(
            self._gateway, self._health_monitor, self._keyring, self._clock, exposition, self._look
        )

    async def chat(
        self, body: bytes, request_id: str, timeout_s: float | None = None, tenant: str = NOBODY
    ) -> bytes | GatewayError:
        """A chat completion for a caller within the cluster; errors come as values."""
        try:
            caller = self._caller(tenant)
            return self._told(await self._gateway.chat(read_chat(body), request_id, timeout_s, caller))
        except GatewayError as error:
            return error

    async def embed(
        self, body: bytes, request_id: str, timeout_s: float | None = None, tenant: str = NOBODY
    ) -> bytes | GatewayError:
        """Vectors for a caller within the cluster; errors come as values."""
        try:
            caller = self._caller(tenant)
            return self._told(await self._gateway.embed(read_embedding(body), request_id, timeout_s, caller))
        except GatewayError as error:
            return error

    async def chat_stream(
        self,
        body: bytes,
        request_id: str,
        timeout_s: float | None = None,
        tenant: str = NOBODY,
        on_failure: OnStreamFailure | None = None,
    ) -> AsyncIterator[bytes | GatewayError]:
        """Blocks of SSE frames for a caller within the cluster; an error, if there is one, comes last."""
        try:
            caller = self._caller(tenant)
            stream = await self._gateway.chat_stream(
                read_chat(body), request_id, timeout_s, on_failure, caller
            )
        except GatewayError as error:
            yield error
            return
        untold = self._gateway.settings.routing.metadata
        async with aclosing(stream):
            async for item in stream:
                if isinstance(item, bytes) and untold and stream.routed:
                    item = with_member(item, METADATA, metadata(stream.routed))
                    untold = False
                if not isinstance(item, StreamEnd):
                    yield item

    def _told(self, reply: Response) -> bytes:
        """The answer, with a word about who gave it and what it cost, as over HTTP."""
        if not self._gateway.settings.routing.metadata:
            return reply.body
        return spliced(reply.body, METADATA, metadata(reply.routed))

    def _caller(self, tenant: str) -> Caller:
        """Who calls through a handle is within the cluster's trust, and says itself who pays."""
        runtime_config = self._control.runtime_config
        if not runtime_config.has_tenant(tenant):
            raise Forbidden(f"There is no tenant '{tenant}' here")
        return runtime_config.caller("handle", tenant)

    async def check_health(self) -> None:
        """Serve asks now and then; a router that answers and reports is well, whatever its providers do."""
        self._control.check()
        self._health_monitor.check()
        if self._journal_recovery is not None:
            self._journal_recovery.check()

    async def __del__(self) -> None:
        """Serve awaits this when it retires a replica, started or not: report what is not reported yet."""
        if not hasattr(self, "_providers"):
            return
        await self._health_monitor.stop()
        if self._journal_recovery is not None:
            await self._journal_recovery.stop()
        await self._control.stop()
        await asyncio.gather(*(provider.aclose() for provider in self._providers.values()))


def _journal(folder: Path | None, name: str, on_unavailable: OnUnavailable) -> JournalPort:
    """A journal on disk; where the disk refuses it and requests go on all the same, one in memory."""
    if folder is None:
        return MemoryJournal(name)
    try:
        return Journal(folder, name)
    except (JournalFull, OSError) as error:
        if on_unavailable is OnUnavailable.DENY:
            raise
        log.error("no journal in %s, entries are kept in memory until the store has them: %s", folder, error)
        return MemoryJournal(name)


def _may_sleep(provider: ProviderConfig) -> bool:
    """A deployment that may shrink to nothing is not looked at: every look would wake it."""
    return provider.transport is Transport.HANDLE and provider.autoscaling.min_replicas == 0


def _connected(settings: Settings) -> tuple[Control, Path | None]:
    """
    The way to the authority, and the folder of this machine's journals.

    In local testing mode the authority is in this process, and nothing outlives it: there is no folder.
    """
    try:
        context = serve.get_replica_context()
    except RayServeException:
        plane = ControlPlane(
            uuid4().hex, partial(prices_of, environ=os.environ), log_breaker_change, log_budget_alert
        )
        return LocalControlPlane(plane, SystemClock()), None
    client = ControlClient(context.app_name, settings.log_level, settings.storage)
    return client, state_folder(settings.storage, os.environ, context.app_name) / JOURNALS
