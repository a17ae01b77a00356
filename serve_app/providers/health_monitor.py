"""
What is known of the providers' upstreams without sending them a request: the last look at each.

A task for each provider looks again and again, so that one that hangs delays nobody else. Without tasks, as
in tests and in a gateway inside somebody's own process, a look is taken when one is asked for and the last
one has grown old.
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
AGAIN_AFTER_S = 2.0  # after a look that did not find the provider well; twice as long each time it does not
JITTER = 0.1  # so that routers that started together do not look together for ever

Moved = Callable[[str], str | None]
"""Where calls to this provider go instead of where it is configured; None: there."""
EndpointCheck = Callable[[str], Awaitable[Health]]
"""A look at such an address, which sends no key."""

log = logging.getLogger("sekha.health")


def _stays(provider_id: str) -> None:
    """Nothing moves."""


def pause_s(policy: HealthPolicy, misses: int) -> float:
    """How long to wait after so many looks in a row that did not find the provider well."""
    if misses == 0:
        return policy.interval_s
    return min(policy.interval_s, AGAIN_AFTER_S * 2.0 ** min(misses - 1, 12))


def free_to_look_at(settings: Settings) -> frozenset[str]:
    """Return the ids of the providers whose health costs nothing to check: `paid_probes` may spend tokens."""
    return frozenset(provider.id for provider in settings.llm_providers if not provider.paid_probes)


class Outages(Protocol):
    """The breakers, as far as a lookout needs them; `check_interval_s` 0.0: no looks while one is open."""

    @property
    def check_interval_s(self) -> float: ...

    def is_open(self, provider_id: str) -> bool:
        """Return whether requests are kept away from the provider at this moment."""

    def found_well(self, provider_id: str, at: float) -> None:
        """Take note that a look that began at `at` found the provider well."""

    def on_open(self, listener: Callable[[str], None]) -> None:
        """Call this with the id of every provider whose breaker opens."""


class HealthMonitor:
    """
    Looks at every provider it is given, and tells when one turns from well to ill or back.

    Where `moved` says that a provider's calls go elsewhere, it looks there, by `at_endpoint`.
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
        Return the last look at each provider, by its id.

        Nothing for one that nobody has looked at, nor for one whose calls go to another address since.
        """
        return {id_: health for id_, health in self._seen.items() if self._is_current(id_)}

    async def report(self) -> Mapping[str, Health]:
        """The same, after a first look at those that nobody has looked at."""
        due = [provider_id for provider_id in self._providers if self._is_due(provider_id)]
        await asyncio.gather(*(self._look_if_due(provider_id) for provider_id in due))
        return self.seen

    async def fresh(self, provider_id: str) -> Health:
        """A look taken now; nothing is claimed of a provider that is not looked at."""
        if provider_id not in self._providers:
            return Health(HealthStatus.UNKNOWN, None, None, (), self._clock.now())
        async with self._looking[provider_id]:
            return await self._look(provider_id)

    # --- life -----------------------------------------------------------------------------------------

    def start(self) -> None:
        """Begin to look."""
        self._tasks = [asyncio.create_task(self._watch(provider_id)) for provider_id in self._providers]

    def watch(self, outages: Outages, free: Iterable[str]) -> None:
        """
        Look at those of these providers that are left alone, and say when one is found well.

        `free` are those that a look costs nothing at.
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
        """End, looks that are under way included."""
        self._is_over = True
        ending, self._tasks = [*self._tasks, *self._outages.values()], []
        for task in ending:
            task.cancel()
        await asyncio.gather(*ending, return_exceptions=True)

    def check(self) -> None:
        """Raise what ended a task, if one has ended: from then on nobody would look any more."""
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
        """Look again and again until the breaker is no longer open."""
        while outages.is_open(provider_id):
            await self._clock.sleep(outages.check_interval_s * self._rng.uniform(1, 1 + JITTER))
            if not outages.is_open(provider_id):
                return
            began = self._clock.now()
            health = await self.fresh(provider_id)
            if health.status is HealthStatus.HEALTHY:
                outages.found_well(provider_id, began)

    async def _look_if_due(self, provider_id: str) -> None:
        async with self._looking[provider_id]:  # whoever waits here finds the look of the one before
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
        """Where calls to this provider go instead of where it is configured; None: there."""
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
        """What the provider says, if it says so in time; a mistake of ours in its code is its failure."""
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
