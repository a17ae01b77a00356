"""API keys: created, read, changed and revoked at run time."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Response
from pydantic import Field

from serve_app.api.admin.access import Access
from serve_app.api.admin.revision import IfMatch, tell_revision
from serve_app.api.admin.service import AdminService
from serve_app.api.admin.timestamps import END_OF_TIME
from serve_app.caller import NOBODY, Caller, Role
from serve_app.config.amounts import Moment
from serve_app.config.base import Config
from serve_app.config.data_policy import DataPolicy
from serve_app.config.key import new_key
from serve_app.config.model import ModelTask
from serve_app.config.tenant import TENANT_ID, Budgets, Rates
from serve_app.control.config_change import key_changed, key_created, key_of, key_revoked
from serve_app.errors import InvalidRequest


class KeyChange(Config):
    """A change of a key: missing fields stay, null removes a bound. The role cannot change."""

    models: tuple[str, ...] | None = None
    tasks: tuple[ModelTask, ...] | None = None
    budgets: Budgets = ()
    rates: Rates = ()
    data_policy: DataPolicy | None = None
    expires_at: Moment | None = Field(default=None, le=END_OF_TIME)  # milliseconds by mistake exceed this
    note: str = Field(default="", max_length=500)


class WantedKey(KeyChange):
    """A new key; its id is generated unless it is given. `expires_at` is a Unix timestamp."""

    id: str | None = Field(default=None, pattern=r"^[a-z0-9_]+$", max_length=64)
    tenant: str = Field(default=NOBODY, pattern=TENANT_ID, max_length=64)
    role: Role = Role.USER


def key_routes(service: AdminService, access: Access) -> APIRouter:
    """Return the routes of keys. A key is shown once, when it is created; its digest never."""
    Admin = Annotated[Caller, Depends(access.admin)]  # noqa: N806 - a type, though made here
    routes = APIRouter(prefix="/keys")

    @routes.get("")
    async def keys(_: Admin, response: Response) -> dict[str, Any]:
        """Return all keys, the newest first, including revoked ones."""
        runtime_config = await service.runtime_config()
        tell_revision(response, runtime_config)
        newest = sorted(runtime_config.keys.values(), key=lambda key: (key.created_at, key.id), reverse=True)
        return {"keys": [key.shown() for key in newest], "count": len(newest)}

    @routes.get("/{id}")
    async def key(id: str, _: Admin, response: Response) -> dict[str, Any]:  # noqa: A002
        """Return one key."""
        runtime_config = await service.runtime_config()
        tell_revision(response, runtime_config)
        return key_of(runtime_config, id).shown()

    @routes.post("", status_code=201)
    async def create(
        wanted: WantedKey,
        caller: Admin,
        response: Response,
        if_match: IfMatch = None,
    ) -> dict[str, Any]:
        """Create a key. It is shown in this answer only."""
        now = service.clock.now()
        _check_end(wanted.expires_at, now)
        shown, made = new_key(now, **dict(wanted))
        runtime_config = await service.amend(
            caller, lambda runtime_config: key_created(runtime_config, service.settings, made), if_match
        )
        tell_revision(response, runtime_config)
        response.headers["cache-control"] = "no-store"
        return {"key": shown, **made.shown()}

    @routes.patch("/{id}")
    async def change(
        id: str,  # noqa: A002
        wanted: KeyChange,
        caller: Admin,
        response: Response,
        if_match: IfMatch = None,
    ) -> dict[str, Any]:
        """Change the permissions and limits of a key."""
        fields = {name: getattr(wanted, name) for name in wanted.model_fields_set}
        _check_end(fields.get("expires_at"), service.clock.now())
        runtime_config = await service.amend(
            caller, lambda runtime_config: key_changed(runtime_config, service.settings, id, fields), if_match
        )
        tell_revision(response, runtime_config)
        return runtime_config.keys[id].shown()

    @routes.delete("/{id}")
    async def revoke(
        id: str,  # noqa: A002
        caller: Admin,
        response: Response,
        if_match: IfMatch = None,
    ) -> dict[str, Any]:
        """Revoke a key for ever: all routers refuse it within a second. Its record is kept."""
        now = service.clock.now()
        runtime_config = await service.amend(
            caller, lambda runtime_config: key_revoked(runtime_config, id, now), if_match
        )
        tell_revision(response, runtime_config)
        return runtime_config.keys[id].shown()

    return routes


def _check_end(expires_at: float | None, now: float) -> None:
    if expires_at is not None and expires_at <= now:
        raise InvalidRequest(
            "expires_at is in the past: it is in seconds since the epoch", "expires_at", "invalid_value", 422
        )
