"""Health endpoints of the gateway and its providers."""

from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

from fastapi import APIRouter, Response

from serve_app import __version__
from serve_app.api.routing_schemas import BreakerView, HealthView, HostedView, ProvidersView, ProviderView
from serve_app.config.model import CHAT_TASKS, ModelTask
from serve_app.control.control_cache import ControlCache
from serve_app.control.protocol import ControlUnreachable, Totals
from serve_app.control.runtime_config import NO_REVISION
from serve_app.errors import GatewayUnavailable
from serve_app.gateway.running_gateway import RunningGateway
from serve_app.providers.base import Health, HealthStatus
from serve_app.resilience.breaker import Breaker, BreakerState

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"  # Prometheus' text format

Exposition = Callable[[Totals], bytes]

NOT_LOOKED_AT = Health(HealthStatus.UNKNOWN, None, None, (), 0.0)

FEATURES = [
    "Multi-provider support",
    "Automatic routing",
    "Cost estimation",
    "Circuit breakers",
    "Provider fallback",
]


def service_routes(running: RunningGateway) -> APIRouter:
    """Return the routes without a key: the service's name and its health."""
    routes = APIRouter(tags=["service"])

    @routes.get("/")
    async def service() -> dict[str, Any]:
        """Return the name and version of the service."""
        return {
            "service": "Sekha LLM Bridge",
            "version": __version__,
            "docs": "/docs",
            "health": "/health",
            "features": FEATURES,
        }

    @routes.get("/livez")
    async def live() -> dict[str, Any]:
        """Answer while the event loop runs; nothing else is checked."""
        return {"status": "alive"}

    @routes.get("/readyz")
    async def ready(response: Response) -> dict[str, Any]:
        """Answer 200 once the control plane's state was loaded; later outages do not change it."""
        if running.control.runtime_config.revision == NO_REVISION:
            response.status_code = 503
            return {"status": "starting"}
        return {"status": "ready"}

    @routes.get("/healthz")
    @routes.get("/health")
    async def health() -> HealthView:
        """Return `healthy` while at least one provider's breaker is closed, else `degraded`; always a 200."""
        views = providers_view(running, running.health_monitor.seen)
        return HealthView(
            status="healthy" if views.healthy_providers else "degraded",
            ollama_status=_models_status(running, views),
            models_loaded=list(dict.fromkeys(target.model_id for target in running.access.targets)),
            timestamp=_iso(running.clock.now()),
        )

    @routes.get("/api/v1/health")
    async def short_health() -> dict[str, Any]:
        """Return the health in short, by provider."""
        views = providers_view(running, running.health_monitor.seen)
        return {
            "status": "healthy" if views.healthy_providers else "degraded",
            "version": __version__,
            "providers": {
                provider_id: {
                    "status": view.status,
                    "models_count": view.models_count,
                    "circuit_breaker": {"state": view.circuit_breaker.state},
                    "latency_ms": view.latency_ms,
                }
                for provider_id, view in views.providers.items()
            },
        }

    return routes


def provider_routes(running: RunningGateway) -> APIRouter:
    """Return the route of the providers' health in detail."""
    routes = APIRouter(tags=["service"])

    @routes.get("/api/v1/health/providers")
    async def providers() -> ProvidersView:
        """Return every provider with its breaker, for the whole cluster."""
        with suppress(ControlUnreachable):  # then this router's own view is used
            await running.control.flush()
        return providers_view(running, await running.health_monitor.report())

    return routes


def metrics_routes(control: ControlCache, exposition: Exposition) -> APIRouter:
    """Return the route of the metrics for Prometheus."""
    routes = APIRouter(tags=["service"])

    @routes.get("/metrics", response_class=Response)
    @routes.get("/metrics/", response_class=Response, include_in_schema=False)
    async def metrics() -> Response:
        """Return the metrics of the whole cluster, from any replica."""
        try:
            totals = await control.totals()
        except ControlUnreachable as error:
            raise GatewayUnavailable(
                f"The control actor, which keeps the metrics, does not answer: {error}"
            ) from error
        return Response(exposition(totals), media_type=CONTENT_TYPE)

    return routes


def providers_view(running: RunningGateway, looks: Mapping[str, Health]) -> ProvidersView:
    """Return the health of every provider: its breaker, and its last health check if there was one."""
    now = running.clock.now()
    views = {}
    for provider in running.settings.llm_providers:
        breaker = running.control.breakers.of(provider.id)
        closed = breaker.state is BreakerState.CLOSED
        look = looks.get(provider.id, NOT_LOOKED_AT)
        is_known = look.status is not HealthStatus.UNKNOWN
        views[provider.id] = ProviderView(
            provider_type=provider.type,
            status="healthy" if closed and look.status is not HealthStatus.UNHEALTHY else "unhealthy",
            latency_ms=look.latency_ms,
            error=look.error,
            last_check=_iso(look.last_check) if is_known else None,
            circuit_breaker=_breaker(breaker, now),
            circuit_breaker_state=breaker.state,
            models_count=len(provider.models),
            local=None if provider.local is None else _hosted(running, provider.id),
        )
    return ProvidersView(
        providers=views,
        total_providers=len(views),
        healthy_providers=sum(view.circuit_breaker_state == BreakerState.CLOSED for view in views.values()),
        total_models=len(running.access.targets),
    )


def _hosted(running: RunningGateway, provider_id: str) -> HostedView:
    capacity = running.control.capacity(provider_id)
    return HostedView(
        state=running.control.warmth(provider_id),
        replicas=capacity.ready,
        starting=capacity.starting,
        running=capacity.running,
    )


def _breaker(breaker: Breaker, now: float) -> BreakerView:
    failed_at = breaker.last_failure
    last_failure = None if failed_at is None else _iso(failed_at)
    return BreakerView(
        state=breaker.state,
        failure_count=breaker.failure_count,
        success_count=breaker.success_count,
        last_failure_time=last_failure,
        last_failure=last_failure,
        last_state_change=_iso(breaker.last_change),
        time_since_failure=None if failed_at is None else round(now - failed_at, 3),
    )


def _models_status(running: RunningGateway, views: ProvidersView) -> dict[str, Any]:
    """Return the v1 key `ollama_status`, which covers all providers together."""
    embeds = any(target.task is ModelTask.EMBEDDING for target in running.access.targets)
    chats = any(target.task in CHAT_TASKS for target in running.access.targets)
    told: dict[str, Any] = {
        "providers": views.total_providers,
        "models_count": views.total_models,
        "models_available": views.total_models,
        "has_embedding": embeds,
        "has_chat": chats,
    }
    if not views.healthy_providers:
        return {"status": "unhealthy", **told, "reason": "no provider's circuit breaker is closed"}
    if not (embeds and chats):
        missing = "embedding" if chats else "chat"
        return {"status": "degraded", **told, "reason": f"no {missing} model is configured"}
    return {"status": "healthy", **told}


def _iso(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
