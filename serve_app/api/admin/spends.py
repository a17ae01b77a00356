"""What was spent, by day, provider, model, tenant and caller."""

from datetime import UTC, date, datetime
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query

from serve_app.accounting.money import dollars
from serve_app.api.admin.access import Access
from serve_app.api.admin.desk import Desk
from serve_app.caller import Caller
from serve_app.control.spending import BY, Sum, summed
from serve_app.errors import InvalidRequest

DAY_S = 86_400.0


def spend_routes(desk: Desk, access: Access) -> APIRouter:
    """The ledger's sums, as far back as there are any."""
    Reader = Annotated[Caller, Depends(access.reader)]  # noqa: N806 - a type, though made here
    routes = APIRouter()

    @routes.get("/spends")
    async def spends(
        _: Reader,
        since: Annotated[date | None, Query(description="the first day, in UTC")] = None,
        until: Annotated[date | None, Query(description="the last day, itself included")] = None,
        by: Annotated[str, Query(description=f"of {', '.join(BY)}; commas between them")] = "day",
    ) -> dict[str, Any]:
        """Attempts, tokens and US dollars, summed up by what is asked for."""
        names = [name for name in (part.strip() for part in by.split(",")) if name]
        if strangers := [name for name in names if name not in BY]:
            shown = strangers[0][:50]
            raise InvalidRequest(f"Nothing is summed up by '{shown}': there are {', '.join(BY)}", "by")
        begin = _midnight(since) if since else 0.0
        end = _midnight(until) + DAY_S if until else None
        sums = summed(await desk.spends(begin, end), names)
        return {
            "spends": [_shown(one, names) for one in sums],
            "total_usd": dollars(sum(one.cost for one in sums)),
        }

    return routes


def _shown(one: Sum, by: list[str]) -> dict[str, Any]:
    return {
        **dict(zip(by, one.names, strict=True)),
        "attempts": one.attempts,
        "failed": one.failed,
        "input_tokens": one.input_tokens,
        "output_tokens": one.output_tokens,
        "cost_usd": dollars(one.cost),
    }


def _midnight(day: date) -> float:
    return datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp()
