"""The content of a budget alert, for the log and the webhook."""

from datetime import UTC, datetime
from typing import Any

from serve_app.limits.allocator import BudgetAlert
from serve_app.pricing.money import dollars

_LEVELS = {75: "warning", 90: "critical"}


def alert_facts(alert: BudgetAlert) -> dict[str, Any]:
    """
    Return the facts of a budget alert; amounts are in US dollars.

    `id` is the same when an alert is sent again, as may happen after a restart.
    """
    limit = alert.limit
    return {
        "event": "budget_alert",
        "id": f"{limit.id}@{alert.window:.0f}/{alert.threshold}/{limit.amount}",
        "level": _LEVELS.get(alert.threshold, "exceeded"),
        "threshold": alert.threshold,
        "current_usage": dollars(alert.used),
        "budget_limit": dollars(limit.amount),
        "message": f"{alert.threshold} % of the budget '{limit.id}' is spent",
        "budget": limit.id,
        "window": limit.window.value,
        "window_start": datetime.fromtimestamp(alert.window, UTC).isoformat(timespec="seconds"),
    }
