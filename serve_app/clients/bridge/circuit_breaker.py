"""
A mutable circuit breaker around the immutable one of `resilience/breaker.py`.

`is_open()` and `get_state()` turn an open breaker half open once its timeout has passed; `state` is the last
stored one, and reading it changes nothing.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

from serve_app.clock import Clock, SystemClock
from serve_app.config.policy import BreakerPolicy
from serve_app.control.control_plane import BreakerChanged
from serve_app.errors import FailureKind, InvalidRequest, UpstreamError
from serve_app.observability.logs import log_breaker_change
from serve_app.resilience.breaker import Breaker, BreakerState
from serve_app.resilience.outcome import Outcome, outcome_of

CircuitState = BreakerState

SYSTEM_CLOCK = SystemClock()


class CircuitOpen(UpstreamError, RuntimeError):
    """The provider was not called: its breaker is open, or half open with its one probe in flight."""


class CircuitBreaker:
    """
    A circuit breaker that opens after `failure_threshold` failures in a row.

    A failure that is recorded while it is open restarts its timeout. The parameters and their bounds are
    those of the configuration's `circuit_breaker`.

    Args:
        timeout_secs: another name for `reset_timeout`.
        name: the provider's, for the log and for errors.
    """

    def __init__(
        self,
        failure_threshold: int = 5,
        timeout_secs: float | None = None,
        success_threshold: int = 2,
        half_open_timeout: float = 30.0,
        *,
        reset_timeout: float = 60.0,
        name: str = "",
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        self.policy = BreakerPolicy(
            failure_threshold=failure_threshold,
            reset_timeout=reset_timeout if timeout_secs is None else timeout_secs,
            success_threshold=success_threshold,
            half_open_timeout=half_open_timeout,
            failure_rate=None,
        )
        self.name = name
        self._clock = clock
        self._breaker = Breaker(last_change=clock.now())

    @classmethod
    def of(cls, policy: BreakerPolicy, name: str, clock: Clock) -> "CircuitBreaker":
        """Return a breaker with the policy of a configuration's `circuit_breaker`."""
        breaker = cls(name=name, clock=clock)
        breaker.policy = policy
        return breaker

    # --- properties -----------------------------------------------------------------------------------

    @property
    def state(self) -> CircuitState:
        """Return the stored state."""
        return self._breaker.state

    @property
    def failure_count(self) -> int:
        """Return the number of failures in a row."""
        return self._breaker.failure_count

    @property
    def success_count(self) -> int:
        """Return the number of successes since the last change of state."""
        return self._breaker.success_count

    @property
    def last_failure_time(self) -> datetime | None:
        """
        Return the time of the last failure, in local time without a zone; setting it back lets time pass.
        """
        at = self._breaker.last_failure
        return None if at is None else datetime.fromtimestamp(at)

    @last_failure_time.setter
    def last_failure_time(self, moment: datetime | None) -> None:
        at = None if moment is None else moment.timestamp()
        opened_at = self._breaker.last_change if at is None else min(at, self._breaker.last_change)
        self._breaker = self._breaker._replace(last_failure=at, last_change=opened_at)

    def get_stats(self) -> dict[str, Any]:
        """Return the statistics; the time of the last failure has two keys, for clients of either name."""
        failed_at = self._breaker.last_failure
        return {
            "state": self.state.value,
            "failure_count": self.failure_count,
            "success_count": self.success_count,
            "last_failure_time": _iso(failed_at),
            "last_failure": _iso(failed_at),
            "last_state_change": _iso(self._breaker.last_change),
            "time_since_failure": None if failed_at is None else self._clock.now() - failed_at,
        }

    # --- the current state ----------------------------------------------------------------------------

    def get_state(self) -> CircuitState:
        """Return the current state."""
        self._set(self._breaker.at(self._clock.now(), self.policy))
        return self.state

    def is_open(self) -> bool:
        """Return whether the breaker is open now; never in half open, however often it is called."""
        return self.get_state() is CircuitState.OPEN

    # --- results of calls -----------------------------------------------------------------------------

    def record_success(self) -> None:
        """Record a successful call."""
        self._hear(Outcome.SUCCESS, self._any_probe)

    def record_failure(self, exc: BaseException | None = None) -> None:
        """Record a failed call; a mistake of the caller does not count."""
        was_open = self.state is CircuitState.OPEN
        self._hear(_outcome(exc), self._any_probe)
        if was_open and _outcome(exc) is Outcome.FAILURE:
            self._breaker = self._breaker._replace(last_change=self._clock.now())

    def reset(self) -> None:
        """Close the breaker and forget the failures."""
        self._set(self._breaker.reset(self._clock.now()))

    @contextmanager
    def attempt(self) -> Iterator[None]:
        """
        Record the result of the call inside the context.

        While half open, one call at a time is admitted. A cancelled call does not count.

        Raises:
            CircuitOpen: the breaker does not admit the call.
        """
        probe = self._admitted()
        try:
            yield
        except Exception as error:
            self._hear(_outcome(error), probe)
            raise
        except BaseException:
            self._hear(Outcome.IGNORED, probe)
            raise
        self._hear(Outcome.SUCCESS, probe)

    @property
    def _any_probe(self) -> float:
        """
        Return the id of the probe in flight, or of none, so that a result recorded by hand counts as a
        probe's.
        """
        return self._breaker.probe_until or 0.0

    def _admitted(self) -> float | None:
        """Admit one call; return the probe's id if it is one. Raises CircuitOpen."""
        if self.get_state() is CircuitState.CLOSED:
            return None
        probed = self._breaker.probed(self._clock.now(), self.policy)
        if probed is None:
            raise self._refusal()
        self._set(probed)
        return probed.probe_until

    def _refusal(self) -> CircuitOpen:
        wait_s = self._breaker.opens_at(self.policy) - self._clock.now()
        return CircuitOpen(
            f"The circuit breaker of '{self.name}' is {self.state}: not called",
            self.name,
            FailureKind.OVERLOADED,
            retry_after_s=max(0.0, wait_s),
        )

    def _hear(self, outcome: Outcome, probe: float | None) -> None:
        self._set(self._breaker.heard(outcome, probe, self._clock.now(), self.policy))

    def _set(self, breaker: Breaker) -> None:
        before, self._breaker = self._breaker, breaker
        if breaker.state is not before.state:
            log_breaker_change(BreakerChanged(self.name, before.state, breaker.state, breaker.failure_count))


def _outcome(error: BaseException | None) -> Outcome:
    if isinstance(error, UpstreamError):
        return outcome_of(error)
    return Outcome.IGNORED if isinstance(error, InvalidRequest) else Outcome.FAILURE


def _iso(seconds: float | None) -> str | None:
    if seconds is None:
        return None
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
