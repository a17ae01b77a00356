"""The state of every budget and rate limit."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends

from serve_app.api.admin.access import Access
from serve_app.api.admin.service import AdminService
from serve_app.caller import Caller
from serve_app.limits.allocator import LimitStatus
from serve_app.limits.limit import Limit, Unit
from serve_app.pricing.money import dollars


def limit_routes(service: AdminService, access: Access) -> APIRouter:
    """Return the route of the limits of the gateway, of its tenants and of their keys."""
    Reader = Annotated[Caller, Depends(access.any_reader)]  # noqa: N806 - a type, though made here
    routes = APIRouter()

    @routes.get("/limits")
    async def limits(caller: Reader) -> dict[str, Any]:
        """Return all limits: used, leased to routers, remaining; budgets are in US dollars."""
        now, tenant = service.clock.now(), caller.confined_to
        limit_statuses = (await service.totals()).limit_statuses
        found = [_shown(its, now) for its in limit_statuses if tenant in (None, its.limit.scope.tenant)]
        return {"limits": found, "count": len(found)}

    return routes


def _shown(limit_status: LimitStatus, now: float) -> dict[str, Any]:
    limit = limit_status.limit
    amounts = {
        "amount": limit.amount,
        "used": limit_status.used,
        "on_loan": limit_status.on_loan,
        "left": limit_status.left,
    }
    is_money = limit.unit is Unit.NANO_DOLLARS
    return {
        "id": limit.id,
        "unit": "usd" if is_money else limit.unit.value,
        "window": limit.window.value,
        **{name: dollars(amount) if is_money else amount for name, amount in amounts.items()},
        "began_at": limit_status.window or None,
        "resets_at": limit.window.end(now),
        "scope": _scope(limit),
    }


def _scope(limit: Limit) -> dict[str, str]:
    """Return the scope of a limit; empty for the whole gateway."""
    scope = limit.scope
    named = {
        "tenant": scope.tenant,
        "key": scope.caller,
        "provider": scope.provider,
        "model": scope.model,
    }
    return {name: value for name, value in named.items() if value is not None}
