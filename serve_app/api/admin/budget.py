"""The gateway's own budget, set while it runs."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends
from pydantic import Field

from serve_app.api.admin.access import Access
from serve_app.api.admin.desk import Desk
from serve_app.api.admin.money import gateway_budget, in_dollars, spent_in_window, told
from serve_app.caller import Caller
from serve_app.config.base import Config
from serve_app.config.tenant import BudgetConfig, BudgetWindow
from serve_app.control.book import limit_id
from serve_app.control.store import Record

MOST = 1e9  # US dollars


class BudgetWanted(Config):
    """A new limit in US dollars; without a window, for the window that the present budget has."""

    budget_limit: float = Field(gt=0, le=MOST)
    window: BudgetWindow | None = None


def budget_routes(desk: Desk, access: Access) -> APIRouter:
    """One endpoint under the two paths that seed 004 and its reference use."""
    Admin = Annotated[Caller, Depends(access.admin)]  # noqa: N806 - a type, though made here
    routes = APIRouter()

    @routes.post("/budget")
    @routes.post("/costs/budget", include_in_schema=False)
    async def budget(wanted: BudgetWanted, caller: Admin) -> dict[str, Any]:
        """Set the budget of the whole gateway; who was refused by the former one may go on at once."""
        known = await desk.book()
        present = gateway_budget(known)
        usual = BudgetWindow(present.window.value) if present else BudgetWindow.TOTAL
        config = BudgetConfig(limit=wanted.budget_limit, window=wanted.window or usual)
        name = limit_id("", config, config.window.value)
        before = next((limit for limit in known.limits if limit.id == name), None)
        previous = None if before is None else in_dollars(before.amount)
        book = await desk.change(
            caller,
            "budget_changed",
            f"budget:{name}",
            [Record("limit", name, config.model_dump(mode="json"))],
            None if before is None else {"budget_limit": previous, "window": config.window.value},
            {"budget_limit": config.limit, "window": config.window.value},
        )
        present = next(limit for limit in book.limits if limit.id == name)
        used = (await spent_in_window(desk, book, present)).total
        return {
            "success": True,
            "previous_limit": previous,
            "current_usage": in_dollars(used),
            **told(present, used),
        }

    return routes
