"""
One router's copy of the breakers, and the cooldowns of targets.

The copy is the control plane's state with this router's own observations replayed on it, as far as that state
does not contain them. While the control plane is unreachable each router continues on its own, and
observations wait to be reported.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import NamedTuple

from serve_app.clock import Clock
from serve_app.config.policy import BreakerPolicy
from serve_app.control.protocol import Control, ControlUnreachable, Observation
from serve_app.resilience.breaker import Breaker, BreakerState
from serve_app.resilience.outcome import Outcome
from serve_app.resilience.window import failure_rate

PROBE_WITHIN_S = 0.25  # the time that a request waits for the control plane to grant a probe
MOST_PENDING = (
    100_000  # observations kept while the control plane is unreachable; the oldest are dropped first
)


class Admission(NamedTuple):
    """The permission to send one request to a provider; `probe`: the id of a half-open breaker's probe."""

    provider_id: str
    probe: float | None = None


class Breakers:
    """The breakers of these providers; `report` is called when an observation should be reported soon."""

    def __init__(
        self,
        providers: Iterable[str],
        policy: BreakerPolicy,
        control: Control,
        clock: Clock,
        report: Callable[[], None],
    ) -> None:
        self._policy = policy
        self._control = control
        self._clock = clock
        self._report = report
        self._asking: set[str] = set()
        self._on_open: list[Callable[[str], None]] = []
        self._unreported: deque[Observation] = deque(maxlen=MOST_PENDING)
        self._known = {provider_id: Breaker(last_change=clock.now()) for provider_id in providers}
        self.cooling: dict[str, float] = {}  # the end of each target's cooldown

    @property
    def known(self) -> Mapping[str, Breaker]:
        """Return the breakers by provider id, as of their last change."""
        return self._known

    @property
    def check_interval_s(self) -> float:
        """
        Return the seconds between health checks of a provider whose breaker is open; 0.0: checks are off.
        """
        return self._policy.check_interval_s

    def on_open(self, listener: Callable[[str], None]) -> None:
        """Call `listener` with the id of each provider whose breaker is open now or opens later."""
        self._on_open.append(listener)
        for provider_id in self._known:
            if self.is_open(provider_id):
                listener(provider_id)

    def found_well(self, provider_id: str, at: float) -> None:
        """
        Record that a free health check that began at `at` succeeded; an open breaker may become half open.
        """
        breaker = self.of(provider_id)
        if breaker.found_well(at, self._policy) is not breaker:
            self.observe(Observation(provider_id, "", Outcome.WELL, at))

    def of(self, provider_id: str) -> Breaker:
        """Return the breaker as it is now."""
        breaker = self._known[provider_id]
        if breaker.state is not BreakerState.OPEN:
            return breaker
        return breaker.at(self._clock.now(), self._policy)

    def is_open(self, provider_id: str) -> bool:
        """Return whether the breaker is open now."""
        return self.of(provider_id).state is BreakerState.OPEN

    def opens_in_s(self, provider_id: str) -> float:
        """Return the seconds until an open breaker lets a probe through."""
        return max(0.0, self._known[provider_id].opens_at(self._policy) - self._clock.now())

    def error_rate(self, provider_id: str) -> float | None:
        """Return the share of failures among the calls of the last ten seconds; None without any."""
        return failure_rate(self._known[provider_id].window, self._clock.now())

    def cooling_s(self, target: str) -> float:
        """Return the seconds until a target's cooldown ends; 0.0: it has none."""
        until = self.cooling.get(target)
        return 0.0 if until is None else max(0.0, until - self._clock.now())

    async def admit(self, provider_id: str) -> Admission | None:
        """
        Return the permission to send a request; None: the breaker does not admit it.

        A half-open breaker has one probe for the whole cluster, which one request at a time asks the control
        plane for. If that does not answer in time, the router grants the probe itself: one probe per router
        is better than none.
        """
        breaker = self.of(provider_id)
        if breaker.admits_without_asking():
            return Admission(provider_id)
        probed = breaker.probed(self._clock.now(), self._policy)
        if probed is None or provider_id in self._asking:
            return None
        self._asking.add(provider_id)
        try:
            probe = await self._probe(provider_id)
        finally:
            self._asking.discard(provider_id)
        # A probe is in flight, from here or another router, unless its end was reported in the meantime.
        known = self.of(provider_id)
        if known.state is BreakerState.HALF_OPEN and known.probe_until is None:
            self._set(provider_id, known._replace(probe_until=probe or probed.probe_until))
        return None if probe is None else Admission(provider_id, probe)

    def decline(self, admission: Admission) -> None:
        """Give back an unused admission: if it was the probe, the next request may have it."""
        if admission.probe is not None:
            now = self._clock.now()
            self.observe(Observation(admission.provider_id, "", Outcome.IGNORED, now, admission.probe))

    def observe(self, seen: Observation) -> None:
        """Record the end of an attempt: here at once, in the control plane with the next report."""
        self._unreported.append(seen)
        if seen.cool_until is not None:
            self._cool(seen.target, seen.cool_until)
        self._replay(seen)
        if seen.latency_s is None or seen.probe is not None:
            self._report()

    @property
    def has_news(self) -> bool:
        """Return whether there are observations that have not been reported."""
        return bool(self._unreported)

    def tell(self) -> tuple[Observation, ...]:
        """Return the unreported observations, for the next report, and clear them."""
        unreported = tuple(self._unreported)
        self._unreported.clear()
        return unreported

    def take(
        self,
        breakers: Mapping[str, Breaker],
        cooling: Mapping[str, float],
        on_the_way: Iterable[Observation],
    ) -> None:
        """
        Replace the state by the control plane's, and replay observations that it does not contain.

        Args:
            breakers: the control plane's, by provider id.
            cooling: the end of each target's cooldown.
            on_the_way: observations of a report that is not confirmed yet.
        """
        for provider_id, breaker in breakers.items():
            self._set(provider_id, breaker)
        for target, until in cooling.items():
            self._cool(target, until)
        for seen in (*on_the_way, *self._unreported):
            self._replay(seen)

    def _replay(self, seen: Observation) -> None:
        looked = self._known[seen.provider_id].at(seen.at, self._policy)
        heard = looked.heard(seen.outcome, seen.probe, seen.at, self._policy, seen.lost_with)
        self._set(seen.provider_id, heard)

    def _set(self, provider_id: str, breaker: Breaker) -> None:
        before = self._known.get(provider_id)
        self._known[provider_id] = breaker
        if breaker.state is not BreakerState.OPEN:
            return
        if before is None or (before.state, before.last_change) != (breaker.state, breaker.last_change):
            for listener in self._on_open:
                listener(provider_id)

    def _cool(self, target: str, until: float) -> None:
        self.cooling[target] = max(until, self.cooling.get(target, 0.0))

    async def _probe(self, provider_id: str) -> float | None:
        """
        Return the id of the probe, from the control plane or granted here; None: another request has it.
        """
        asking = asyncio.ensure_future(self._control.probe(provider_id))
        try:
            async with asyncio.timeout(PROBE_WITHIN_S):
                return await asyncio.shield(asking)
        except (ControlUnreachable, TimeoutError):
            probed = self.of(provider_id).probed(self._clock.now(), self._policy)
            return None if probed is None else probed.probe_until
        finally:
            if not asking.done():  # the request was cancelled, or did not wait any longer
                asking.add_done_callback(partial(self._give_back, provider_id))

    def _give_back(self, provider_id: str, asking: asyncio.Future[float | None]) -> None:
        """
        Give back a probe whose request is gone by the time it is granted, so that it is not lost until its
        timeout.
        """
        if asking.cancelled() or asking.exception() is not None:
            return
        if probe := asking.result():
            self.decline(Admission(provider_id, probe))
