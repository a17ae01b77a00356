"""Create model routers from a configuration or from environment variables."""

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
    A router over what the environment describes; providers without a key, or not available, are left out.

    Where this process is part of a Ray cluster in which a gateway runs, that is the only provider, unless
    others are named: it knows its own. `strategy` None: LLM_ROUTER_STRATEGY, or `fallback`. ConfigError for a
    strategy or a number in the environment that is none.
    """
    chosen = strategy or environ.get("LLM_ROUTER_STRATEGY", "").strip() or StrategyName.FALLBACK
    router = ModelRouter(_known(chosen), environ=environ, clock=clock, rng=rng)
    excluded = exclude_providers or ()
    if _is_wanted(RUNNING, include_providers, excluded):
        found = await router.add_provider(RUNNING, LLMProviderConfig(RUNNING))
        if found and include_providers is None:
            return router
    for type_ in USUAL:
        config = config_from(environ, type_) if _is_wanted(type_, include_providers, excluded) else None
        if config is not None:
            await router.add_provider(type_, config)
    return router


async def create_custom_router(
    providers: Iterable[tuple[str | type[LLMProvider], LLMProviderConfig]],
    strategy: StrategyName | str = StrategyName.FALLBACK,
    *,
    environ: Mapping[str, str] = os.environ,
) -> ModelRouter:
    """A router over these, in this order; those that are not available are left out."""
    router = ModelRouter(_known(strategy), environ=environ)
    for provider_type, config in providers:
        await router.add_provider(provider_type, config)
    return router


async def create_cheapest_router(*, environ: Mapping[str, str] = os.environ) -> ModelRouter:
    """The default router, the cheapest provider first."""
    return await create_default_router(StrategyName.CHEAPEST, environ=environ)


async def create_fastest_router(*, environ: Mapping[str, str] = os.environ) -> ModelRouter:
    """The default router, the quickest provider first."""
    return await create_default_router(StrategyName.FASTEST, environ=environ)


async def create_quality_router(*, environ: Mapping[str, str] = os.environ) -> ModelRouter:
    """The default router, the best provider first."""
    return await create_default_router(StrategyName.BEST_QUALITY, environ=environ)


async def create_balanced_router(*, environ: Mapping[str, str] = os.environ) -> ModelRouter:
    """The default router, each provider first in turn."""
    return await create_default_router(StrategyName.ROUND_ROBIN, environ=environ)


_instance: ModelRouter | None = None
_closing: set[asyncio.Task[None]] = set()  # a task that nobody holds may be collected before it is done


async def get_router_instance() -> ModelRouter:
    """The default router, one for the process."""
    global _instance
    if _instance is None:
        made = await create_default_router()
        if _instance is None:  # else somebody was quicker
            _instance = made
        else:
            await made.aclose()
    return _instance


def reset_router_instance() -> None:
    """Forget it, so that the next one goes by the environment of then; its connections are let go of."""
    global _instance
    old, _instance = _instance, None
    if old is None:
        return
    try:
        closing = asyncio.get_running_loop().create_task(old.aclose())
    except RuntimeError:
        return  # without a loop there is none that its connections could belong to
    _closing.add(closing)
    closing.add_done_callback(_closing.discard)


def _known(strategy: StrategyName | str) -> StrategyName:
    try:
        return StrategyName(strategy)
    except ValueError:
        known = ", ".join(StrategyName)
        raise ConfigError(f"unknown strategy '{strategy}'; known: {known}") from None


def _is_wanted(name: str, included: Collection[str] | None, excluded: Collection[str]) -> bool:
    return (included is None or name in included) and name not in excluded
