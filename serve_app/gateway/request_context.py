"""
One request under way: what it asked for, what was tried, and who hears how it ended.

An attempt ends in exactly one of three ways, each a method here: `served`, `failed`, `abandoned` (the caller
went away). A request that has no attempt left is `refused`.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from math import inf
from typing import NamedTuple

from serve_app.caller import ANYONE, Caller
from serve_app.clock import Clock
from serve_app.control.breakers import Admission
from serve_app.control.cache import ControlCache
from serve_app.control.protocol import Observation
from serve_app.control.tally import IN_FLIGHT
from serve_app.errors import (
    FailureKind,
    GatewayError,
    LimitReached,
    NoSuitableProviders,
    ProviderRateLimitError,
    ProviderTimeoutError,
    ReplicaLost,
    UpstreamError,
)
from serve_app.events import AttemptFailed, Event, Listener, RequestAbandoned, RequestFailed, RequestServed
from serve_app.gateway.charging import AttemptCharge, RequestCharges
from serve_app.gateway.routing_info import RoutingInfo
from serve_app.gateway.successors import successors
from serve_app.gateway.usage_estimator import UsageEstimator
from serve_app.ledger.entry import EntryOutcome
from serve_app.limits.client import Reservation
from serve_app.pricing.usage import Usage, chars_said
from serve_app.resilience.deadline import Deadline
from serve_app.resilience.outcome import Outcome, outcome_of
from serve_app.resilience.retry import NextStep
from serve_app.routing.candidate import Candidate
from serve_app.routing.eligibility import place_of
from serve_app.routing.plan import Plan
from serve_app.routing.target import Target

UNDER_WAY = "sekha_requests_under_way"
PROBED_AGAIN_AFTER_S = 1.0  # a probe takes about as long as a request
MOST_PATIENCE_S = 3600.0  # a Retry-After above is a mistake, and must not take a target away for ever
MOST_OUTAGE_S = 60.0  # of a 503, which guesses when its trouble ends; a breaker finds out

_REACHED_NOBODY = (FailureKind.UNREACHABLE, FailureKind.SATURATED, FailureKind.REFUSED_ADDRESS)


class AttemptTimeouts(NamedTuple):
    """
    How long one attempt may take, in seconds, as `providers.base.Call` has it.

    `hurried`: the caller, or what was tried before, left less of the deadline than this target usually has.
    """

    timeout_s: float
    first_byte_s: float = inf
    idle_s: float = inf
    hurried: bool = False


@dataclass(slots=True)
class Attempt:
    """
    One call to one target, let through by its breaker.

    `number` counts the attempts of the request, `retries` those before this one at the same target.
    `output_chars` is how much text of an answer has come so far, as far as we know, and `frames` in how many
    pieces; `ran_into_deadline` that it was still coming when the request's time was up. `charge` is its place
    on the bill, `began` the moment from which it is at its target, on the monotonic clock; None while a
    machine has yet to start for it. `dropped` are the caller's parameters that the target did not get.
    """

    candidate: Candidate
    admission: Admission
    number: int
    retries: int
    limits: AttemptTimeouts
    charge: AttemptCharge
    began: float | None
    output_chars: int = 0
    frames: int = 0
    ran_into_deadline: bool = False
    dropped: tuple[str, ...] = ()

    @property
    def provider_id(self) -> str:
        return self.candidate.target.provider_id

    def listen(self, block: bytes) -> None:
        """Take note of a block of frames: should the answer break off, this much was produced."""
        self.output_chars += chars_said(block)
        self.frames += block.count(b"\n\n")


class RequestContext:
    """
    The mutable part of serving one request.

    `operation` is `chat` or `embeddings`; `raw` is the body that `caller` sent; `deadline` bounds all
    attempts together.
    `left` are the targets that may still be asked, `failures` what those before them said, `current` is the
    attempt that waits for its first word. `passes_over`: a better target was left out because it asked for
    patience.
    """

    def __init__(
        self,
        request_id: str,
        operation: str,
        plan: Plan,
        raw: bytes,
        timeout_s: float,
        control: ControlCache,
        clock: Clock,
        listeners: Sequence[Listener],
        streams: bool = False,
        wants_usage: bool = False,
        caller: Caller = ANYONE,
    ) -> None:
        self.request_id = request_id
        self.operation = operation
        self.plan = plan
        self.raw = raw
        self.streams = streams
        self.wants_usage = wants_usage
        self.caller = caller
        self.started = clock.monotonic()
        self.deadline = Deadline.after(self.started, timeout_s)
        self._timeout_s = timeout_s
        self.left = list(plan.ordered)
        self.passes_over = False
        self._named_failed = plan.named_failed
        self._asked: set[str] = set()
        self.attempts = 0
        self.failures: list[tuple[Target, UpstreamError]] = []
        self.current: Attempt | None = None
        self._put_off: list[tuple[Target, float]] = []
        self._turned_away: list[LimitReached] = []
        self.charges = RequestCharges(request_id, operation, plan.wanted, caller, control, clock)
        self._usage_estimator = UsageEstimator(plan.wanted, self.charges, control, clock)
        self._control = control
        self._clock = clock
        self._listeners = listeners

    @property
    def elapsed_s(self) -> float:
        return self._clock.monotonic() - self.started

    @property
    def remaining_s(self) -> float:
        return self.deadline.remaining(self._clock.monotonic())

    @property
    def falls_back(self) -> bool:
        """Whether another target may be asked after one has failed."""
        return self.plan.wanted.falls_back

    @property
    def askable(self) -> list[Candidate]:
        """Who may be asked now: a stand-in only once a named model has failed."""
        if self._named_failed:
            return self.left
        return [candidate for candidate in self.left if not self.plan.is_stand_in(candidate)]

    def after(self, failing: Candidate) -> list[Candidate]:
        """Who may be asked if this one fails."""
        return successors(self.plan, self.left, failing, NextStep.FALLBACK, was_asked=True)

    def leave(self, candidate: Candidate, move: NextStep = NextStep.FALLBACK) -> None:
        """Drop who may not be asked after this one."""
        was_asked = candidate.target.name in self._asked
        self.left = successors(self.plan, self.left, candidate, move, was_asked=was_asked)

    def stands_in(self, target: Target) -> bool:
        """Whether this target is asked because of another one's trouble, not because it is the best."""
        if self.passes_over or self._put_off:
            return True
        return any(other is not target and not error.callers_fault for other, error in self.failures)

    def begin_again(self) -> None:
        """A stream that has broken off may take as long to its next token as it might to its first."""
        self.deadline = Deadline.after(self._clock.monotonic(), self._timeout_s)

    def turned_away(self, reached: LimitReached) -> None:
        """A limit does not let this request go to a target; another one may be cheaper."""
        self._turned_away.append(reached)

    def attempt(
        self,
        candidate: Candidate,
        admission: Admission,
        retries: int,
        limits: AttemptTimeouts,
        reservation: Reservation | None,
    ) -> Attempt:
        """The next attempt, on the bill; GatewayUnavailable when it has to be written down and cannot be."""
        charge = self.charges.charge(candidate.target, self.attempts + 1, reservation)
        self.attempts += 1
        has_machine = self._control.has_machine(candidate.target.provider_id)
        began = self._clock.monotonic() if has_machine else None
        return Attempt(candidate, admission, self.attempts, retries, limits, charge, began)

    def put_off(self, target: Target, wait_s: float) -> None:
        """This target was not asked, because it wants to be left alone for longer than we may wait."""
        self._put_off.append((target, wait_s))
        self._asked.add(target.name)
        self.not_there(target)

    def not_there(self, target: Target) -> None:
        """This target failed, or its breaker keeps requests away: somebody else may stand in for a model."""
        if place_of(target, self.plan.wanted) is not None:
            self._named_failed = True

    def served(
        self,
        attempt: Attempt,
        usage: Usage,
        upstream_s: float,
        first_token_s: float | None = None,
        dropped_frames: int = 0,
    ) -> int | None:
        """The answer is whole. Its cost in nano-dollars; None when nobody knows the price."""
        target = attempt.candidate.target
        self._observe(
            attempt,
            Outcome.SUCCESS,
            upstream_s,
            tokens_per_s=self._usage_estimator.tokens_per_s(attempt.began, usage),
        )
        cost = self.charges.settle(attempt.charge, usage, EntryOutcome.SERVED, self.elapsed_s, first_token_s)
        self.charges.close()
        self._tell(
            RequestServed(
                request_id=self.request_id,
                operation=self.operation,
                task=self.plan.wanted.task,
                provider_id=target.provider_id,
                model_id=target.model_id,
                attempts=self.attempts,
                fell_back=attempt.candidate is not self.plan.ordered[0],
                usage=usage,
                cost=cost,
                duration_s=self.elapsed_s,
                upstream_s=upstream_s,
                first_token_s=first_token_s,
                dropped_frames=dropped_frames,
            )
        )
        return cost

    def failed(self, attempt: Attempt, error: UpstreamError, retry_in_s: float | None = None) -> None:
        """This attempt brought no answer; `retry_in_s` when the same target is asked again."""
        target = attempt.candidate.target
        self.failures.append((target, error))
        self._asked.add(target.name)
        if not error.callers_fault:
            self.not_there(target)
        lost_with = error.replica if isinstance(error, ReplicaLost) else None
        cool_until = self._cool_until(error)
        self._observe(attempt, self._verdict(attempt, error), cool_until=cool_until, lost_with=lost_with)
        usage, outcome = None, EntryOutcome.FAILED
        if isinstance(error, ReplicaLost):
            outcome = EntryOutcome.LOST
            # What it had written nobody knows; but for how long it was there, we do.
            usage = self.charges.at_worst(target)[0]._replace(machine_ms=self._guessed_machine_ms(attempt))
        else:
            if attempt.frames:
                usage = self._usage_estimator.so_far(target, attempt.frames, attempt.output_chars)
            if error.failure not in _REACHED_NOBODY and (machine_ms := self._guessed_machine_ms(attempt)):
                usage = (usage or Usage(estimated=True))._replace(machine_ms=machine_ms)
        cost = self.charges.settle(attempt.charge, usage, outcome, self.elapsed_s)
        self._tell(
            AttemptFailed(
                request_id=self.request_id,
                provider_id=target.provider_id,
                model_id=target.model_id,
                attempt=attempt.number,
                retries=attempt.retries,
                error=error,
                retry_in_s=retry_in_s,
                usage=usage,
                cost=None if usage is None else cost,
            )
        )

    def refused(self, error: GatewayError) -> None:
        """The caller hears this instead of an answer, or instead of the rest of one."""
        if self.current is not None:  # a mistake of ours, in the middle of an attempt
            self.charges.settle(self.current.charge, None, EntryOutcome.FAILED, self.elapsed_s)
        self.charges.close()
        # A provider may call its errors what it likes; as a label that would grow without bound.
        code = error.label if isinstance(error, UpstreamError) else error.code
        self._tell(
            RequestFailed(
                request_id=self.request_id,
                operation=self.operation,
                task=self.plan.wanted.task,
                code=code,
                status=error.status,
                attempts=self.attempts,
                duration_s=self.elapsed_s,
                limit=error if isinstance(error, LimitReached) else None,
            )
        )

    def abandoned(self, attempt: Attempt | None) -> None:
        """The caller went away; what the provider has done by then is reckoned, because it will be billed."""
        target = usage = cost = None
        if attempt is not None:
            self._observe(attempt, Outcome.IGNORED)
            target = attempt.candidate.target
            if attempt.frames:
                usage = self._usage_estimator.so_far(target, attempt.frames, attempt.output_chars)
            else:
                usage = self._usage_estimator.by_time(target, attempt.began)
            usage = usage._replace(machine_ms=self._guessed_machine_ms(attempt))
            cost = self.charges.settle(attempt.charge, usage, EntryOutcome.ABANDONED, self.elapsed_s)
        self.charges.close()
        self._tell(
            RequestAbandoned(
                request_id=self.request_id,
                operation=self.operation,
                task=self.plan.wanted.task,
                provider_id=target.provider_id if target else None,
                model_id=target.model_id if target else None,
                usage=usage,
                cost=cost,
                duration_s=self.elapsed_s,
            )
        )

    @contextmanager
    def under_way(self) -> Iterator[None]:
        """While the answer has not begun: an error, or the caller's leaving, ends the request."""
        gauges, key = self._control.gauges, (UNDER_WAY, (self.operation,))
        gauges[key] = gauges.get(key, 0) + 1
        try:
            yield
        except GatewayError as error:
            self.refused(error)
            raise
        except Exception:
            self.refused(GatewayError("unexpected"))
            raise
        except BaseException:  # cancelled: nobody is waiting any more
            self.abandoned(self.current)
            raise
        finally:
            gauges[key] -= 1

    def in_flight_at(self, provider_id: str) -> float:
        """How many requests of this router are at a provider."""
        return self._control.gauges.get((IN_FLIGHT, (provider_id,)), 0)

    @contextmanager
    def in_flight(self, attempt: Attempt) -> Iterator[None]:
        """Counted while it lasts."""
        key = (IN_FLIGHT, (attempt.provider_id,))
        gauges = self._control.gauges
        gauges[key] = gauges.get(key, 0) + 1
        try:
            yield
        finally:
            gauges[key] -= 1

    @contextmanager
    def asking(self, attempt: Attempt) -> Iterator[None]:
        """Until the target has said something; who leaves before that leaves this attempt."""
        self.current = attempt
        with self.in_flight(attempt):
            yield
        self.current = None
        if attempt.began is None:
            attempt.began = self._clock.monotonic()  # at the latest: it has said something

    def last_word(self) -> GatewayError:
        """
        What the caller hears when every target failed: the last provider's reason (contract 3.2).

        But a fallback that refuses what another target was asked before says nothing about why it was needed;
        then the first, real reason counts.
        """
        if self.failures:
            target, last = self.failures[-1]
            if not last.callers_fault:
                return last
            if first := next((error for other, error in self.failures if other is not target), None):
                return first
            if not self._put_off:
                return last
        if self._turned_away:
            return self._turned_away[0]
        if self._put_off:
            target, wait_s = min(self._put_off, key=lambda put_off: put_off[1])
            message = f"Provider '{target.provider_id}' asked for patience: {wait_s:.1f} s more"
            return ProviderRateLimitError(message, target.provider_id, retry_after_s=wait_s)
        if self.remaining_s == 0.0:
            return ProviderTimeoutError("The request's time was up", "", FailureKind.TIMEOUT)
        why = "every breaker that would let a request through has its one probe out"
        return NoSuitableProviders(self.plan.wanted.task, why, PROBED_AGAIN_AFTER_S)

    def routed(self, attempt: Attempt, cost: int | None = None) -> RoutingInfo:
        """What the caller is told about the target that answers; `cost` once it is known."""
        chosen, wanted = attempt.candidate, self.plan.wanted
        reason = self.plan.reason(chosen)
        images = wanted.images + wanted.written_images
        return RoutingInfo(chosen.target, wanted.task, reason, chosen.cost, cost, images, attempt.dropped)

    def used(self, attempt: Attempt, told: Usage | None, output_chars: int, machine_ms: int) -> Usage:
        """What an answer used, as far as its provider said; tokens are reckoned where it did not."""
        usage = self._usage_estimator.used(attempt.candidate.target, attempt.began, told, output_chars)
        return usage._replace(machine_ms=machine_ms) if machine_ms else usage

    def _guessed_machine_ms(self, attempt: Attempt) -> int:
        """
        An attempt's share of a machine of one's own, where its provider has told none.

        That is the attempt's time, shared with those that this router has there at its end.
        """
        target = attempt.candidate.target
        if not target.machine_ms or attempt.began is None:
            return 0
        present = 1 + self.in_flight_at(target.provider_id)
        return round(1000 * (self._clock.monotonic() - attempt.began) / present)

    def _verdict(self, attempt: Attempt, error: UpstreamError) -> Outcome:
        """
        What a failure says about the provider.

        A request has one voice at each target, its first attempt: retries come fast, and would make one
        unlucky caller open a breaker for all. A probe always has its say.
        """
        if attempt.retries and attempt.admission.probe is None:
            return Outcome.IGNORED
        return Outcome.IGNORED if self._was_rushed(attempt, error) else outcome_of(error)

    def _was_rushed(self, attempt: Attempt, error: UpstreamError) -> bool:
        """
        Whether it was the deadline that ran out, or a wait for a machine: no limit of the provider's own.

        A head that does not come, a silence in the middle, a 504 of the upstream's: these are the provider's
        doing, however little time the caller has left. But who is still starting does not answer too slowly,
        nor does who has gone since the plan was made.
        """
        if error.failure is not FailureKind.TIMEOUT or error.upstream_status is not None:
            return False
        ended_early = attempt.limits.hurried and self.remaining_s == 0.0
        waited = not (attempt.candidate.is_ready and self._control.has_machine(attempt.provider_id))
        in_vain = not attempt.frames and (ended_early or waited)
        return attempt.ran_into_deadline or in_vain

    def _cool_until(self, error: UpstreamError) -> float | None:
        """Until when the provider asked to be left alone; a full queue of ours asks for nothing."""
        if not error.retry_after_s or error.failure is FailureKind.SATURATED:
            return None
        most_s = MOST_PATIENCE_S if error.failure is FailureKind.RATE_LIMITED else MOST_OUTAGE_S
        return self._clock.now() + min(error.retry_after_s, most_s)

    def _observe(
        self,
        attempt: Attempt,
        outcome: Outcome,
        latency_s: float | None = None,
        cool_until: float | None = None,
        lost_with: str | None = None,
        tokens_per_s: float | None = None,
    ) -> None:
        probe = attempt.admission.probe
        if outcome is Outcome.IGNORED and probe is None and cool_until is None:
            return  # says nothing about anyone
        target = attempt.candidate.target
        now = self._clock.now()
        self._control.breakers.observe(
            Observation(
                target.provider_id,
                target.name,
                outcome,
                now,
                probe,
                latency_s,
                cool_until,
                lost_with,
                tokens_per_s,
            )
        )

    def _tell(self, event: Event) -> None:
        for listener in self._listeners:
            listener(event)
