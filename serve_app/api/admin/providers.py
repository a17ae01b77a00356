"""Providers: configuration, operators' overrides, current state, and breakers."""

from contextlib import suppress
from typing import Annotated, Any
from urllib.parse import urlsplit

from fastapi import APIRouter, Depends, Response

from serve_app.api.admin.access import Access
from serve_app.api.admin.revision import IfMatch, tell_revision
from serve_app.api.admin.service import AdminService
from serve_app.api.health import providers_view
from serve_app.api.routing_schemas import ProviderView
from serve_app.caller import Caller
from serve_app.config.override import ProviderOverride
from serve_app.config.provider import ProviderConfig
from serve_app.control.config_change import provider_changed, unknown
from serve_app.control.protocol import ControlUnreachable
from serve_app.control.runtime_config import RuntimeConfig


def provider_admin_routes(service: AdminService, access: Access) -> APIRouter:
    """Return the routes of providers: everything but their keys, and their overrides."""
    Admin = Annotated[Caller, Depends(access.admin)]  # noqa: N806 - a type, though made here
    routes = APIRouter()

    async def views() -> dict[str, ProviderView]:
        with suppress(ControlUnreachable):  # then this router's own view is used
            await service.control.flush()
        return dict(providers_view(service.running, await service.health_monitor.report()).providers)

    async def all_shown(runtime_config: RuntimeConfig) -> dict[str, dict[str, Any]]:
        seen = await views()
        return {
            p.id: _shown(p, runtime_config.providers.get(p.id), seen[p.id])
            for p in service.settings.llm_providers
        }

    @routes.get("/providers")
    async def providers(_: Admin, response: Response) -> dict[str, Any]:
        """Return all providers, in the order of the configuration."""
        runtime_config = await service.runtime_config()
        tell_revision(response, runtime_config)
        return {"providers": list((await all_shown(runtime_config)).values())}

    @routes.get("/providers/{id}")
    async def provider(id: str, _: Admin, response: Response) -> dict[str, Any]:  # noqa: A002
        """Return one provider."""
        runtime_config = await service.runtime_config()
        tell_revision(response, runtime_config)
        found = (await all_shown(runtime_config)).get(id)
        if found is None:
            raise unknown("provider", id)
        return found

    @routes.patch("/providers/{id}")
    async def change(
        id: str,  # noqa: A002
        wanted: ProviderOverride,
        caller: Admin,
        response: Response,
        if_match: IfMatch = None,
    ) -> dict[str, Any]:
        """Disable, enable or move a provider; null restores the configuration, missing fields stay."""
        fields = {name: getattr(wanted, name) for name in wanted.model_fields_set}
        runtime_config = await service.amend(
            caller,
            lambda runtime_config: provider_changed(runtime_config, service.settings, id, fields),
            if_match,
        )
        tell_revision(response, runtime_config)
        return (await all_shown(runtime_config))[id]

    @routes.get("/breakers")
    async def breakers(_: Admin) -> dict[str, Any]:
        """Return every provider's breaker, for the whole cluster."""
        seen = await views()
        return {"breakers": {id_: view.circuit_breaker.model_dump() for id_, view in seen.items()}}

    @routes.post("/breakers/{id}/reset")
    async def reset(id: str, caller: Admin) -> dict[str, Any]:  # noqa: A002
        """Close a breaker and reset its failures."""
        if not await service.reset_breaker(caller, id):
            raise unknown("provider", id)
        return {"provider_id": id, "circuit_breaker": (await views())[id].circuit_breaker.model_dump()}

    return routes


def _shown(provider: ProviderConfig, override: ProviderOverride | None, seen: ProviderView) -> dict[str, Any]:
    wanted = (override or ProviderOverride()).model_dump(mode="json")
    return {
        "id": provider.id,
        "type": provider.type,
        "base_url": _without_secrets(provider.base_url),
        "transport": provider.transport.value,
        "enabled": wanted["enabled"] is not False,
        "priority": wanted["priority"] or provider.priority,
        "configured": {"enabled": True, "priority": provider.priority},
        "override": wanted if override else None,
        "models": [
            {"model_id": model.model_id, "task": model.task.value, "context_window": model.context_window}
            for model in provider.models
        ],
        "status": seen.status,
        "latency_ms": seen.latency_ms,
        "error": seen.error,
        "last_check": seen.last_check,
        "circuit_breaker": seen.circuit_breaker.model_dump(),
    }


def _without_secrets(address: str | None) -> str | None:
    """Return an address without a password or key, which a URL may contain."""
    if address is None:
        return None
    parts = urlsplit(address)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"
