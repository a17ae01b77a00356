"""
`ModelRouter`, which tries providers in the order of a strategy until one answers.

The strategies are the gateway's own. They order by measured latencies and listed prices, and without those by
a static order.
"""

import asyncio
import logging
import os
from collections.abc import Awaitable, Callable, Mapping, Sequence
from random import Random
from typing import Any, TypeVar

from serve_app.clients.model_router.config import LLMProviderConfig
from serve_app.clients.model_router.gateway_provider import GatewayProvider
from serve_app.clients.model_router.messages import Conversation, EmbeddingResponse, LLMMessage, LLMResponse
from serve_app.clients.model_router.provider import LLMProvider
from serve_app.clients.model_router.running_provider import RUNNING, RunningGatewayProvider
from serve_app.clock import Clock, SystemClock
from serve_app.config.model import ModelTask
from serve_app.config.routing import StrategyName
from serve_app.pricing.usage import Usage
from serve_app.resilience.latency import Latency
from serve_app.routing.candidate import Candidate
from serve_app.routing.request_view import RequestView
from serve_app.routing.requirements import Requirements
from serve_app.routing.strategy import Strategy, load_strategy
from serve_app.routing.target import Target

A = TypeVar("A")

TYPICAL = Usage(1000, 500)  # the usage at which prices are compared
CHEAP_FIRST = ("ollama", "gemini", "anthropic", "openai")  # the order of equal costs

log = logging.getLogger("sekha.clients")


