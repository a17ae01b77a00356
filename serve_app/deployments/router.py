"""The router: the ingress deployment, which passes HTTP and handle calls to the gateway."""

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
from serve_app.config.routing import OnStreamFailure
from serve_app.config.settings import Settings
from serve_app.config.storage import OnUnavailable, state_folder
from serve_app.control.control_cache import ControlCache
from serve_app.control.control_plane import ControlPlane
from serve_app.control.local_control_plane import LocalControlPlane
from serve_app.control.protocol import Control
from serve_app.deployments.control import control_client
from serve_app.deployments.gc_tuning import tune_gc
from serve_app.deployments.transports import TRANSPORTS
from serve_app.deployments.wiring import wire
from serve_app.errors import Forbidden, GatewayError
from serve_app.formats.openai_chat.format import OPENAI_CHAT
from serve_app.formats.openai_embeddings import OPENAI_EMBEDDINGS
from serve_app.gateway.request import GatewayRequest, Operation
from serve_app.gateway.routing_info import METADATA, metadata
from serve_app.ledger.journal import Journal as JournalPort
from serve_app.ledger.journal import JournalFull, MemoryJournal
from serve_app.observability.logs import (
    configure_logs,
    log_breaker_change,
    log_budget_alert,
)
from serve_app.observability.metrics import exposition
from serve_app.pricing.target_prices import prices_of
from serve_app.providers.address_policy import EndpointPolicy
from serve_app.providers.base import Provider, StreamEnd
from serve_app.providers.health_monitor import free_to_look_at
from serve_app.storage.journal_file import Journal
from serve_app.storage.journal_recovery import JournalRecovery

JOURNALS = "journals"  # within the state folder

log = logging.getLogger("sekha.router")


@serve.ingress()
class RouterDeployment:
    """
    The deployment of a gateway.

    `handles` are the handles of provider deployments by provider id, if they have one (`transports.py`).
    """

    def __init__(self, settings: Settings, handles: Mapping[str, Any]) -> None:
        configure_logs(settings.log_level)
        tune_gc()
        clock = SystemClock()
        endpoint_policy = EndpointPolicy.of(settings)
        providers: dict[str, Provider] = {
            p.id: TRANSPORTS[p.transport].reach(p, handles.get(p.id), clock, endpoint_policy)
            for p in settings.llm_providers
        }
        name = uuid4().hex  # of this router process and its journal
        control, journals = _connected(settings)
        journal = _journal(journals, name, settings.storage.on_unavailable)
        self._control = ControlCache(name, settings, control, clock, prices_of(settings, os.environ), journal)
        self._journal_recovery = None if journals is None else JournalRecovery(journals, control, clock)
        self._running = wire(settings, providers, self._control, clock, Random())
        self._free = free_to_look_at(settings)
        self._keyring = Keyring.of(settings, os.environ, clock)
        self._control.on_runtime_config(self._keyring.take)
        self._providers = providers

    async def __serve_build_asgi_app__(self) -> ASGIApp:
        """Connect to the control plane, start health checks, and return the ASGI app; Serve calls it once."""
        await self._control.start()
        self._running.health_monitor.start()
        self._running.health_monitor.watch(self._control.breakers, self._free)
        if self._journal_recovery is not None:
            self._journal_recovery.start()
        return build_api(self._running, self._keyring, exposition)

    async def chat(
        self, body: bytes, request_id: str, timeout_s: float | None = None, tenant: str = NOBODY
    ) -> bytes | GatewayError:
        """Return a chat completion for a caller within the cluster; errors are returned as values."""
        try:
            content = OPENAI_CHAT.parse(body)
            return await self._answer(
                GatewayRequest(request_id, Operation.CHAT, content, self._caller(tenant), timeout_s)
            )
        except GatewayError as error:
            return error

    async def embed(
        self, body: bytes, request_id: str, timeout_s: float | None = None, tenant: str = NOBODY
    ) -> bytes | GatewayError:
        """Return embeddings for a caller within the cluster; errors are returned as values."""
        try:
            request = GatewayRequest(
                request_id,
                Operation.EMBEDDINGS,
                OPENAI_EMBEDDINGS.parse(body),
                self._caller(tenant),
                timeout_s,
                format=OPENAI_EMBEDDINGS,
            )
            return await self._answer(request)
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
        """Yield blocks of SSE frames for a caller within the cluster; an error, if any, comes last."""
        try:
            content, caller = OPENAI_CHAT.parse(body), self._caller(tenant)
            request = GatewayRequest(
                request_id, Operation.CHAT, content, caller, timeout_s, on_failure, streams=True
            )
            stream = await self._running.gateway.stream(request)
        except GatewayError as error:
            yield error
            return
        lacks_metadata = self._running.settings.routing.metadata
        async with aclosing(stream):
            async for item in stream:
                if isinstance(item, bytes) and lacks_metadata and stream.routed:
                    item = OPENAI_CHAT.first_block(item, {METADATA: metadata(stream.routed)})
                    lacks_metadata = False
                if not isinstance(item, StreamEnd):
                    yield item

    async def _answer(self, request: GatewayRequest) -> bytes:
        """Return the answer with its routing metadata, as over HTTP."""
        response = await self._running.gateway.answer(request)
        if not self._running.settings.routing.metadata:
            return response.body
        return request.format.response(response.body, {METADATA: metadata(response.routed)})

    def _caller(self, tenant: str) -> Caller:
        """Return the caller of a handle call: it is trusted, and names the tenant that pays."""
        runtime_config = self._control.runtime_config
        if not runtime_config.has_tenant(tenant):
            raise Forbidden(f"There is no tenant '{tenant}'")
        return runtime_config.caller("handle", tenant)

    async def check_health(self) -> None:
        """Raise if a task of the router has failed; Serve then replaces it. Providers do not matter here."""
        self._control.check()
        self._running.health_monitor.check()
        if self._journal_recovery is not None:
            self._journal_recovery.check()

    async def __del__(self) -> None:
        """Send the last reports and stop; Serve awaits this when it retires a replica, started or not."""
        if not hasattr(self, "_providers"):
            return
        await self._running.health_monitor.stop()
        if self._journal_recovery is not None:
            await self._journal_recovery.stop()
        await self._control.stop()
        await asyncio.gather(*(provider.aclose() for provider in self._providers.values()))


def _journal(folder: Path | None, name: str, on_unavailable: OnUnavailable) -> JournalPort:
    """Return a journal on disk; one in memory if the disk fails and `on_unavailable` allows requests."""
    if folder is None:
        return MemoryJournal(name)
    try:
        return Journal(folder, name)
    except (JournalFull, OSError) as error:
        if on_unavailable is OnUnavailable.DENY:
            raise
        log.error("no journal in %s, entries stay in memory until the store has them: %s", folder, error)
        return MemoryJournal(name)


def _connected(settings: Settings) -> tuple[Control, Path | None]:
    """
    Return the client of the control plane, and the folder of this machine's journals.

    In local testing mode the control plane is in this process and keeps nothing: the folder is None.
    """
    try:
        context = serve.get_replica_context()
    except RayServeException:
        plane = ControlPlane(
            uuid4().hex, partial(prices_of, environ=os.environ), log_breaker_change, log_budget_alert
        )
        return LocalControlPlane(plane, SystemClock()), None
    client = control_client(context.app_name, settings.log_level, settings.storage)
    return client, state_folder(settings.storage, os.environ, context.app_name) / JOURNALS
