"""
The unified client, which takes a tier and messages and returns a text.

If a gateway runs in the Ray cluster of this process, calls go to it; else to an embedded gateway configured
from the environment. Either way the gateway retries, enforces budgets and keeps the ledger; the client only
counts its own calls.
"""

import asyncio
import logging
import os
from asyncio import AbstractEventLoop
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from datetime import UTC, datetime
from random import Random
from typing import Any

from serve_app.clients.discovery import running_gateway_client
from serve_app.clients.embedded import EmbeddedGateway
from serve_app.clients.protocol import GatewayPort
from serve_app.clients.unified.calls import CallMade, CallStatistics, in_dollars
from serve_app.clients.unified.configuration import budget_in, hourly_rate_in, settings_of
from serve_app.clock import Clock, SystemClock
from serve_app.control.backend import Backend, Backends, Tier, backend_named
from serve_app.errors import GatewayError, InvalidRequest
from serve_app.formats.openai_chat.chunks import text_in
from serve_app.pricing.price_list import classic_catalogue
from serve_app.pricing.reported_usage import usage_of
from serve_app.pricing.usage import Usage, estimate_tokens
from serve_app.providers.base import Health, HealthStatus
from serve_app.providers.catalogue.rows import VLLM

TEMPERATURE = 0.7  # unless the call sets one

log = logging.getLogger("sekha.clients")

Message = Mapping[str, Any]