class ModelRouter:
    """A router over the added providers, in `provider_order`; `environ` contains their keys."""

    def __init__(
        self,
        default_strategy: StrategyName | str = StrategyName.FALLBACK,
        *,
        environ: Mapping[str, str] = os.environ,
        clock: Clock | None = None,
        rng: Random | None = None,
    ) -> None:
        self.providers: dict[str, LLMProvider] = {}
        self.provider_order: list[str] = []
        self.default_strategy = StrategyName(default_strategy)
        self._environ = environ
        self._clock = clock or SystemClock()
        self._rng = rng or Random()
        self._strategies: dict[StrategyName, Strategy] = {}
        self._latencies: dict[str, Latency] = {}

    # --- providers ------------------------------------------------------------------------------------

    async def add_provider(self, provider_type: str | type[LLMProvider], config: LLMProviderConfig) -> bool:
        """
        Add a provider as the last one; return False, and add nothing, if it is not available.

        Args:
            provider_type: a type that the gateway knows, `sekha` for a running gateway, or a subclass of
                LLMProvider.
            config: its name replaces a provider of the same name.

        Raises:
            ConfigError: the configuration is not valid.
        """
        provider = self._built(provider_type, config)
        if not await _is_available(provider):
            await provider.aclose()
            return False
        await self.remove_provider(config.provider_name)
        self.providers[config.provider_name] = provider
        self.provider_order.append(config.provider_name)
        self._latencies[config.provider_name] = Latency()
        return True

    async def remove_provider(self, name: str) -> bool:
        """Remove a provider and close its connections; return False if there is none of that name."""
        provider = self.providers.pop(name, None)
        if provider is None:
            return False
        self.provider_order.remove(name)
        del self._latencies[name]
        await provider.aclose()
        return True

    def set_default_strategy(self, strategy: StrategyName | str) -> None:
        """Set the strategy of calls that name none; raise ValueError if it does not exist."""
        self.default_strategy = StrategyName(strategy)

    async def get_available_providers(self) -> list[dict[str, Any]]:
        """Return every provider as `{name, available, capabilities}`; with `error` if its check failed."""
        return list(await asyncio.gather(*(self._described(name) for name in self.provider_order)))

    async def aclose(self) -> None:
        """Close all connections."""
        await asyncio.gather(*(provider.aclose() for provider in self.providers.values()))

    # --- requests -------------------------------------------------------------------------------------

    async def complete(
        self,
        prompt: str,
        strategy: StrategyName | str | None = None,
        preferred_provider: str | None = None,
        **fields: Any,
    ) -> LLMResponse:
        """Return the answer to one message of the user."""
        return await self.chat([LLMMessage("user", prompt)], strategy, preferred_provider, **fields)

    async def chat(
        self,
        messages: Conversation,
        strategy: StrategyName | str | None = None,
        preferred_provider: str | None = None,
        **fields: Any,
    ) -> LLMResponse:
        """
        Return the first answer; `preferred_provider` is tried before the strategy's first.

        A failure leads to the next provider, and the last failure is raised. Raises RuntimeError if no
        provider is available.
        """
        order = self._order(self.provider_order, strategy, preferred_provider)
        return await self._first(
            order, lambda provider: provider.chat(messages, **fields), "No available providers"
        )

    async def embed(
        self, text: str, preferred_provider: str | None = None, **fields: Any
    ) -> EmbeddingResponse:
        """Return the embedding of one text, from the providers with embeddings; failures as in `chat`."""
        able = [n for n in self.provider_order if self.providers[n].get_capabilities()["supports_embeddings"]]
        return await self._first(
            self._order(able, None, preferred_provider),
            lambda provider: provider.embed(text, **fields),
            "No available providers for embeddings",
        )

    # --- parts ----------------------------------------------------------------------------------------

    def _built(self, provider_type: str | type[LLMProvider], config: LLMProviderConfig) -> LLMProvider:
        if not isinstance(provider_type, str):
            return provider_type(config)
        if provider_type == RUNNING:
            return RunningGatewayProvider(config)
        return GatewayProvider(config, provider_type, environ=self._environ, clock=self._clock, rng=self._rng)

    def _order(
        self, names: Sequence[str], strategy: StrategyName | str | None, preferred: str | None
    ) -> list[str]:
        chosen = StrategyName(strategy) if strategy is not None else self.default_strategy
        if chosen not in self._strategies:
            self._strategies[chosen] = load_strategy(chosen)
        candidates = [self._candidate(name, position, chosen) for position, name in enumerate(names)]
        request = RequestView(Requirements(ModelTask.CHAT_SMART))
        ordered = [
            c.target.provider_id for c in self._strategies[chosen].order(candidates, request, self._rng)
        ]
        ordered.sort(key=lambda name: name != preferred)  # stable: only the preferred one moves
        return ordered

    def _candidate(self, name: str, position: int, strategy: StrategyName) -> Candidate:
        provider = self.providers[name]
        model = provider.config.model_name or ""
        target = Target(
            provider_id=name,
            provider_type=provider.provider_type,
            model_id=model,
            name=f"{name}/{model}",
            task=ModelTask.CHAT_SMART,
            priority=1,
            position=position,
            context_window=0,
        )
        price = provider.price
        return Candidate(
            target,
            # The order where a strategy finds no difference.
            priority=_place(provider.provider_type) if strategy is StrategyName.CHEAPEST else position + 1,
            cost=None if price is None else price.cost(TYPICAL),
            latency_s=self._latencies[name].mean_s,
        )

    async def _first(
        self, order: Sequence[str], ask: Callable[[LLMProvider], Awaitable[A]], if_none: str
    ) -> A:
        last: Exception | None = None
        for name in order:
            provider = self.providers.get(name)
            if provider is None or not await _is_available(provider):
                continue
            started = self._clock.monotonic()
            try:
                answer = await ask(provider)
            except Exception as error:
                log.warning("provider '%s' failed, trying the next one", name, exc_info=True)
                last = error
                continue
            now = self._clock.monotonic()
            if latency := self._latencies.get(name):
                latency.add(now - started, now)
            return answer
        if last is not None:
            raise last
        raise RuntimeError(if_none)

    async def _described(self, name: str) -> dict[str, Any]:
        provider = self.providers[name]
        try:
            return {
                "name": name,
                "available": await provider.is_available(),
                "capabilities": provider.get_capabilities(),
            }
        except Exception as error:
            log.warning("provider '%s' would not say how it is", name, exc_info=True)
            return {"name": name, "available": False, "error": str(error)}


async def _is_available(provider: LLMProvider) -> bool:
    """Return whether the provider is available; False if it raises."""
    try:
        return await provider.is_available()
    except Exception:
        log.warning("provider '%s' would not say how it is", provider.config.provider_name, exc_info=True)
        return False


def _place(provider_type: str) -> int:
    """Return the place in the static order of cost; unknown types come last."""
    return 1 + (CHEAP_FIRST.index(provider_type) if provider_type in CHEAP_FIRST else len(CHEAP_FIRST))
