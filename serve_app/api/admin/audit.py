"""The audit log."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query

from serve_app.api.admin.access import Access
from serve_app.api.admin.service import AdminService
from serve_app.api.admin.timestamps import Moment, shown_timestamp, timestamp_of
from serve_app.caller import Caller
from serve_app.ledger.store import Change

MOST = 1000


def audit_routes(service: AdminService, access: Access) -> APIRouter:
    """Return the route of the audit log, newest line first."""
    Reader = Annotated[Caller, Depends(access.reader)]  # noqa: N806 - a type, though made here
    routes = APIRouter()

    @routes.get("/audit")
    async def audit(
        _: Reader,
        limit: Annotated[int, Query(ge=1, le=MOST)] = 100,
        before: Moment = None,
    ) -> dict[str, Any]:
        """Return the newest changes; pass the last line's `at` as `before` for the next page."""
        changes = await service.changes(limit, timestamp_of(before, "before"))
        return {"changes": [shown(change) for change in changes], "count": len(changes)}

    return routes


def shown(change: Change) -> dict[str, Any]:
    """Return the JSON of a line of the audit log."""
    return {
        "timestamp": shown_timestamp(change.at),
        "at": change.at,
        "user_id": change.who,
        "action": change.action,
        "subject": change.subject,
        "details": {"before": change.before, "after": change.after},
    }
