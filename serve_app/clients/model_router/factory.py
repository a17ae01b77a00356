"""Constructors of model routers, from a configuration or from environment variables."""

import asyncio
import os
from collections.abc import Collection, Iterable, Mapping
from random import Random

from serve_app.clients.model_router.config import USUAL, LLMProviderConfig, config_from
from serve_app.clients.model_router.provider import LLMProvider
from serve_app.clients.model_router.router import ModelRouter
from serve_app.clients.model_router.running_provider import RUNNING
from serve_app.clock import Clock
from serve_app.config.routing import StrategyName
from serve_app.errors import ConfigError


async def create_default_router(
    strategy: StrategyName | str | None = None,
    include_providers: Collection[str] | None = None,
    exclude_providers: Collection[str] | None = None,
    *,
    environ: Mapping[str, str] = os.environ,
    clock: Clock | None = None,
    rng: Random | None = None,
) -> ModelRouter:
    """
    Create a router over the providers in the environment; those without a key or unavailable are left out.

    If a gateway runs in the Ray cluster of this process, it is the only provider, unless others are named.

    Args:
        strategy: None: LLM_ROUTER_STRATEGY, or `fallback`.
        include_providers: only these; None: all.
        exclude_providers: not these.

    Raises:
        ConfigError: the strategy is unknown, or a number in the environment is not valid.
    """
    chosen = strategy or environ.get("LLM_ROUTER_STRATEGY", "").strip() or StrategyName.FALLBACK
    router = ModelRouter(_known(chosen), environ=environ, clock=clock, rng=rng)
    excluded = exclude_providers or ()
    if _is_included(RUNNING, include_providers, excluded):
        found = await router.add_provider(RUNNING, LLMProviderConfig(RUNNING))
        if found and include_providers is None:
            return router
    for type_ in USUAL:
        config = config_from(environ, type_) if _is_included(type_, include_providers, excluded) else None
        if config is not None:
            await router.add_provider(type_, config)
    return router


async def create_custom_router(
    providers: Iterable[tuple[str | type[LLMProvider], LLMProviderConfig]],
    strategy: StrategyName | str = StrategyName.FALLBACK,
    *,
    environ: Mapping[str, str] = os.environ,
) -> ModelRouter:
    """Create a router over these providers, in this order; unavailable ones are left out."""
    router = ModelRouter(_known(strategy), environ=environ)
    for provider_type, config in providers:
        await router.add_provider(provider_type, config)
    return router


async def create_cheapest_router(*, environ: Mapping[str, str] = os.environ) -> ModelRouter:
    """Create the default router, with the cheapest provider first."""
    return await create_default_router(StrategyName.CHEAPEST, environ=environ)


async def create_fastest_router(*, environ: Mapping[str, str] = os.environ) -> ModelRouter:
    """Create the default router, with the fastest provider first."""
    return await create_default_router(StrategyName.FASTEST, environ=environ)


async def create_quality_router(*, environ: Mapping[str, str] = os.environ) -> ModelRouter:
    """Create the default router, with the best provider first."""
    return await create_default_router(StrategyName.BEST_QUALITY, environ=environ)


async def create_balanced_router(*, environ: Mapping[str, str] = os.environ) -> ModelRouter:
    """Create the default router, with each provider first in turn."""
    return await create_default_router(StrategyName.ROUND_ROBIN, environ=environ)


_instance: ModelRouter | None = None
_closing: set[asyncio.Task[None]] = set()  # references that keep the tasks from being garbage-collected


async def get_router_instance() -> ModelRouter:
    """Return the default router of this process."""
    global _instance
    if _instance is None:
        made = await create_default_router()
        if _instance is None:  # else another call was faster
            _instance = made
        else:
            await made.aclose()
    return _instance


def reset_router_instance() -> None:
    """Close the default router; the next one is created from the environment at that time."""
    global _instance
    old, _instance = _instance, None
    if old is None:
        return
    try:
        closing = asyncio.get_running_loop().create_task(old.aclose())
    except RuntimeError:
        return  # without an event loop it has no open connections
    _closing.add(closing)
    closing.add_done_callback(_closing.discard)


def _known(strategy: StrategyName | str) -> StrategyName:
    try:
        return StrategyName(strategy)
    except ValueError:
        known = ", ".join(StrategyName)
        raise ConfigError(f"unknown strategy '{strategy}'; known: {known}") from None


def _is_included(name: str, included: Collection[str] | None, excluded: Collection[str]) -> bool:
    return (included is None or name in included) and name not in excluded
