"""
The two backends, `anthropic` and `vllm`: which one is active, the health of each, and the address of vLLM.

A switch affects requests that leave the choice to the gateway (a tier, `auto`, no model): they go to a
provider of that type first. Requests that name a model or a task are not affected.
"""

import asyncio
from collections.abc import Sequence
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Request
from pydantic import Field, StrictBool

from serve_app.api.admin.access import Access
from serve_app.api.admin.endpoint_guard import EndpointGuard
from serve_app.api.admin.service import AdminService
from serve_app.api.admin.timestamps import shown_timestamp
from serve_app.caller import Caller
from serve_app.config.backends import tidy
from serve_app.config.base import Config
from serve_app.control.backend import (
    Backend,
    BackendNotConfigured,
    Backends,
    backend_named,
    backends_of,
)
from serve_app.control.local_control_plane import SWITCHED
from serve_app.ledger.store import Record
from serve_app.providers.base import Health, HealthStatus
from serve_app.providers.health_monitor import EndpointCheck


class SwitchWanted(Config):
    """A switch to a backend, by name; an unhealthy one is refused unless the check is skipped."""

    backend: str = Field(max_length=100, json_schema_extra={"enum": list(Backend)})
    skip_health_check: StrictBool = False


class EndpointWanted(Config):
    """The address of vLLM, with or without `/v1`."""

    endpoint: str = Field(max_length=2100)


class BackendLooks:
    """
    Health checks of the backends, made on request.

    A configured provider is checked with its own key. An address that an operator has set is checked by
    `at_endpoint`, which sends no key.
    """

    def __init__(self, service: AdminService, at_endpoint: EndpointCheck) -> None:
        self._desk = service
        self._at_endpoint = at_endpoint

    async def look(self, backend: Backend, backends: Backends) -> Health:
        """Check a backend; return the best health among its providers."""
        configured = [p for p in self._desk.settings.llm_providers if p.type == backend]
        if backend is Backend.VLLM:
            if backends.vllm_endpoint is None and not backends.hosts_vllm:
                return self._ill(backends.why_not(backend) or "")
            configured = [
                p for p in configured if p.local or tidy(p.base_url or "") == backends.vllm_endpoint
            ]
            if not configured and backends.api_base is not None:
                return await self._at_endpoint(backends.api_base)
        if not configured:
            return self._ill(f"No provider of type '{backend}' is configured")
        looks = await asyncio.gather(
            *(self._desk.health_monitor.fresh(provider.id) for provider in configured)
        )
        return _best(looks)

    async def all(self, backends: Backends) -> dict[Backend, Health]:
        """Check both backends."""
        looks = await asyncio.gather(*(self.look(backend, backends) for backend in Backend))
        return dict(zip(Backend, looks, strict=True))

    def _ill(self, why: str) -> Health:
        return Health(HealthStatus.UNHEALTHY, None, why, (), self._desk.clock.now())