class UnifiedLLMClient:
    """
    A client of the current backend, which is Anthropic by default.

    Failures are raised as GatewayError; BudgetExceeded is raised without a call.

    Args:
        environ: contains ANTHROPIC_API_KEY, VLLM_ENDPOINT, BUDGET_LIMIT and VLLM_HOURLY_RATE, and optionally
            ANTHROPIC_BASE_URL and VLLM_API_KEY; read at first use.
        app_name: the Serve application to look for.
    """

    def __init__(
        self,
        environ: Mapping[str, str] = os.environ,
        *,
        app_name: str = "sekha",
        clock: Clock | None = None,
        rng: Random | None = None,
    ) -> None:
        self._environ = environ
        self._app_name = app_name
        self._clock = clock or SystemClock()
        self._rng = rng or Random()
        self._calls = CallStatistics()
        self._known: Backends | None = None
        self._own: dict[Backend, EmbeddedGateway] = {}
        self._running: dict[AbstractEventLoop, asyncio.Future[GatewayPort | None]] = {}

    # --- requests -------------------------------------------------------------------------------------

    async def chat_completion(
        self,
        messages: Sequence[Message],
        model_tier: str = "haiku",
        temperature: float | None = None,
        max_tokens: int | None = None,
        **fields: Any,
    ) -> str:
        """
        Return the text of a complete answer; `fields` are added to the request.

        A tier that the current backend does not have is replaced by its first one: haiku, or qwen.
        """
        backend, tier = self._backends.current, self._backends.tier(model_tier)
        started = self._clock.monotonic()
        try:
            gateway = await self._gateway(backend)
            answer = await gateway.chat(messages, tier.name, **_fields(tier, temperature, max_tokens, fields))
        except GatewayError as error:
            self._failed(backend, tier, started, error)
            raise
        text = answer["choices"][0]["message"].get("content") or ""
        usage = usage_of(answer.get("usage")) or _guess(messages, len(text))
        self._served(backend, tier, started, usage, answer.get("model"))
        return text

    async def stream_chat_completion(
        self,
        messages: Sequence[Message],
        model_tier: str = "haiku",
        temperature: float | None = None,
        max_tokens: int | None = None,
        **fields: Any,
    ) -> AsyncGenerator[str, None]:
        """Yield the answer's text in pieces; `aclose()` stops it early, and the model as well."""
        backend, tier = self._backends.current, self._backends.tier(model_tier)
        fields = {"stream_options": {"include_usage": True}, **fields}
        started = self._clock.monotonic()
        usage: Usage | None = None
        model: str | None = None
        length = 0
        try:
            gateway = await self._gateway(backend)
            stream = gateway.chat_stream(
                messages, tier.name, **_fields(tier, temperature, max_tokens, fields)
            )
            async with aclosing(stream) as chunks:
                async for chunk in chunks:
                    usage = usage_of(chunk.get("usage")) or usage
                    model = chunk.get("model") or model
                    if text := text_in(chunk):
                        length += len(text)
                        yield text
        except GatewayError as error:
            self._failed(backend, tier, started, error, _guess(messages, length) if length else None, model)
            raise
        except (GeneratorExit, asyncio.CancelledError):
            if length:
                self._served(backend, tier, started, _guess(messages, length), model)
            raise
        self._served(backend, tier, started, usage or _guess(messages, length), model)

    def get_available_models(self) -> list[str]:
        """Return the tiers of the current backend."""
        return list(self._backends.available_models)

    # --- backends -------------------------------------------------------------------------------------

    def get_current_backend(self) -> Backend:
        """Return the current backend."""
        return self._backends.current

    def get_backend_info(self) -> dict[str, Any]:
        """Return the current backend, the endpoint of vLLM, and the available models and backends."""
        return {
            "current_backend": self._backends.current.value,
            "vllm_endpoint": self._backends.vllm_endpoint,
            "vllm_configured": self._backends.is_configured(Backend.VLLM),
            "available_models": self.get_available_models(),
            "available_backends": [backend.value for backend in Backend],
        }

    async def switch_backend(self, backend: Backend | str, skip_health_check: bool = False) -> dict[str, Any]:
        """
        Switch to another backend; return `{success, backend, message, previous_backend}`.

        `success` is False, and nothing changes, for a vLLM without an endpoint, and for an unhealthy backend
        unless the check is skipped. A running gateway serves tiers by its own configuration, so nothing is
        checked then. Raises InvalidRequest for an unknown backend.
        """
        chosen, before = backend_named(backend), self._backends.current
        if await self._running_gateway() is not None:
            return self._switched(self._backends_with(chosen), before)
        try:
            after = self._backends.switched_to(chosen)
        except InvalidRequest as error:
            return _not_switched(before, error.message)
        if not skip_health_check:
            health = await self._health(chosen)
            if health.status is HealthStatus.UNHEALTHY:
                return _not_switched(before, f"Backend '{chosen}' is not healthy: {health.error}")
        return self._switched(after, before)

    def set_vllm_endpoint(self, endpoint: str) -> dict[str, Any]:
        """Set the address of vLLM; raise InvalidRequest if it is not a web address."""
        self._known = self._backends.with_endpoint(endpoint, self._clock.now())
        if own := self._own.get(Backend.VLLM):
            own.configure(settings_of(Backend.VLLM, self._known, self._environ))
        return {"success": True, "message": "vLLM endpoint set", "endpoint": self._known.vllm_endpoint}

    async def health_check(self) -> dict[str, bool]:
        """Return whether each backend is reachable from here and accepts the key."""
        return {name: found["healthy"] for name, found in (await self.check_all_backends()).items()}

    async def check_all_backends(self) -> dict[str, dict[str, Any]]:
        """Check each backend from here; return `{healthy, latency_ms, last_check, error}` by backend."""
        looks = await asyncio.gather(*(self._health(backend) for backend in Backend))
        return {backend.value: _shown(health) for backend, health in zip(Backend, looks, strict=True)}

    # --- statistics ----------------------------------------------------------------------------------

    def get_metrics_summary(self) -> dict[str, Any]:
        """
        Return the statistics of this client's calls: `overview`, `by_backend`, `by_model`, `recent_calls`.
        """
        return self._calls.summary()

    def get_cost_summary(self) -> dict[str, Any]:
        """
        Return this client's spending in US dollars: tokens at Anthropic, hours of vLLM, and the remaining
        budget.
        """
        tokens = self._calls.cost(Backend.ANTHROPIC)
        hours = self._backends.vllm_cost(self._clock.now(), hourly_rate_in(self._environ))
        limit = budget_in(self._environ)
        total = tokens + hours
        return {
            "anthropic": in_dollars(tokens),
            "vllm": in_dollars(hours),
            "total": in_dollars(total),
            "budget_limit": in_dollars(limit),
            "remaining": in_dollars(max(0, limit - total)),
            "budget_used_percent": round(100 * total / limit, 2) if limit else 100.0,
        }

    async def aclose(self) -> None:
        """Close what was opened in this event loop; the next call opens it again."""
        self._running.pop(asyncio.get_running_loop(), None)
        for own in self._own.values():
            await own.aclose()

    # --- parts ----------------------------------------------------------------------------------------

    @property
    def _backends(self) -> Backends:
        if self._known is None:
            known = Backends()
            if endpoint := self._environ.get(VLLM.address_variable, "").strip():
                known = known.with_endpoint(endpoint, self._clock.now())
            self._known = known
        return self._known

    def _backends_with(self, current: Backend) -> Backends:
        return Backends(current, self._backends.vllm_endpoint, self._backends.vllm_since)

    async def _gateway(self, backend: Backend) -> GatewayPort:
        return await self._running_gateway() or self._own_gateway(backend)

    async def _running_gateway(self) -> GatewayPort | None:
        """Return the running gateway; looked up once in each event loop, also for concurrent calls."""
        loop = asyncio.get_running_loop()
        if loop not in self._running:
            self._running = {other: found for other, found in self._running.items() if not other.is_closed()}
            self._running[loop] = asyncio.ensure_future(running_gateway_client(self._app_name))
        try:
            return await asyncio.shield(self._running[loop])
        except Exception:
            self._running.pop(loop, None)  # the next call tries again
            raise

    def _own_gateway(self, backend: Backend) -> EmbeddedGateway:
        if backend not in self._own:
            settings = settings_of(backend, self._backends, self._environ)
            self._own[backend] = EmbeddedGateway(settings, self._environ, self._clock, self._rng)
        return self._own[backend]

    async def _health(self, backend: Backend) -> Health:
        if not self._backends.is_configured(backend):
            return Health(HealthStatus.UNHEALTHY, None, "vLLM has no endpoint", (), self._clock.now())
        return (await self._own_gateway(backend).health())[backend]

    def _switched(self, after: Backends, before: Backend) -> dict[str, Any]:
        self._known = after
        facts = {"event": "backend_switched", "backend": after.current, "previous_backend": before}
        log.info("backend_switched", extra={"facts": facts})
        return {
            "success": True,
            "backend": after.current.value,
            "message": f"Switched to {after.current}",
            "previous_backend": before.value,
        }

    def _served(self, backend: Backend, tier: Tier, started: float, usage: Usage, model: str | None) -> None:
        cost = _cost(backend, model or tier.model_id, usage)
        self._count(backend, tier, started, usage, cost)
        facts = {
            "event": "cost_tracked",
            "backend": backend,
            "model": tier.name,
            "cost_usd": in_dollars(cost),
        }
        log.info("cost_tracked", extra={"facts": facts})

    def _failed(
        self,
        backend: Backend,
        tier: Tier,
        started: float,
        error: GatewayError,
        usage: Usage | None = None,
        model: str | None = None,
    ) -> None:
        usage = usage or Usage()
        cost = _cost(backend, model or tier.model_id, usage)
        self._count(backend, tier, started, usage, cost, error.message)

    def _count(
        self,
        backend: Backend,
        tier: Tier,
        started: float,
        usage: Usage,
        cost: int,
        error: str | None = None,
    ) -> None:
        latency_s = self._clock.monotonic() - started
        self._calls.add(CallMade(self._clock.now(), backend.value, tier.name, latency_s, usage, cost, error))


