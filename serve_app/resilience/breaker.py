"""
A circuit breaker as an immutable value: no clock, no lock, no Ray.

    closed    -- `failure_threshold` failures in a row --------->  open
    closed    -- `failure_rate` of the last ten seconds' calls ->  open
    open      -- `reset_timeout` after it opened --------------->  half_open
    open      -- a free health check succeeds ------------------>  half_open
    half_open -- `success_threshold` probes succeed ------------>  closed
    half_open -- a probe fails --------------------------------->  open, for twice as long

Every method returns the resulting breaker. A router keeps a copy and replays its own observations on it (see
`control/control_cache.py`); the control plane's copy is authoritative.
"""

from enum import StrEnum
from typing import NamedTuple

from serve_app.config.policy import BreakerPolicy
from serve_app.resilience.outcome import Outcome
from serve_app.resilience.window import WINDOW_S, Window, calls_in, counted, failures_in

SAME_DEATH_S = 10.0  # a death ends all attempts within this span; the clocks of routers may differ


class BreakerState(StrEnum):
    """The three states of a circuit breaker."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


class Breaker(NamedTuple):
    """
    The state of one provider's circuit breaker. Times are in seconds since the epoch.

    Attributes:
        failure_count: failures in a row.
        probe_until: when the probe that is in flight times out; also the probe's id, by which a late report
            is recognized. None: no probe is in flight.
        counted_deaths: the local replicas whose death is among the failures in a row, each with its time.
        openings: how often it has opened since it was last closed.
        window: the calls of the last ten seconds, while closed.
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
        """Return the breaker as of `now`: an open one whose timeout has passed is half open."""
        if self.state is BreakerState.OPEN and now >= self.opens_at(policy):
            return self._entered(BreakerState.HALF_OPEN, now)
        return self

    def opens_at(self, policy: BreakerPolicy) -> float:
        """
        Return when an open breaker lets a probe through.

        The timeout counts from when it opened. Attempts that began before then and fail later do not extend
        it.
        """
        return self.last_change + policy.wait_s(self.openings)

    def found_well(self, at: float, policy: BreakerPolicy) -> "Breaker":
        """
        Return the breaker after a free health check that began at `at` and succeeded.

        A check that began before it opened, or within `check_interval_s` after that, is ignored. So is every
        check where checks are off.
        """
        is_due = policy.check_interval_s > 0 and at >= self.last_change + policy.check_interval_s
        if self.state is BreakerState.OPEN and is_due:
            return self._entered(BreakerState.HALF_OPEN, at)
        return self

    def admits_without_asking(self) -> bool:
        """Return whether every request may be sent; a half-open breaker admits only its probe."""
        return self.state is BreakerState.CLOSED

    def probed(self, now: float, policy: BreakerPolicy) -> "Breaker | None":
        """
        Return the breaker with a probe in flight; None if no probe can be sent now.

        A probe that has not reported within `half_open_timeout` is forgotten, so that one lost probe never
        keeps a recovered provider out.
        """
        breaker = self.at(now, policy)
        if breaker.state is not BreakerState.HALF_OPEN or breaker.probe_is_out(now):
            return None
        return breaker._replace(probe_until=now + policy.half_open_timeout)

    def probe_is_out(self, now: float) -> bool:
        """Return whether a probe is in flight at `now`."""
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
        Return the breaker after the end of one attempt.

        While half open, only probes count: an attempt that began before the outage proves nothing. A probe
        that reports late counts too, but does not release the probe that is in flight.

        Args:
            outcome: the result of the attempt.
            probe: the id of the probe; None: the attempt was not a probe.
            now: when the attempt ended.
            policy: the provider's settings.
            lost_with: the local replica that died and ended the attempt. All attempts that it ended within
                `SAME_DEATH_S` count as one failure, because other replicas are healthy; later ones count
                again.
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
            case BreakerState.CLOSED, Outcome.FAILURE if self._has_counted(lost_with, now):
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
                return self._replace(probe_until=still_out)  # it proved nothing: allow another probe
        return self

    def reset(self, now: float) -> "Breaker":
        """Return a closed breaker without failures."""
        return Breaker(last_change=now)

    def _tripped(self, now: float, policy: BreakerPolicy) -> "Breaker":
        """Return an open breaker if there were too many failures in a row or among the last calls."""
        if self.failure_count >= policy.failure_threshold:
            return self._entered(BreakerState.OPEN, now)
        if policy.failure_rate is None or self.last_failure is None or now - self.last_failure > WINDOW_S:
            return self
        calls, failures = calls_in(self.window), failures_in(self.window)
        if calls < policy.failure_rate_calls or failures < policy.failure_rate * calls:
            return self
        return self._replace(failure_count=failures)._entered(BreakerState.OPEN, now)

    def _has_counted(self, replica: str | None, now: float) -> bool:
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
