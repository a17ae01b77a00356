"""The state of one request while it is served; only the executor writes it."""

from typing import NamedTuple

from serve_app.clock import Clock
from serve_app.errors import LimitReached, UpstreamError
from serve_app.gateway.attempt import Attempt
from serve_app.gateway.charging import RequestCharges
from serve_app.gateway.next_targets import successors
from serve_app.gateway.rate_permit import RequestPermit
from serve_app.gateway.request import GatewayRequest
from serve_app.resilience.deadline import Deadline
from serve_app.resilience.retry import NextStep
from serve_app.routing.candidate import Candidate
from serve_app.routing.eligibility import place_of
from serve_app.routing.plan import Plan
from serve_app.routing.requirements import Requirements
from serve_app.routing.target import Target


class Failure(NamedTuple):
    """A target that was asked, and how it failed."""

    target: Target
    error: UpstreamError


class Postponed(NamedTuple):
    """A target that was not asked, because its rate limit lasts longer than the request may wait."""

    target: Target
    wait_s: float


class RequestContext:
    """
    The request, its plan, the attempts made and the candidates that remain.

    Fields:
        remaining: the candidates that may still be asked, best first.
        passes_over: a better target was skipped because it is rate limited.
        attempts: how many attempts were made.
        failures, postponed, refusals: why the targets before the current one did not answer; a refusal is a
            limit that kept this request from one target.
        current: the attempt that waits for its first output.
    """

    def __init__(
        self,
        request: GatewayRequest,
        plan: Plan,
        charges: RequestCharges,
        permit: RequestPermit,
        clock: Clock,
        started: float,
        timeout_s: float,
    ) -> None:
        self.request = request
        self.plan = plan
        self.charges = charges
        self.permit = permit
        self.started = started
        self.deadline = Deadline.after(started, timeout_s)
        self.remaining = list(plan.ordered)
        self.passes_over = False
        self.attempts = 0
        self.failures: list[Failure] = []
        self.postponed: list[Postponed] = []
        self.refusals: list[LimitReached] = []
        self.current: Attempt | None = None
        self._named_failed = plan.named_failed
        self._asked: set[str] = set()
        self._clock = clock
        self._timeout_s = timeout_s

    @property
    def requirements(self) -> Requirements:
        """Return the requirements of the request on a target."""
        return self.plan.requirements

    @property
    def elapsed_s(self) -> float:
        """Return the seconds since the request was admitted."""
        return self._clock.monotonic() - self.started

    @property
    def remaining_s(self) -> float:
        """Return the seconds until the request's deadline."""
        return self.deadline.remaining(self._clock.monotonic())

    @property
    def askable(self) -> list[Candidate]:
        """Return the candidates that may be asked now; stand-ins only once a named model has failed."""
        if self._named_failed:
            return self.remaining
        return [candidate for candidate in self.remaining if not self.plan.is_stand_in(candidate)]

    def after(self, failing: Candidate) -> list[Candidate]:
        """Return the candidates that may be asked if this one fails."""
        return successors(self.plan, self.remaining, failing, NextStep.FALLBACK, was_asked=True)

    def stands_in(self, target: Target) -> bool:
        """Return whether this target is asked because a better one failed or is rate limited."""
        if self.passes_over or self.postponed:
            return True
        return any(other is not target and not error.callers_fault for other, error in self.failures)

    # --- written by the executor ----------------------------------------------------------------------

    def take(self, candidate: Candidate) -> None:
        """Remove the candidate that is asked next from those that remain."""
        self.remaining = [other for other in self.remaining if other is not candidate]

    def leave(self, candidate: Candidate, step: NextStep = NextStep.FALLBACK) -> None:
        """Drop the candidates that may not be asked after this one."""
        was_asked = candidate.target.name in self._asked
        self.remaining = successors(self.plan, self.remaining, candidate, step, was_asked=was_asked)

    def fail(self, target: Target, error: UpstreamError) -> None:
        """Record that this target was asked and failed."""
        self.failures.append(Failure(target, error))
        self._asked.add(target.name)
        if not error.callers_fault:
            self.miss(target)

    def postpone(self, target: Target, wait_s: float) -> None:
        """Record that this target is not asked: its rate limit lasts longer than the request may wait."""
        self.postponed.append(Postponed(target, wait_s))
        self._asked.add(target.name)
        self.miss(target)

    def miss(self, target: Target) -> None:
        """Record that this target did not answer: if its model was named, stand-ins may be asked."""
        if place_of(target, self.requirements) is not None:
            self._named_failed = True

    def restart_deadline(self) -> None:
        """Restart the timeout for a stream that broke off: its next token gets the time of a first one."""
        self.deadline = Deadline.after(self._clock.monotonic(), self._timeout_s)
