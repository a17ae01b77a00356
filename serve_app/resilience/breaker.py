"""
One circuit breaker, as a plain value: no clock, no lock, no Ray.

    closed    -- `failure_threshold` failures in a row --------->  open
    closed    -- `failure_rate` of the last ten seconds' calls ->  open
    open      -- `reset_timeout` after it opened --------------->  half_open
    open      -- a free health check finds the provider well --->  half_open
    half_open -- `success_threshold` probes succeed ------------>  closed
    half_open -- a probe fails --------------------------------->  open, for twice as long

Every method gives back the breaker as it is afterwards. A router keeps a copy and replays what it has seen
since (see `control/cache.py`); the authority's copy is the truth.
"""

from enum import StrEnum
from typing import NamedTuple

from serve_app.config.policy import BreakerPolicy
from serve_app.resilience.outcome import Outcome
from serve_app.resilience.window import WINDOW_S, Window, calls_in, counted, failures_in

SAME_DEATH_S = 10.0  # what a replica had is lost within that; the clocks of two routers may differ


class BreakerState(StrEnum):
    """The three states of a circuit breaker."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


class Breaker(NamedTuple):
    """
    Times are seconds since the epoch.

    `failure_count` counts failures in a row. `probe_until`: a probe is out and has until then to report; that
    moment is also its name, by which its report is told from one that comes late. `counted_deaths`: replicas
    of ours whose death is among the failures in a row, each with its moment. `openings` counts how often it
    has opened since it was last closed; `window` holds the calls of the last seconds, while it is closed.
    """

    state: BreakerState = BreakerState.CLOSED
    failure_count: int = 0
    success_count: int = 0
    last_failure: float | None = None
    last_change: float = 0.0
    probe_until: float | None = None
    counted_deaths: tuple[tuple[str, float], ...] = ()
    openings: int = 0
    window: Window = ()

    def at(self, now: float, policy: BreakerPolicy) -> "Breaker":
        """The breaker as it is at `now`: an open one whose time is up is half open."""
        if self.state is BreakerState.OPEN and now >= self.opens_at(policy):
            return self._entered(BreakerState.HALF_OPEN, now)
        return self

    def opens_at(self, policy: BreakerPolicy) -> float:
        """
        Return when an open breaker lets a probe through.

        That is counted from when it opened: attempts that began before and fail later say nothing new.
        """
        return self.last_change + policy.wait_s(self.openings)

    def found_well(self, at: float, policy: BreakerPolicy) -> "Breaker":
        """
        Return the breaker after a free health check that began at `at` found the provider well.

        A check from before it opened, or from shortly after, proves nothing, nor does one where checks are
        off.
        """
        is_due = policy.check_interval_s > 0 and at >= self.last_change + policy.check_interval_s
        if self.state is BreakerState.OPEN and is_due:
            return self._entered(BreakerState.HALF_OPEN, at)
        return self

    def admits_without_asking(self) -> bool:
        """A closed breaker lets everyone through; a half-open one only who holds its probe."""
        return self.state is BreakerState.CLOSED

    def probed(self, now: float, policy: BreakerPolicy) -> "Breaker | None":
        """
        The breaker with a probe sent out; None when there is none to have.

        A probe that has not reported within `half_open_timeout` is forgotten, so that one lost probe never
        keeps a recovered provider out.
        """
        breaker = self.at(now, policy)
        if breaker.state is not BreakerState.HALF_OPEN or breaker.probe_is_out(now):
            return None
        return breaker._replace(probe_until=now + policy.half_open_timeout)

    def probe_is_out(self, now: float) -> bool:
        """Whether somebody is trying the provider at this moment."""
        return self.probe_until is not None and now < self.probe_until

    def heard(
        self,
        outcome: Outcome,
        probe: float | None,
        now: float,
        policy: BreakerPolicy,
        lost_with: str | None = None,
    ) -> "Breaker":
        """
        The breaker after the end of one attempt; `probe` is its name if it was a probe.

        `lost_with`: the replica of ours that died and took the attempt with it. However many it had, that is
        one failure: the provider's other replicas are as well as they were. But one that keeps losing what it
        has is not dead, and counts each time.

        While half open only probes have a say: an attempt that began before the outage proves nothing. A
        probe that reports late has its say too, but does not give back the place of the one that is out.
        """
        still_out = None if probe == self.probe_until else self.probe_until
        match self.state, outcome:
            case _, Outcome.WELL:
                return self.found_well(now, policy)
            case BreakerState.CLOSED, Outcome.SUCCESS:
                succeeded = self._replace(
                    failure_count=0,
                    success_count=self.success_count + 1,
                    counted_deaths=(),
                    window=counted(self.window, now, failed=False),
                )
                return succeeded._tripped(now, policy)
            case BreakerState.CLOSED, Outcome.FAILURE if self._has_mourned(lost_with, now):
                return self
            case BreakerState.CLOSED, Outcome.FAILURE:
                failed = self._replace(
                    failure_count=self.failure_count + 1,
                    last_failure=max(now, self.last_failure or now),
                    counted_deaths=self.counted_deaths
                    if lost_with is None
                    else (*self.counted_deaths, (lost_with, now)),
                    window=counted(self.window, now, failed=True),
                )
                return failed._tripped(now, policy)
            case BreakerState.OPEN, Outcome.FAILURE:
                return self._replace(last_failure=max(now, self.last_failure or now))
            case BreakerState.HALF_OPEN, Outcome.SUCCESS if probe is not None:
                succeeded = self._replace(success_count=self.success_count + 1, probe_until=still_out)
                recovered = succeeded.success_count >= policy.success_threshold
                return succeeded._entered(BreakerState.CLOSED, now) if recovered else succeeded
            case BreakerState.HALF_OPEN, Outcome.FAILURE if probe is not None:
                failed = self._replace(failure_count=self.failure_count + 1, last_failure=now)
                return failed._entered(BreakerState.OPEN, now)
            case BreakerState.HALF_OPEN, Outcome.IGNORED if probe is not None:
                return self._replace(probe_until=still_out)  # it proved nothing: let another try
        return self

    def reset(self, now: float) -> "Breaker":
        """Closed by hand, with nothing held against the provider."""
        return Breaker(last_change=now)

    def _tripped(self, now: float, policy: BreakerPolicy) -> "Breaker":
        """Open, if there were too many failures in a row or too many among the last calls."""
        if self.failure_count >= policy.failure_threshold:
            return self._entered(BreakerState.OPEN, now)
        if policy.failure_rate is None or self.last_failure is None or now - self.last_failure > WINDOW_S:
            return self
        calls, failures = calls_in(self.window), failures_in(self.window)
        if calls < policy.failure_rate_calls or failures < policy.failure_rate * calls:
            return self
        return self._replace(failure_count=failures)._entered(BreakerState.OPEN, now)

    def _has_mourned(self, replica: str | None, now: float) -> bool:
        return any(name == replica and abs(now - at) <= SAME_DEATH_S for name, at in self.counted_deaths)

    def _entered(self, state: BreakerState, now: float) -> "Breaker":
        failures = 0 if state is BreakerState.CLOSED else self.failure_count
        openings = {BreakerState.CLOSED: 0, BreakerState.OPEN: self.openings + 1}.get(state, self.openings)
        return self._replace(
            state=state,
            failure_count=failures,
            success_count=0,
            last_change=now,
            probe_until=None,
            counted_deaths=(),
            openings=openings,
            window=(),
        )
