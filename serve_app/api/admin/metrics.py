"""Metrics of calls from the ledger: in total, by backend and by model."""

from collections.abc import Iterable, Mapping, Sequence
from statistics import fmean
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query

from serve_app.api.admin.access import Access
from serve_app.api.admin.amounts import in_dollars
from serve_app.api.admin.costs import shown_entry
from serve_app.api.admin.service import AdminService
from serve_app.api.admin.timestamps import Moment, timestamp_of
from serve_app.caller import Caller
from serve_app.errors import InvalidRequest
from serve_app.ledger.cost_report import UNKNOWN, By, Sum, broken_down, by_type
from serve_app.ledger.entry import Entry, EntryOutcome
from serve_app.limits.limit import Window
from serve_app.routing.intent import TIERS

MEASURED = 1000  # the newest calls, for the average latency
RECENT = 50


def metrics_routes(service: AdminService, access: Access) -> APIRouter:
    """Return the routes of the metrics as JSON; Prometheus reads `/metrics`."""
    Reader = Annotated[Caller, Depends(access.reader)]  # noqa: N806 - a type, though made here
    routes = APIRouter()

    @routes.get("/metrics")
    async def metrics(
        _: Reader,
        since: Moment = None,
    ) -> dict[str, Any]:
        """Return all metrics; the average latency is that of the newest served calls."""
        return await summary(service, since)

    @routes.get("/metrics/recent")
    async def recent(_: Reader, limit: Annotated[int, Query(ge=1, le=MEASURED)] = RECENT) -> dict[str, Any]:
        """Return the newest calls."""
        calls = _shown(await service.entries(limit), _types(service))
        return {"recent_calls": calls, "count": len(calls)}

    @routes.get("/metrics/backend/{name}")
    async def of_backend(name: str, _: Reader) -> dict[str, Any]:
        """Return the metrics of one backend: a type of provider."""
        return _one(name, (await summary(service))["by_backend"], "backend")

    @routes.get("/metrics/model/{name:path}")
    async def of_model(name: str, _: Reader) -> dict[str, Any]:
        """Return the metrics of one model, by its id or its tier."""
        tier = TIERS.get(name)
        known = (await summary(service))["by_model"]
        return _one(name if tier is None or name in known else tier.model_id, known, "model")

    return routes


async def summary(service: AdminService, since: str | None = None) -> dict[str, Any]:
    """Return the JSON of `GET /api/admin/metrics`; the newest call comes first."""
    start = timestamp_of(since, "since")
    spends = await service.spends(0.0 if start is None else Window.DAY.start(start))
    entries = await service.entries(MEASURED)
    types = _types(service)
    of_type, of_model = by_type(spends, types), dict(broken_down(spends, [By.MODEL]))
    everything = Sum()
    for spend in spends:
        everything.add(spend)
    served = [entry for entry in entries if entry.outcome is EntryOutcome.SERVED]
    return {
        "overview": {
            "total_calls": everything.attempts,
            "successful_calls": everything.attempts - everything.failed,
            "failed_calls": everything.failed,
            "total_tokens": everything.tokens,
            "total_cost": in_dollars(everything.cost),
            "success_rate": everything.success_rate,
            "error_rate": everything.error_rate,
            "backends_active": sorted(of_type),
            "models_used": sorted(model for (model,) in of_model),
        },
        "by_backend": {
            name: {
                "calls": its.attempts,
                "success_rate": its.success_rate,
                "error_rate": its.error_rate,
                "total_input_tokens": its.input_tokens,
                "total_output_tokens": its.output_tokens,
                "avg_latency_ms": _mean_ms(e for e in served if types.get(e.provider_id, UNKNOWN) == name),
                "total_cost": in_dollars(its.cost),
            }
            for name, its in sorted(of_type.items())
        },
        "by_model": {
            model: {
                "calls": its.attempts,
                "success_rate": its.success_rate,
                "error_rate": its.error_rate,
                "avg_latency_ms": _mean_ms(e for e in served if e.model_id == model),
                "total_tokens": its.tokens,
                "cost": in_dollars(its.cost),
            }
            for (model,), its in sorted(of_model.items())
        },
        "recent_calls": _shown(entries[:RECENT], types),
    }


def _types(service: AdminService) -> dict[str, str]:
    return {provider.id: provider.type for provider in service.settings.llm_providers}


def _mean_ms(entries: Iterable[Entry]) -> float:
    latencies = [entry.latency_s for entry in entries]
    return round(1000 * fmean(latencies), 1) if latencies else 0.0


def _shown(entries: Sequence[Entry], types: Mapping[str, str]) -> list[dict[str, Any]]:
    return [
        {
            **shown_entry(entry),
            "backend": types.get(entry.provider_id, UNKNOWN),
            "success": entry.outcome is EntryOutcome.SERVED,
        }
        for entry in entries
    ]


def _one(name: str, known: Mapping[str, Any], what: str) -> dict[str, Any]:
    if name not in known:
        there = ", ".join(known) or "none"
        excerpt = name[:100].encode("utf-8", "replace").decode()
        raise InvalidRequest(
            f"No calls of {what} '{excerpt}' are recorded. Recorded: {there}", what, "not_found", 404
        )
    return {what: name, **known[name]}
