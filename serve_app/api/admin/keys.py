"""Keys that are made, looked at, changed and revoked while the gateway runs."""

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
    """What of a key may change: what is not named stays, None takes a bound away. Its role never does."""

    models: tuple[str, ...] | None = None
    tasks: tuple[ModelTask, ...] | None = None
    budgets: Budgets = ()
    rates: Rates = ()
    data_policy: DataPolicy | None = None
    expires_at: Moment | None = Field(default=None, le=END_OF_TIME)  # milliseconds by mistake are above
    note: str = Field(default="", max_length=500)


class WantedKey(KeyChange):
    """A key to be made; its id is chosen unless it is given. `expires_at` is in seconds since the epoch."""

    id: str | None = Field(default=None, pattern=r"^[a-z0-9_]+$", max_length=64)
    tenant: str = Field(default=NOBODY, pattern=TENANT_ID, max_length=64)
    role: Role = Role.USER


def key_routes(service: AdminService, access: Access) -> APIRouter:
    """The keys of the book. Neither a key nor its digest is ever told, but for a new key, once."""
    Admin = Annotated[Caller, Depends(access.admin)]  # noqa: N806 - a type, though made here
    routes = APIRouter(prefix="/keys")

    @routes.get("")
    async def keys(_: Admin, response: Response) -> dict[str, Any]:
        """All of them, the newest first, the revoked ones too."""
        runtime_config = await service.runtime_config()
        tell_revision(response, runtime_config)
        newest = sorted(runtime_config.keys.values(), key=lambda key: (key.created_at, key.id), reverse=True)
        return {"keys": [key.shown() for key in newest], "count": len(newest)}

    @routes.get("/{id}")
    async def key(id: str, _: Admin, response: Response) -> dict[str, Any]:  # noqa: A002
        """One of them."""
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
        """Make a key. The answer is the only place where it ever stands."""
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
        """Change what a key may do and cost."""
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
        """Revoke a key: it is refused everywhere within a second, and for ever. Its record stays."""
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
