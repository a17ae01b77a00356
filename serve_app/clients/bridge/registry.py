"""
The registry of all configured providers with their breakers, which routes between them.

It plans as a gateway does, but in the caller's own process: its breakers are its own, and nothing is shared
with a gateway. To call a running gateway see `clients/gateway.py`.
"""

import os
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from functools import cached_property
from random import Random
from typing import Any, TypeVar

from serve_app.clients.bridge.circuit_breaker import SYSTEM_CLOCK, CircuitBreaker
from serve_app.clients.bridge.messages import CachedModelInfo, RoutingResult
from serve_app.clients.bridge.provider import LiteLlmProvider, LlmProvider, model_info
from serve_app.clock import Clock
from serve_app.config.load import load_settings
from serve_app.config.model import ModelTask
from serve_app.config.settings import Settings
from serve_app.errors import InvalidRequest
from serve_app.pricing.money import dollars, nano_dollars
from serve_app.pricing.price import Price
from serve_app.pricing.target_prices import classic_prices_of
from serve_app.routing.candidate import Candidate
from serve_app.routing.plan import Plan, make_plan
from serve_app.routing.requirements import Requirements
from serve_app.routing.strategy_choice import Strategies
from serve_app.routing.target import Target, defaults_by_task, targets_of
from serve_app.routing.target_index import TargetIndex
from serve_app.routing.target_stats import TargetStats

T = TypeVar("T")

# The fields of a model that `GET /api/v1/models` returns.
_LISTED = {
    "model_id", "provider_id", "task", "context_window", "dimension", "supports_vision", "supports_audio",
}  # fmt: skip


