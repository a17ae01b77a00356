"""The gateway's own budget, set at run time."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Response

from serve_app.api.admin.access import Access
from serve_app.api.admin.amounts import gateway_budget, in_dollars, spent_in_window, told
from serve_app.api.admin.revision import IfMatch, tell_revision
from serve_app.api.admin.service import AdminService
from serve_app.caller import Caller
from serve_app.config.amounts import Dollars
from serve_app.config.base import Config
from serve_app.config.tenant import BudgetConfig, BudgetWindow
from serve_app.control.config_change import ConfigChange
from serve_app.control.runtime_config import RuntimeConfig, limit_id
from serve_app.ledger.store import Record


class BudgetWanted(Config):
    """A new budget in US dollars; without a window, that of the current budget."""

    budget_limit: Dollars
    window: BudgetWindow | None = None


def budget_routes(service: AdminService, access: Access) -> APIRouter:
    """Return the routes of one endpoint, which has two paths for the clients of either."""
    Admin = Annotated[Caller, Depends(access.admin)]  # noqa: N806 - a type, though made here
    routes = APIRouter()

    @routes.post("/budget")
    @routes.post("/costs/budget", include_in_schema=False)
    async def budget(
        wanted: BudgetWanted, caller: Admin, response: Response, if_match: IfMatch = None
    ) -> dict[str, Any]:
        """Set the budget of the gateway; it applies at once, also to callers that the old one refused."""
        done: list[ConfigChange] = []

        def amend(runtime_config: RuntimeConfig) -> ConfigChange:
            done[:] = [
                _changed(runtime_config, wanted)
            ]  # the last one counts: another change may have come first
            return done[0]

        runtime_config = await service.amend(caller, amend, if_match)
        tell_revision(response, runtime_config)
        [amendment] = done
        limit = next(limit for limit in runtime_config.limits if limit.id == amendment.record.id)
        used = (await spent_in_window(service, runtime_config, limit)).total
        return {
            "success": True,
            "previous_limit": amendment.before["budget_limit"] if amendment.before else None,
            "current_usage": in_dollars(used),
            **told(limit, used),
        }

    return routes


def _changed(runtime_config: RuntimeConfig, wanted: BudgetWanted) -> ConfigChange:
    present = gateway_budget(runtime_config)
    usual = BudgetWindow(present.window.value) if present else BudgetWindow.TOTAL
    config = BudgetConfig(limit=wanted.budget_limit, window=wanted.window or usual)
    name, window = limit_id("", config, config.window.value), config.window.value
    before = next((limit for limit in runtime_config.limits if limit.id == name), None)
    return ConfigChange(
        "budget_changed",
        f"budget:{name}",
        Record("limit", name, config.model_dump(mode="json")),
        None if before is None else {"budget_limit": in_dollars(before.amount), "window": window},
        {"budget_limit": config.limit, "window": window},
    )