def backend_routes(
    service: AdminService, access: Access, looks: BackendLooks, guard: EndpointGuard
) -> APIRouter:
    """Return the routes of the current backend, its switch, the backends' health, and vLLM's endpoint."""
    Reader = Annotated[Caller, Depends(access.reader)]  # noqa: N806 - a type, though made here
    Admin = Annotated[Caller, Depends(access.admin)]  # noqa: N806
    routes = APIRouter()

    async def present() -> Backends:
        return backends_of(service.settings, (await service.runtime_config()).backend)

    @routes.get("/backend/current")
    async def current(_: Reader) -> dict[str, Any]:
        """Return the current backend, and the available ones."""
        await service.health_monitor.report()
        return current_backend(service, await present())

    @routes.post("/backend/switch")
    async def switch(wanted: SwitchWanted, caller: Admin) -> dict[str, Any]:
        """Switch the backend; `success` is false, and nothing changes, if it is missing or unhealthy."""
        backend, before = backend_named(wanted.backend), await present()
        try:
            after = before.switched_to(backend)
        except BackendNotConfigured as error:
            return _not_switched(before, error.message)
        if not wanted.skip_health_check:
            health = await looks.look(backend, before)
            if health.status is HealthStatus.UNHEALTHY:
                return _not_switched(before, f"Backend '{backend}' is not healthy: {health.error}")
        await service.change(
            caller,
            SWITCHED,
            f"backend:{backend}",
            [Record("backend", "current", {"current": backend.value})],
            {"backend": before.current.value},
            {"backend": backend.value, "skip_health_check": wanted.skip_health_check},
        )
        return {
            "success": True,
            "message": f"Switched to {backend}",
            "backend": after.current.value,
            "previous_backend": before.current.value,
        }

    @routes.get("/backend/health")
    async def health(_: Reader) -> dict[str, Any]:
        """Check both backends now: reachable, the key accepted, an answer within five seconds."""
        found = await looks.all(await present())
        return {backend.value: shown_health(look) for backend, look in found.items()}

    @routes.get("/backend/health/{name}")
    async def health_of(
        name: Annotated[str, Path(json_schema_extra={"enum": list(Backend)})], _: Reader
    ) -> dict[str, Any]:
        """Check one backend now."""
        backend = backend_named(name)
        return {"backend": backend.value, **shown_health(await looks.look(backend, await present()))}

    @routes.post("/backend/vllm/endpoint")
    @routes.post("/vllm/endpoint", include_in_schema=False)
    async def vllm_endpoint(wanted: EndpointWanted, caller: Admin, request: Request) -> dict[str, Any]:
        """Set the address of vLLM, whether or not a server answers there yet."""
        before = await present()
        after = before.with_endpoint(wanted.endpoint, service.clock.now())
        await guard.check(after.vllm_endpoint or "", request.scope)
        state = {"vllm_endpoint": after.vllm_endpoint, "vllm_since": after.vllm_since}
        await service.change(
            caller,
            "vllm_endpoint_changed",
            "backend:vllm",
            [Record("backend", "vllm", state)],
            {"endpoint": before.vllm_endpoint},
            {"endpoint": after.vllm_endpoint},
        )
        look = await looks.look(Backend.VLLM, after)
        passed = look.status is HealthStatus.HEALTHY
        return {
            "success": True,
            "message": "vLLM endpoint set" + _but(after.why_not(Backend.VLLM) or look.error),
            "endpoint": after.vllm_endpoint,
            "health_check_passed": passed,
        }

    return routes


def current_backend(service: AdminService, backends: Backends) -> dict[str, Any]:
    """Return the current backend, with the results of the last health checks."""
    looks: dict[str, list[Health]] = {}
    for provider in service.settings.llm_providers:
        if provider.type in list(Backend) and (seen := service.health_monitor.seen.get(provider.id)):
            looks.setdefault(provider.type, []).append(seen)
    best = {name: _best(found) for name, found in looks.items()}
    return {
        "current_backend": backends.current.value,
        "vllm_endpoint": backends.vllm_endpoint,
        "vllm_configured": backends.is_configured(Backend.VLLM),
        "health_status": {name: look.status is not HealthStatus.UNHEALTHY for name, look in best.items()},
        "last_health_check": {name: shown_timestamp(look.last_check) for name, look in best.items()},
        "available_models": list(backends.available_models),
        "available_backends": [backend.value for backend in Backend],
    }


def _but(trouble: str | None) -> str:
    return f", but: {trouble}" if trouble else ""


def shown_health(health: Health) -> dict[str, Any]:
    """Return the JSON of a health check."""
    return {
        "healthy": health.status is not HealthStatus.UNHEALTHY,
        "latency_ms": health.latency_ms,
        "last_check": shown_timestamp(health.last_check),
        "error": health.error,
    }


def _best(looks: Sequence[Health]) -> Health:
    """Return the best health: one healthy provider of a type is enough."""
    return min(looks, key=lambda health: health.status is HealthStatus.UNHEALTHY)


def _not_switched(backends: Backends, why: str) -> dict[str, Any]:
    current = backends.current.value
    return {"success": False, "message": why, "backend": current, "previous_backend": current}