def _fields(
    tier: Tier, temperature: float | None, max_tokens: int | None, more: Mapping[str, Any]
) -> dict[str, Any]:
    return {
        "temperature": TEMPERATURE if temperature is None else temperature,
        "max_tokens": tier.max_tokens if max_tokens is None else max_tokens,
        **more,
    }


def _cost(backend: Backend, model: str, usage: Usage) -> int:
    """Return the cost in nano-dollars; 0 for vLLM, which is paid by the hour, and without a price."""
    if backend is Backend.VLLM:
        return 0
    price = classic_catalogue().price(model, backend)
    return 0 if price is None else price.cost(usage)


def _guess(messages: Sequence[Message], output_chars: int) -> Usage:
    """Estimate the usage from lengths, where it was not reported."""
    chars = sum(len(str(message.get("content") or "")) for message in messages)
    return Usage(estimate_tokens(chars), estimate_tokens(output_chars), estimated=True)


def _shown(health: Health) -> dict[str, Any]:
    return {
        "healthy": health.status is not HealthStatus.UNHEALTHY,
        "latency_ms": health.latency_ms,
        "last_check": datetime.fromtimestamp(health.last_check, UTC).isoformat(timespec="milliseconds"),
        "error": health.error,
    }


def _not_switched(current: Backend, why: str) -> dict[str, Any]:
    return {"success": False, "backend": current.value, "message": why, "previous_backend": current.value}


llm_client = UnifiedLLMClient()
