"""
A mutable circuit breaker around the plain value of `resilience/breaker.py`.

`is_open()` and `get_state()` are the looks that turn an open breaker half open once its time is up; `state`
is what was stored last, and reading it changes nothing.
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
    """The provider was not called: its breaker is open, or the one probe of a half-open one is out."""


class CircuitBreaker:
    """
    Leaves a provider alone after `failure_threshold` failures in a row.

    A failure that is recorded while it is open starts the wait again.

    The numbers and their bounds are those of the configuration's `circuit_breaker`; `timeout_secs` is another
    name for `reset_timeout`. `name` is who it stands before, in the log and in errors.
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
        """Return one that goes by a configuration's `circuit_breaker`."""
        breaker = cls(name=name, clock=clock)
        breaker.policy = policy
        return breaker

    # --- what it is like ------------------------------------------------------------------------------

    @property
    def state(self) -> CircuitState:
        return self._breaker.state

    @property
    def failure_count(self) -> int:
        return self._breaker.failure_count

    @property
    def success_count(self) -> int:
        return self._breaker.success_count

    @property
    def last_failure_time(self) -> datetime | None:
        """In local time, without a zone; set it back to make time pass."""
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

    # --- looks ----------------------------------------------------------------------------------------

    def get_state(self) -> CircuitState:
        """The state at this moment."""
        self._set(self._breaker.at(self._clock.now(), self.policy))
        return self.state

    def is_open(self) -> bool:
        """Whether requests are kept away at this moment; never in half open, however many look."""
        return self.get_state() is CircuitState.OPEN

    # --- what happens ---------------------------------------------------------------------------------

    def record_success(self) -> None:
        """A call went well."""
        self._hear(Outcome.SUCCESS, self._any_probe)

    def record_failure(self, exc: BaseException | None = None) -> None:
        """A call failed; what the caller got wrong does not count."""
        was_open = self.state is CircuitState.OPEN
        self._hear(_outcome(exc), self._any_probe)
        if was_open and _outcome(exc) is Outcome.FAILURE:
            self._breaker = self._breaker._replace(last_change=self._clock.now())

    def reset(self) -> None:
        """Close it by hand, with nothing held against the provider."""
        self._set(self._breaker.reset(self._clock.now()))

    @contextmanager
    def attempt(self) -> Iterator[None]:
        """
        Around one call: CircuitOpen instead of it while open, and note of how it ended.

        While half open one call at a time is let through. A call that is cancelled proves nothing.
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
        """Who records by hand speaks for the probe that is out, or for one that nobody gave out."""
        return self._breaker.probe_until or 0.0

    def _admitted(self) -> float | None:
        """Let one call through, the name of a probe for a probe; CircuitOpen otherwise."""
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
