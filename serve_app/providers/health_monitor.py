"""
The health monitor: checks each provider's upstream, and keeps the last result.

One task for each provider repeats its check, so that one that hangs does not delay the others. Without tasks,
as in tests and in embedded gateways, a check runs when a result is requested and the last one is too old.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping
from random import Random
from typing import Protocol

from serve_app.clock import Clock
from serve_app.config.health import HealthPolicy
from serve_app.config.settings import Settings
from serve_app.events import HealthChanged, Listener
from serve_app.providers.base import Health, HealthStatus, Provider

FIRST_WITHIN_S = 0.5
AGAIN_AFTER_S = 2.0  # after a failed check; doubled after each further one
JITTER = 0.1  # so that routers that started together do not check at the same time for ever

Moved = Callable[[str], str | None]
"""Returns the address that replaces a provider's configured one; None: it is not replaced."""
EndpointCheck = Callable[[str], Awaitable[Health]]
"""Checks such an address, without sending a key."""

log = logging.getLogger("sekha.health")


def _stays(provider_id: str) -> None:
    """Return None: no provider is moved."""


def pause_s(policy: HealthPolicy, misses: int) -> float:
    """Return the seconds until the next check after so many failed ones in a row."""
    if misses == 0:
        return policy.interval_s
    return min(policy.interval_s, AGAIN_AFTER_S * 2.0 ** min(misses - 1, 12))


def free_to_look_at(settings: Settings) -> frozenset[str]:
    """Return the ids of the providers whose health costs nothing to check: `paid_probes` may spend tokens."""
    return frozenset(provider.id for provider in settings.llm_providers if not provider.paid_probes)


class Outages(Protocol):
    """The breakers, as the monitor needs them; `check_interval_s` 0.0: no checks while one is open."""

    @property
    def check_interval_s(self) -> float: ...

    def is_open(self, provider_id: str) -> bool:
        """Return whether the provider's breaker is open now."""

    def found_well(self, provider_id: str, at: float) -> None:
        """Record that a check that began at `at` found the provider healthy."""

    def on_open(self, listener: Callable[[str], None]) -> None:
        """Call this with the id of every provider whose breaker opens."""


