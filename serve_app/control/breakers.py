"""
The breakers as one router knows them, and the patience that targets have asked for.

They are exact for what this router saw itself: the authority's, with everything replayed that those do not
contain yet. And they outlive the authority: while it is gone they go on here, each router for itself, and
what was seen waits to be reported.
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

PROBE_WITHIN_S = 0.25  # a request waits for it
MOST_PENDING = 100_000  # observations kept while the authority is away; the oldest go first


class Admission(NamedTuple):
    """Leave to send one request to a provider; `probe` names the one a half-open breaker lets through."""

    provider_id: str
    probe: float | None = None


class Breakers:
    """
    The breakers of these providers.

    `report` is called when the authority has to hear soon of what was seen.
    """

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
        self._untold: deque[Observation] = deque(maxlen=MOST_PENDING)
        self._known = {provider_id: Breaker(last_change=clock.now()) for provider_id in providers}
        self.cooling: dict[str, float] = {}  # until when a target wants to be left alone

    @property
    def known(self) -> Mapping[str, Breaker]:
        """The breakers as they were last heard of, by provider id."""
        return self._known

    @property
    def check_interval_s(self) -> float:
        """Seconds between two health checks of a provider whose breaker is open; 0.0: there are none."""
        return self._policy.check_interval_s

    def on_open(self, listener: Callable[[str], None]) -> None:
        """Call this with the id of every provider whose breaker opens, and of those that are open now."""
        self._on_open.append(listener)
        for provider_id in self._known:
            if self.is_open(provider_id):
                listener(provider_id)

    def found_well(self, provider_id: str, at: float) -> None:
        """A free health check that began at `at` found a provider well: where it was left alone, try it."""
        breaker = self.of(provider_id)
        if breaker.found_well(at, self._policy) is not breaker:
            self.observe(Observation(provider_id, "", Outcome.WELL, at))

    def of(self, provider_id: str) -> Breaker:
        """The breaker as it is at this moment."""
        breaker = self._known[provider_id]
        if breaker.state is not BreakerState.OPEN:
            return breaker
        return breaker.at(self._clock.now(), self._policy)

    def is_open(self, provider_id: str) -> bool:
        """Whether the breaker keeps requests away at this moment."""
        return self.of(provider_id).state is BreakerState.OPEN

    def opens_in_s(self, provider_id: str) -> float:
        """Seconds until an open breaker lets a probe through."""
        return max(0.0, self._known[provider_id].opens_at(self._policy) - self._clock.now())

    def error_rate(self, provider_id: str) -> float | None:
        """Return the share of failures among the calls of the last ten seconds; None without any."""
        return failure_rate(self._known[provider_id].window, self._clock.now())

    def cooling_s(self, target: str) -> float:
        """For how many seconds more this target wants to be left alone; 0.0 when it does not."""
        until = self.cooling.get(target)
        return 0.0 if until is None else max(0.0, until - self._clock.now())

    async def admit(self, provider_id: str) -> Admission | None:
        """
        Leave to send; None when the breaker says no.

        A half-open breaker has one probe for the whole cluster, so it is asked for at the authority, by one
        request at a time. While that is away, or slow, this router gives out a probe itself: better one for
        each router than none.
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
        # Ours or another router's, a probe is out; unless news of its end have come in the meantime.
        known = self.of(provider_id)
        if known.state is BreakerState.HALF_OPEN and known.probe_until is None:
            self._set(provider_id, known._replace(probe_until=probe or probed.probe_until))
        return None if probe is None else Admission(provider_id, probe)

    def decline(self, admission: Admission) -> None:
        """Leave was given and is not made use of: if it was for the one probe, the next one may have it."""
        if admission.probe is not None:
            now = self._clock.now()
            self.observe(Observation(admission.provider_id, "", Outcome.IGNORED, now, admission.probe))

    def observe(self, seen: Observation) -> None:
        """Take note of the end of an attempt, here at once, at the authority with the next report."""
        self._untold.append(seen)
        if seen.cool_until is not None:
            self._cool(seen.target, seen.cool_until)
        self._replay(seen)
        if seen.latency_s is None or seen.probe is not None:
            self._report()

    @property
    def has_news(self) -> bool:
        """Whether something was seen that no report has told of."""
        return bool(self._untold)

    def tell(self) -> tuple[Observation, ...]:
        """What no report has told of yet, for the one that does."""
        told = tuple(self._untold)
        self._untold.clear()
        return told

    def take(
        self,
        breakers: Mapping[str, Breaker],
        cooling: Mapping[str, float],
        on_the_way: Iterable[Observation],
    ) -> None:
        """Begin with what the authority has, and replay what is not in there: sent and unheard, or untold."""
        for provider_id, breaker in breakers.items():
            self._set(provider_id, breaker)
        for target, until in cooling.items():
            self._cool(target, until)
        for seen in (*on_the_way, *self._untold):
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
        """The probe's name: the authority's, or one of our own; None when somebody else has it."""
        asking = asyncio.ensure_future(self._control.probe(provider_id))
        try:
            async with asyncio.timeout(PROBE_WITHIN_S):
                return await asyncio.shield(asking)
        except (ControlUnreachable, TimeoutError):
            probed = self.of(provider_id).probed(self._clock.now(), self._policy)
            return None if probed is None else probed.probe_until
        finally:
            if not asking.done():  # the caller has left, or we did not wait for it
                asking.add_done_callback(partial(self._give_back, provider_id))

    def _give_back(self, provider_id: str, asking: asyncio.Future[float | None]) -> None:
        """A probe that comes when its caller has left is for the next one, and not lost for half a minute."""
        if asking.cancelled() or asking.exception() is not None:
            return
        if probe := asking.result():
            self.decline(Admission(provider_id, probe))
