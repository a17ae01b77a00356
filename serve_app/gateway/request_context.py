"""
The state of one request while it is served. The executor writes it; everything else only reads it.
"""

from typing import NamedTuple

from serve_app.clock import Clock
from serve_app.errors import LimitReached, UpstreamError
from serve_app.gateway.attempt import Attempt
from serve_app.gateway.charging import RequestCharges
from serve_app.gateway.permit import RequestPermit
from serve_app.gateway.request import GatewayRequest
from serve_app.gateway.successors import successors
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
    """A target that was not asked, because it wants to be left alone for longer than the request may wait."""

    target: Target
    wait_s: float


class RequestContext:
    """
    What was asked, what was tried, and what is left to try.

    Fields:
        remaining: the candidates that may still be asked, best first.
        passes_over: a better target was left out because it asked for patience.
        attempts: how many attempts were made.
        failures, postponed, refusals: why the targets before the current one did not answer; a refusal is a
            limit that did not let this request go to one target.
        current: the attempt that waits for its first word.
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
        """What the request asks of a target."""
        return self.plan.requirements

    @property
    def elapsed_s(self) -> float:
        """Seconds since the request was admitted."""
        return self._clock.monotonic() - self.started

    @property
    def remaining_s(self) -> float:
        """Seconds until the request's time is up."""
        return self.deadline.remaining(self._clock.monotonic())

    @property
    def askable(self) -> list[Candidate]:
        """The candidates that may be asked now: a stand-in only once a named model has failed."""
        if self._named_failed:
            return self.remaining
        return [candidate for candidate in self.remaining if not self.plan.is_stand_in(candidate)]

    def after(self, failing: Candidate) -> list[Candidate]:
        """Return the candidates that may be asked if this one fails."""
        return successors(self.plan, self.remaining, failing, NextStep.FALLBACK, was_asked=True)

    def stands_in(self, target: Target) -> bool:
        """Tell whether this target is asked because of another one's trouble, not because it is the best."""
        if self.passes_over or self.postponed:
            return True
        return any(other is not target and not error.callers_fault for other, error in self.failures)

    # --- written by the executor ----------------------------------------------------------------------

    def take(self, candidate: Candidate) -> None:
        """This candidate is asked next."""
        self.remaining = [other for other in self.remaining if other is not candidate]

    def leave(self, candidate: Candidate, step: NextStep = NextStep.FALLBACK) -> None:
        """Drop the candidates that may not be asked after this one."""
        was_asked = candidate.target.name in self._asked
        self.remaining = successors(self.plan, self.remaining, candidate, step, was_asked=was_asked)

    def fail(self, target: Target, error: UpstreamError) -> None:
        """This target was asked, and failed."""
        self.failures.append(Failure(target, error))
        self._asked.add(target.name)
        if not error.callers_fault:
            self.miss(target)

    def postpone(self, target: Target, wait_s: float) -> None:
        """This target is not asked: it wants to be left alone for longer than the request may wait."""
        self.postponed.append(Postponed(target, wait_s))
        self._asked.add(target.name)
        self.miss(target)

    def miss(self, target: Target) -> None:
        """This target did not answer: another model may stand in for one that was named."""
        if place_of(target, self.requirements) is not None:
            self._named_failed = True

    def restart_deadline(self) -> None:
        """A stream that has broken off may take as long to its next token as it might to its first."""
        self.deadline = Deadline.after(self._clock.monotonic(), self._timeout_s)