class ModelRegistry:
    """
    The providers of a configuration: the given one, or the one found in the usual places at first use.

    `providers` and `circuit_breakers` are by provider id, `model_cache` by `provider:model:task`.
    """

    def __init__(
        self,
        settings: Settings | None = None,
        *,
        environ: Mapping[str, str] = os.environ,
        clock: Clock = SYSTEM_CLOCK,
        rng: Random | None = None,
    ) -> None:
        self._given = settings
        self._environ = environ
        self._clock = clock
        self._rng = rng or Random()

    # --- the configuration ----------------------------------------------------------------------------

    @cached_property
    def settings(self) -> Settings:
        """Return the configuration; raise ConfigError if there is no valid one."""
        return self._given or load_settings(None, self._environ)

    @cached_property
    def providers(self) -> dict[str, LlmProvider]:
        """Return the providers by id."""
        return {
            config.id: LiteLlmProvider(
                config.id, config.model_dump(exclude={"id"}), environ=self._environ, clock=self._clock
            )
            for config in self.settings.llm_providers
        }

    @cached_property
    def circuit_breakers(self) -> dict[str, CircuitBreaker]:
        """Return the circuit breakers by provider id."""
        policy = self.settings.circuit_breaker
        return {
            config.id: CircuitBreaker.of(policy, config.id, self._clock)
            for config in self.settings.llm_providers
        }

    @cached_property
    def model_cache(self) -> dict[str, CachedModelInfo]:
        """Return the models by `provider:model:task`."""
        updated = datetime.fromtimestamp(self._clock.now(), UTC)
        return {
            f"{provider.id}:{model.model_id}:{model.task}": CachedModelInfo(
                **model_info(provider, model).model_dump(), task=model.task, last_updated=updated
            )
            for provider in self.settings.llm_providers
            for model in provider.models
        }

    @cached_property
    def _targets(self) -> tuple[Target, ...]:
        return targets_of(self.settings)

    @cached_property
    def _prices(self) -> Mapping[str, Price | None]:
        return classic_prices_of(self.settings)

    @cached_property
    def _strategies(self) -> Strategies:
        return Strategies(self.settings.routing, self._targets)

    # --- requests -------------------------------------------------------------------------------------

    async def route_with_fallback(
        self,
        task: ModelTask | str,
        preferred_model: str | None = None,
        require_vision: bool = False,
        max_cost: float | None = None,
        context_size: int | None = None,
    ) -> RoutingResult:
        """
        Return the best target for a request, with its fallbacks; `max_cost` is in US dollars.

        Raises:
            NoProvidersAvailable, NoSuitableProviders: RuntimeErrors; no target may serve the request.
            InvalidRequest: the task is unknown.
        """
        plan = self._plan(_known(task), preferred_model, require_vision, max_cost, context_size)
        if not plan.ordered:
            raise plan.refusal()
        first, *rest = (self._result(plan, candidate) for candidate in plan.ordered)
        if not self.settings.routing.auto_fallback:
            return first
        return RoutingResult(
            first.provider, first.model_id, first.estimated_cost, first.reason, fallbacks=tuple(rest)
        )

    async def execute_with_circuit_breaker(
        self, provider_id: str, operation: Callable[..., Awaitable[T]], *args: Any, **kwargs: Any
    ) -> T:
        """
        Await `operation(*args, **kwargs)` and record its result in the provider's breaker.

        Raises:
            CircuitOpen: the breaker does not admit the call.
            KeyError: the provider is unknown.
        """
        if provider_id not in self.circuit_breakers:
            raise KeyError(f"no provider '{provider_id}'; configured: {', '.join(self.circuit_breakers)}")
        with self.circuit_breakers[provider_id].attempt():
            return await operation(*args, **kwargs)

    def get_provider_health(self) -> dict[str, dict[str, Any]]:
        """Return every provider's type, breaker and number of models, at this moment."""
        return {config.id: self._health(config.id, config.type) for config in self.settings.llm_providers}

    def list_all_models(self) -> list[dict[str, Any]]:
        """Return one entry for each provider, model and task, as `GET /api/v1/models` does."""
        return [model.model_dump(include=_LISTED) for model in self.model_cache.values()]

    async def aclose(self) -> None:
        """Close the providers' connections."""
        for provider in self.__dict__.get("providers", {}).values():
            await provider.aclose()

    # --- parts ----------------------------------------------------------------------------------------

    def _plan(
        self,
        task: ModelTask,
        preferred_model: str | None,
        require_vision: bool,
        max_cost: float | None,
        context_size: int | None,
    ) -> Plan:
        limits = [
            limit for limit in (max_cost, self.settings.routing.max_cost_per_request) if limit is not None
        ]
        requirements = Requirements(
            task=task,
            preferred_model=preferred_model,
            require_vision=require_vision,
            max_cost=nano_dollars(min(limits)) if limits else None,
            context_size=context_size,
        )
        defaults = defaults_by_task(self.settings.default_models)
        conditions = TargetStats(
            self._prices.get, lambda provider_id: self.circuit_breakers[provider_id].is_open()
        )
        strategy = self._strategies.for_(requirements)
        return make_plan(requirements, TargetIndex(self._targets), conditions, strategy, self._rng, defaults)

    def _result(self, plan: Plan, candidate: Candidate) -> RoutingResult:
        return RoutingResult(
            provider=self.providers[candidate.target.provider_id],
            model_id=candidate.target.model_id,
            estimated_cost=round(dollars(candidate.cost or 0), 6),
            reason=plan.reason(candidate),
        )

    def _health(self, provider_id: str, provider_type: str) -> dict[str, Any]:
        breaker = self.circuit_breakers[provider_id]
        breaker.get_state()
        return {
            "provider_type": provider_type,
            "circuit_breaker": breaker.get_stats(),
            "models_count": sum(target.provider_id == provider_id for target in self._targets),
        }


def _known(task: ModelTask | str) -> ModelTask:
    try:
        return ModelTask(task)
    except ValueError:
        tasks = [known.value for known in ModelTask]
        raise InvalidRequest(f"Invalid task '{task}'. Valid tasks: {tasks}", param="task") from None


registry = ModelRegistry()
