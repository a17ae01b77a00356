"""Prices of targets: configured, listed, or set by operators."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Response

from serve_app.api.admin.access import Access
from serve_app.api.admin.revision import IfMatch, tell_revision
from serve_app.api.admin.service import AdminService
from serve_app.caller import Caller
from serve_app.config.override import PriceOverride
from serve_app.control.config_change import price_removed, price_set, unknown
from serve_app.control.runtime_config import RuntimeConfig
from serve_app.pricing.money import NANO
from serve_app.pricing.price import MILLION, Price


def price_routes(service: AdminService, access: Access) -> APIRouter:
    """Return the routes of prices by target, `provider_id/model_id`, in US dollars per 1,000 tokens."""
    Admin = Annotated[Caller, Depends(access.admin)]  # noqa: N806 - a type, though made here
    routes = APIRouter(prefix="/prices")
    targets = tuple(dict.fromkeys(target.name for target in service.running.access.targets))

    def shown(runtime_config: RuntimeConfig, target: str) -> dict[str, Any]:
        configured = service.control.configured_price(target)
        override = runtime_config.prices.get(target)
        return {
            "target": target,
            "price": _per_1k(runtime_config.price_of.get(target, configured)),
            "configured": _per_1k(configured),
            "override": None if override is None else override.model_dump(mode="json"),
        }

    @routes.get("")
    async def prices(_: Admin, response: Response) -> dict[str, Any]:
        """Return the prices of all targets; null if unknown."""
        runtime_config = await service.runtime_config()
        tell_revision(response, runtime_config)
        return {"prices": [shown(runtime_config, target) for target in targets], "count": len(targets)}

    @routes.get("/{target:path}")
    async def price(target: str, _: Admin, response: Response) -> dict[str, Any]:
        """Return the price of one target."""
        if target not in targets:
            raise unknown("target", target)
        runtime_config = await service.runtime_config()
        tell_revision(response, runtime_config)
        return shown(runtime_config, target)

    @routes.put("/{target:path}")
    async def put(
        target: str,
        wanted: PriceOverride,
        caller: Admin,
        response: Response,
        if_match: IfMatch = None,
    ) -> dict[str, Any]:
        """Set a target's price; it applies to routing and charges at once."""
        runtime_config = await service.amend(
            caller,
            lambda runtime_config: price_set(runtime_config, service.settings, target, wanted),
            if_match,
        )
        tell_revision(response, runtime_config)
        return shown(runtime_config, target)

    @routes.delete("/{target:path}")
    async def delete(
        target: str,
        caller: Admin,
        response: Response,
        if_match: IfMatch = None,
    ) -> dict[str, Any]:
        """Restore the configured price."""
        runtime_config = await service.amend(
            caller, lambda runtime_config: price_removed(runtime_config, target), if_match
        )
        tell_revision(response, runtime_config)
        return shown(runtime_config, target)

    return routes


def _per_1k(price: Price | None) -> dict[str, float | None] | None:
    """Return a price in the configuration's unit: nano-dollars per million tokens as dollars per 1,000."""
    if price is None:
        return None
    thousands = MILLION // 1000 * NANO
    cached, written = price.cached_read, price.cache_write_5m
    return {
        "cost_per_1k_input": price.input / thousands,
        "cost_per_1k_output": price.output / thousands,
        "cost_per_1k_cached": None if cached is None else cached / thousands,
        "cost_per_1k_cache_write": None if written is None else written / thousands,
        "cost_per_search": None if price.search is None else price.search / NANO,
        "cost_per_image": price.image / NANO if price.image else None,
        "cost_per_minute": 60 * price.second / NANO if price.second else None,
        "cost_per_1k_characters": 1000 * price.character / NANO if price.character else None,
        "hourly_rate": price.machine_hour / NANO,
    }
