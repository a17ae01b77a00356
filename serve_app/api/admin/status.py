"""The overview for operators, and the effective configuration."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends

from serve_app.api.admin.access import Access
from serve_app.api.admin.amounts import gateway_budget, in_dollars, spent_in_window, told
from serve_app.api.admin.backend import current_backend
from serve_app.api.admin.metrics import summary
from serve_app.api.admin.service import AdminService
from serve_app.caller import Caller
from serve_app.control.backend import Backend, backends_of
from serve_app.limits.allocator import ALERT_AT


def status_routes(service: AdminService, access: Access) -> APIRouter:
    """Return the routes of the overview and of the configuration."""
    Reader = Annotated[Caller, Depends(access.reader)]  # noqa: N806 - a type, though made here
    routes = APIRouter()

    @routes.get("/status")
    async def status(_: Reader) -> dict[str, Any]:
        """Return the current backend, the costs of the budget's window, the budget, and the main metrics."""
        runtime_config = await service.runtime_config()
        budget = gateway_budget(runtime_config)
        money = await spent_in_window(service, runtime_config, budget)
        return {
            "backend": current_backend(service, backends_of(service.settings, runtime_config.backend)),
            "costs": {
                "anthropic": in_dollars(money.of(Backend.ANTHROPIC)),
                "vllm": in_dollars(money.of(Backend.VLLM)),
                "total": in_dollars(money.total),
            },
            "budget": {"current_usage": in_dollars(money.total), **told(budget, money.total)},
            "metrics": (await summary(service))["overview"],
        }

    @routes.get("/config")
    async def config(_: Reader) -> dict[str, Any]:
        """Return the effective configuration, with the operators' changes."""
        settings, runtime_config = service.settings, await service.runtime_config()
        return {
            "epoch": runtime_config.revision,
            "auto_fallback": settings.routing.auto_fallback,
            "health_check_interval": settings.health.interval_s,
            "alert_thresholds": list(ALERT_AT),
            "rate_limits": settings.admin.model_dump(),
            "backends": settings.backends.model_dump(),
            "providers": [
                {"id": provider.id, "type": provider.type, "priority": provider.priority}
                for provider in settings.llm_providers
            ],
        }

    return routes
