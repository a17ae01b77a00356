"""A whole gateway in the test's own process: real parts, scripted providers, no Ray."""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from random import Random

from serve_app.clock import Clock
from serve_app.config.settings import Settings
from serve_app.control.cache import ControlCache
from serve_app.control.control_plane import ControlPlane
from serve_app.control.local_control_plane import LocalControlPlane
from serve_app.errors import UpstreamError
from serve_app.events import Event
from serve_app.gateway.gateway import Gateway
from serve_app.ledger.store import Store
from serve_app.observability.logs import log_event
from serve_app.observability.metrics import MetricsListener
from serve_app.pricing.target_prices import prices_of
from serve_app.providers.base import Answer, Call, Health, HealthStatus, StreamItem
from serve_app.providers.health_monitor import HealthMonitor


class ListedProvider:
    """A provider that gives the answers of a list, one a call; the last one again and again."""

    def __init__(self, *answers: Answer | UpstreamError | Sequence[StreamItem] | BaseException) -> None:
        self._answers = list(answers)
        self.calls: list[Call] = []
        self.closed_streams = 0

    def answers_with(self, *answers: Answer | UpstreamError | Sequence[StreamItem] | BaseException) -> None:
        """From now on it gives these instead."""
        self._answers = list(answers)

    async def chat(self, call: Call) -> Answer | UpstreamError:
        answer = self._next(call)
        assert isinstance(answer, Answer | UpstreamError)
        return answer

    async def embed(self, call: Call) -> Answer | UpstreamError:
        return await self.chat(call)

    async def chat_stream(self, call: Call) -> AsyncIterator[StreamItem]:
        items = self._next(call)
        try:
            for item in [items] if isinstance(items, UpstreamError) else items:
                yield item
        finally:
            self.closed_streams += 1

    async def health(self) -> Health:
        return Health(HealthStatus.HEALTHY, 0.0, None, (), 0.0)

    async def aclose(self) -> None:
        """Nothing to close."""

    def _next(self, call: Call) -> Answer | UpstreamError | Sequence[StreamItem]:
        self.calls.append(call)
        answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        if isinstance(answer, BaseException) and not isinstance(answer, UpstreamError):
            raise answer
        return answer


class Harness:
    """A gateway with what surrounds it: the authority, one replica, and what listeners heard."""

    def __init__(
        self,
        settings: Settings,
        providers: dict[str, ListedProvider],
        clock: Clock,
        store: Store | None = None,
        wakers: Mapping[str, Callable[[], None]] | None = None,
    ) -> None:
        self.plane = ControlPlane("generation-1", prices_of)
        self.authority = LocalControlPlane(self.plane, clock, store)
        self.control = ControlCache("replica-1", settings, self.authority, clock, prices_of(settings))
        self.providers = providers
        self.events: list[Event] = []
        metrics = MetricsListener(lambda: self.control.tally)
        listeners = [self.events.append, metrics, log_event]
        self.gateway = Gateway(settings, providers, self.control, clock, Random(7), listeners, wakers)
        self.health_monitor = HealthMonitor(settings.health, providers, clock, Random(7), self.gateway.tell)

    async def open(self) -> "Harness":
        """Say hello, so that prices and breakers are known; no background task runs."""
        await self.control.introduce()
        return self
