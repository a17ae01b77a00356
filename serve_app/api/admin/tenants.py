"""Tenants that operators set, which override those of the configuration."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Response
from pydantic import StrictBool

from serve_app.api.admin.access import Access
from serve_app.api.admin.revision import IfMatch, tell_revision
from serve_app.api.admin.service import AdminService
from serve_app.caller import Caller
from serve_app.config.base import Config
from serve_app.config.data_policy import DataPolicy
from serve_app.config.model import ModelTask
from serve_app.config.tenant import TENANT_ID, Budgets, Rates, TenantConfig
from serve_app.control.config_change import checked, tenant_changed, tenant_of, tenant_removed, tenant_set
from serve_app.control.runtime_config import RuntimeConfig


class WantedTenant(Config):
    """A tenant without its id, which is in the path."""

    budgets: Budgets = ()
    rates: Rates = ()
    models: tuple[str, ...] | None = None
    tasks: tuple[ModelTask, ...] | None = None
    data_policy: DataPolicy | None = None
    vendor_objects: StrictBool = False


def tenant_routes(service: AdminService, access: Access) -> APIRouter:
    """Return the routes of tenants and their limits."""
    Admin = Annotated[Caller, Depends(access.admin)]  # noqa: N806 - a type, though made here
    routes = APIRouter(prefix="/tenants")
    configured = {tenant.id: tenant for tenant in service.settings.tenants}

    def shown(runtime_config: RuntimeConfig, tenant: TenantConfig) -> dict[str, Any]:
        keys = sum(key.tenant == tenant.id and key.revoked_at is None for key in runtime_config.keys.values())
        source = "configuration" if configured.get(tenant.id) == tenant else "operator"
        return {**tenant.model_dump(mode="json"), "source": source, "keys": keys}

    @routes.get("")
    async def tenants(_: Admin, response: Response) -> dict[str, Any]:
        """Return all tenants, including those of the configuration."""
        runtime_config = await service.runtime_config()
        tell_revision(response, runtime_config)
        found = [shown(runtime_config, tenant) for _, tenant in sorted(runtime_config.tenants.items())]
        return {"tenants": found, "count": len(found)}

    @routes.get("/{id}")
    async def tenant(id: str, _: Admin, response: Response) -> dict[str, Any]:  # noqa: A002
        """Return one tenant."""
        runtime_config = await service.runtime_config()
        tell_revision(response, runtime_config)
        return shown(runtime_config, tenant_of(runtime_config, id))

    @routes.put("/{id}")
    async def put(
        id: Annotated[str, Path(json_schema_extra={"pattern": TENANT_ID, "maxLength": 64})],  # noqa: A002
        wanted: WantedTenant,
        caller: Admin,
        response: Response,
        if_match: IfMatch = None,
    ) -> dict[str, Any]:
        """Replace a tenant; missing fields are unlimited."""
        made = checked(TenantConfig, {**dict(wanted), "id": id})
        runtime_config = await service.amend(
            caller, lambda runtime_config: tenant_set(runtime_config, service.settings, made), if_match
        )
        tell_revision(response, runtime_config)
        return shown(runtime_config, made)

    @routes.patch("/{id}")
    async def change(
        id: str,  # noqa: A002
        wanted: WantedTenant,
        caller: Admin,
        response: Response,
        if_match: IfMatch = None,
    ) -> dict[str, Any]:
        """Change fields of a tenant; missing fields stay, null removes a bound."""
        fields = {name: getattr(wanted, name) for name in wanted.model_fields_set}
        runtime_config = await service.amend(
            caller,
            lambda runtime_config: tenant_changed(runtime_config, service.settings, id, fields),
            if_match,
        )
        tell_revision(response, runtime_config)
        return shown(runtime_config, tenant_of(runtime_config, id))

    @routes.delete("/{id}")
    async def delete(
        id: str,  # noqa: A002
        caller: Admin,
        response: Response,
        if_match: IfMatch = None,
    ) -> dict[str, Any]:
        """Delete a tenant, or restore its configuration; 409 while it has keys."""
        runtime_config = await service.amend(
            caller, lambda runtime_config: tenant_removed(runtime_config, service.settings, id), if_match
        )
        tell_revision(response, runtime_config)
        return {"id": id, "deleted": id not in runtime_config.tenants}

    return routes
