"""Costs: in total, by backend, and broken down."""

import csv
import io
from enum import StrEnum
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Response

from serve_app.api.admin.access import Access
from serve_app.api.admin.amounts import (
    gateway_budget,
    in_dollars,
    spent,
    spent_by_tenant,
    spent_in_window,
    told,
)
from serve_app.api.admin.service import AdminService
from serve_app.api.admin.timestamps import Moment, shown_timestamp, timestamp_of
from serve_app.caller import Caller
from serve_app.control.backend import Backend, backends_of
from serve_app.control.machine_report import Machine
from serve_app.errors import Forbidden, InvalidRequest
from serve_app.ledger.cost_report import By, Sum, broken_down
from serve_app.ledger.entry import Entry
from serve_app.limits.limit import Window
from serve_app.pricing.money import dollars_text

USUALLY_BY = "provider,model"
_TEXT = {"type": "string"}
SOME_STEPS = rf"^ *(({'|'.join(By)}) *(, *({'|'.join(By)}) *)*)?$"
_MAKES_A_FORMULA = ("=", "+", "-", "@", "\t", "\r")  # in a spreadsheet


class Form(StrEnum):
    """The format of an answer."""

    JSON = "json"
    CSV = "csv"


def costs_routes(service: AdminService, access: Access) -> APIRouter:
    """Return the routes of the ledger's sums and its newest entries."""
    Reader = Annotated[Caller, Depends(access.any_reader)]  # noqa: N806 - a type, though made here
    routes = APIRouter()

    @routes.get("/costs", response_model=None, responses={200: {"content": {"text/csv": {"schema": _TEXT}}}})
    async def costs(
        caller: Reader,
        since: Moment = None,
        until: Moment = None,
        by: Annotated[
            str,
            Query(
                description=f"Any of {', '.join(By)}; nothing: sums alone.",
                json_schema_extra={"pattern": SOME_STEPS},
            ),
        ] = USUALLY_BY,
        form: Annotated[Form, Query(alias="format")] = Form.JSON,
    ) -> dict[str, Any] | Response:
        """
        Return costs with a breakdown; without `since`, those of the budget's current window.

        `budget_limit`, `remaining` and the percentage always refer to the current window.
        """
        steps = _steps(by)
        runtime_config, mine = await service.runtime_config(), caller.confined_to
        budget = gateway_budget(runtime_config, mine)
        in_window = await spent_in_window(service, runtime_config, budget, mine)
        now = service.clock.now()
        start = timestamp_of(since, "since")
        start = Window.DAY.start(start) if start is not None else budget.window.start(now) if budget else 0.0
        end = timestamp_of(until, "until")
        spends = await service.spends(start, end, mine)
        rows = broken_down(spends, steps)
        if form is Form.CSV:
            return Response(_csv(steps, rows), media_type="text/csv; charset=utf-8")
        backends = backends_of(service.settings, runtime_config.backend)
        if mine is None:
            money = spent(spends, service, backends, start, now if end is None else min(now, end))
        else:
            money = spent_by_tenant(spends, service)
        return {
            "anthropic": in_dollars(money.of(Backend.ANTHROPIC)),
            "vllm": in_dollars(money.of(Backend.VLLM)),
            "total": in_dollars(money.total),
            **told(budget, in_window.total),
            "vllm_hours": in_dollars(money.hours),
            "cache_saving": in_dollars(sum(its.cache_saving for _, its in rows)),
            "by_type": {name: in_dollars(cost) for name, cost in sorted(money.by_type.items())},
            "machines": {name: _shown_machine(its) for name, its in sorted(money.machines.items())},
            "since": shown_timestamp(start),
            "until": None if end is None else shown_timestamp(end),
            "breakdown": [{**dict(zip(steps, key, strict=True)), **_shown(its)} for key, its in rows],
        }

    @routes.get("/costs/recent")
    async def recent(
        caller: Reader,
        limit: Annotated[int, Query(ge=1, le=1000)] = 100,
        tenant: str | None = None,
        before: Moment = None,
    ) -> dict[str, Any]:
        """Return the ledger's newest entries; pass the last one's `at` as `before` for the next page."""
        mine = caller.confined_to
        if mine is not None and tenant not in (None, mine):
            raise Forbidden(f"This key may only read the costs of tenant '{mine}'")
        entries = await service.entries(limit, mine or tenant, timestamp_of(before, "before"))
        return {"entries": [shown_entry(entry) for entry in entries], "count": len(entries)}

    return routes


def shown_entry(entry: Entry) -> dict[str, Any]:
    """Return the JSON of an entry of the ledger; an unknown cost is null."""
    return {
        "at": entry.at,
        "timestamp": shown_timestamp(entry.at),
        "request_id": entry.request_id,
        "attempt": entry.attempt,
        "tenant": entry.tenant,
        "caller": entry.caller,
        "provider": entry.provider_id,
        "model": entry.model_id,
        "task": entry.task,
        "operation": entry.operation,
        "outcome": entry.outcome.value,
        "input_tokens": entry.usage.input_tokens,
        "output_tokens": entry.usage.output_tokens,
        "machine_ms": entry.usage.machine_ms,
        "seconds": entry.usage.seconds,
        "characters": entry.usage.characters,
        "estimated": entry.usage.estimated,
        "cost": _or_null(entry.cost),
        "cached_tokens": entry.usage.cached_read,
        "cache_write_tokens": entry.usage.cache_write_5m + entry.usage.cache_write_1h,
        "cache_saving": in_dollars(entry.cache_saving),
        "latency_ms": round(1000 * entry.latency_s, 1),
    }


def _steps(by: str) -> list[By]:
    if not by.strip(" "):
        return []
    try:
        return list(dict.fromkeys(By(step.strip(" ")) for step in by.split(",")))
    except ValueError:
        raise InvalidRequest(f"'by' must be one or more of {', '.join(By)}", param="by") from None


def _shown(its: Sum) -> dict[str, Any]:
    return {
        "attempts": its.attempts,
        "failed": its.failed,
        "input_tokens": its.input_tokens,
        "output_tokens": its.output_tokens,
        "cost": in_dollars(its.cost),
        "cache_saving": in_dollars(its.cache_saving),
    }


def _shown_machine(machine: Machine) -> dict[str, Any]:
    """Return the JSON of a machine; values are null if its hours are unknown, or if it has no tokens."""
    return {
        "hours": None if machine.hours is None else round(machine.hours, 6),
        "cost": _or_null(machine.cost),
        "attributed": in_dollars(machine.attributed),
        "idle": _or_null(machine.idle),
        "tokens": machine.tokens,
        "per_million_tokens": _or_null(machine.per_million_tokens),
    }


def _or_null(nano: int | None) -> float | None:
    return None if nano is None else in_dollars(nano)


def _csv(steps: list[By], rows: list[tuple[tuple[str, ...], Sum]]) -> str:
    """Return a CSV table with exact costs."""
    text = io.StringIO()
    table = csv.writer(text)
    table.writerow(
        [*steps, "attempts", "failed", "input_tokens", "output_tokens", "cost_usd", "cache_saving_usd"]
    )
    for key, its in rows:
        numbers = (its.attempts, its.failed, its.input_tokens, its.output_tokens)
        money = (dollars_text(its.cost), dollars_text(its.cache_saving))
        table.writerow([*map(_harmless, key), *numbers, *money])
    return text.getvalue()


def _harmless(cell: str) -> str:
    """Return a cell that no spreadsheet reads as a formula: a JWT's subject is chosen by its user."""
    return f"'{cell}" if cell.startswith(_MAKES_A_FORMULA) else cell