class HealthMonitor:
    """
    Checks its providers, and emits an event when the health of one changes.

    Args:
        policy: interval and timeout of the checks.
        providers: by id.
        clock: the source of time.
        rng: the source of randomness, for jitter.
        tell: receives the events.
        moved: returns the address that replaces a provider's configured one.
        at_endpoint: checks such an address.
    """

    def __init__(
        self,
        policy: HealthPolicy,
        providers: Mapping[str, Provider],
        clock: Clock,
        rng: Random,
        tell: Listener,
        moved: Moved = _stays,
        at_endpoint: EndpointCheck | None = None,
    ) -> None:
        self._moved = moved
        self._at_endpoint = at_endpoint
        self._looked_at: dict[str, str | None] = {}
        self._policy = policy
        self._providers = providers
        self._clock = clock
        self._rng = rng
        self._tell = tell
        self._seen: dict[str, Health] = {}
        self._looking = {provider_id: asyncio.Lock() for provider_id in providers}
        self._tasks: list[asyncio.Task[None]] = []
        self._outages: dict[str, asyncio.Task[None]] = {}
        self._is_over = False

    # --- what is known --------------------------------------------------------------------------------

    @property
    def seen(self) -> Mapping[str, Health]:
        """
        Return the last health of each provider, by its id.

        A provider that was not checked yet, or whose address has changed since, is left out.
        """
        return {id_: health for id_, health in self._seen.items() if self._is_current(id_)}

    async def report(self) -> Mapping[str, Health]:
        """Check the providers whose last result is missing or too old, and return the health of all."""
        due = [provider_id for provider_id in self._providers if self._is_due(provider_id)]
        await asyncio.gather(*(self._look_if_due(provider_id) for provider_id in due))
        return self.seen

    async def fresh(self, provider_id: str) -> Health:
        """Check a provider now; the health of one that is not monitored is unknown."""
        if provider_id not in self._providers:
            return Health(HealthStatus.UNKNOWN, None, None, (), self._clock.now())
        async with self._looking[provider_id]:
            return await self._look(provider_id)

    # --- life -----------------------------------------------------------------------------------------

    def start(self) -> None:
        """Start the checks."""
        self._tasks = [asyncio.create_task(self._watch(provider_id)) for provider_id in self._providers]

    def watch(self, outages: Outages, free: Iterable[str]) -> None:
        """
        Check providers while their breaker is open, and report when one is healthy.

        `free` are the ids of the providers whose check costs nothing; only these are checked.
        """
        looked_at = set(free) & set(self._providers)

        def opened(provider_id: str) -> None:
            task = self._outages.get(provider_id)
            if provider_id in looked_at and not self._is_over and (task is None or task.done()):
                watching = self._watch_outage(provider_id, outages)
                self._outages[provider_id] = asyncio.create_task(watching)

        if outages.check_interval_s > 0:
            outages.on_open(opened)

    async def stop(self) -> None:
        """Stop, and cancel checks in progress."""
        self._is_over = True
        ending, self._tasks = [*self._tasks, *self._outages.values()], []
        for task in ending:
            task.cancel()
        await asyncio.gather(*ending, return_exceptions=True)

    def check(self) -> None:
        """Raise the exception that ended a task, if one has ended: its checks would have stopped."""
        for task in self._outages.values():
            if task.done() and not task.cancelled():
                task.result()
        for task in self._tasks:
            if task.done():
                if not task.cancelled():
                    task.result()
                raise RuntimeError("a task of the health monitor has ended")

    # --- looking --------------------------------------------------------------------------------------

    async def _watch(self, provider_id: str) -> None:
        misses = 0
        await self._clock.sleep(self._rng.uniform(0.0, FIRST_WITHIN_S))
        while True:
            async with self._looking[provider_id]:
                health = await self._look(provider_id)
            misses = 0 if health.status is HealthStatus.HEALTHY else misses + 1
            jitter = self._rng.uniform(1 - JITTER, 1 + JITTER)
            await self._clock.sleep(pause_s(self._policy, misses) * jitter)

    async def _watch_outage(self, provider_id: str, outages: Outages) -> None:
        """Repeat the check until the breaker is no longer open."""
        while outages.is_open(provider_id):
            await self._clock.sleep(outages.check_interval_s * self._rng.uniform(1, 1 + JITTER))
            if not outages.is_open(provider_id):
                return
            began = self._clock.now()
            health = await self.fresh(provider_id)
            if health.status is HealthStatus.HEALTHY:
                outages.found_well(provider_id, began)

    async def _look_if_due(self, provider_id: str) -> None:
        async with self._looking[provider_id]:  # a waiting call finds the result of the one before
            if self._is_due(provider_id):
                await self._look(provider_id)

    def _is_due(self, provider_id: str) -> bool:
        last = self._seen.get(provider_id)
        if last is None or not self._is_current(provider_id):
            return True
        return not self._tasks and self._clock.now() - last.last_check >= self._policy.interval_s

    def _is_current(self, provider_id: str) -> bool:
        return self._looked_at.get(provider_id) == self._elsewhere(provider_id)

    def _elsewhere(self, provider_id: str) -> str | None:
        """Return the address that replaces the provider's configured one; None: it is not replaced."""
        return None if self._at_endpoint is None else self._moved(provider_id)

    async def _look(self, provider_id: str) -> Health:
        self._looked_at[provider_id] = address = self._elsewhere(provider_id)
        health = await self._found(provider_id, address)
        last = self._seen.get(provider_id)
        before = last.status if last else HealthStatus.UNKNOWN
        self._seen[provider_id] = health
        if health.status is not before:
            self._tell(HealthChanged(provider_id, before, health.status, health.error))
        return health

    async def _found(self, provider_id: str, address: str | None) -> Health:
        """Return the provider's health; unhealthy if it does not answer in time or its check raises."""
        try:
            async with asyncio.timeout(self._policy.timeout_s):
                if address is not None and self._at_endpoint is not None:
                    return await self._at_endpoint(address)
                return await self._providers[provider_id].health()
        except TimeoutError:
            error = f"no answer within {self._policy.timeout_s:g} s"
        except Exception:
            log.exception("unexpected error in a health check of provider '%s'", provider_id)
            error = "The health check failed unexpectedly"
        return Health(HealthStatus.UNHEALTHY, None, error, (), self._clock.now())
