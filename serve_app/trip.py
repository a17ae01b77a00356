"""
One request under way: what it asked for, what was tried, and who hears how it ended.

An attempt ends in exactly one of four ways, each a method here: `served`, `failed` (the next target may have
a go), `cut_short` (the caller already has half an answer), `abandoned` (the caller went away).
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from serve_app.accounting.usage import Usage, estimate_tokens
from serve_app.clock import Clock
from serve_app.config.model import ModelTask
from serve_app.control.port import Observation
from serve_app.control.replica import Admission, Replica
from serve_app.errors import (
    FailureKind,
    GatewayError,
    NoSuitableProviders,
    ProviderTimeoutError,
    UpstreamError,
)
from serve_app.events import AttemptFailed, Event, Listener, RequestAbandoned, RequestFailed, RequestServed
from serve_app.resilience.deadline import Deadline
from serve_app.resilience.outcome import Outcome, outcome_of
from serve_app.routing.candidate import Candidate
from serve_app.routing.plan import Plan

IN_FLIGHT = "sekha_requests_in_flight"


@dataclass(frozen=True, slots=True)
class Attempt:
    """
    One call to one target, let through by its breaker.

    `hurried`: it had less time than the provider's own limit, because the caller or the deadline said so.
    Then a timeout is no sign of the provider's health.
    """

    candidate: Candidate
    admission: Admission
    number: int
    timeout_s: float
    hurried: bool

    @property
    def provider_id(self) -> str:
        return self.candidate.target.provider_id


class Trip:
    """
    The mutable part of serving one request.

    `operation` is `chat` or `embeddings`; `raw` the caller's body; `deadline` bounds all attempts together.
    """

    def __init__(
        self,
        request_id: str,
        operation: str,
        plan: Plan,
        raw: bytes,
        timeout_s: float,
        control: Replica,
        clock: Clock,
        listeners: Sequence[Listener],
        wants_usage: bool = False,
    ) -> None:
        self.request_id = request_id
        self.operation = operation
        self.plan = plan
        self.raw = raw
        self.wants_usage = wants_usage
        self.started = clock.monotonic()
        self.deadline = Deadline.after(self.started, timeout_s)
        self.attempts = 0
        self.failures: list[UpstreamError] = []
        self._control = control
        self._clock = clock
        self._listeners = listeners

    @property
    def elapsed_s(self) -> float:
        return self._clock.monotonic() - self.started

    @property
    def remaining_s(self) -> float:
        return self.deadline.remaining(self._clock.monotonic())

    async def admit(self, candidate: Candidate, limit_s: float) -> Attempt | None:
        """The next attempt, if the breaker lets it through; `limit_s` is the provider's own limit."""
        admission = await self._control.admit(candidate.target.provider_id)
        if admission is None:
            return None
        self.attempts += 1
        left_s = self.remaining_s
        return Attempt(candidate, admission, self.attempts, min(left_s, limit_s), left_s < limit_s)

    def served(
        self, attempt: Attempt, usage: Usage, upstream_s: float, first_token_s: float | None = None
    ) -> int | None:
        """The answer is whole. Its cost in nano-dollars; None when nobody knows the price."""
        target = attempt.candidate.target
        self._observe(attempt, Outcome.SUCCESS, upstream_s)
        price = self._control.price(target.name)
        cost = None if price is None else price.cost(usage)
        self._tell(
            RequestServed(
                request_id=self.request_id,
                operation=self.operation,
                task=self.plan.wanted.task,
                provider_id=target.provider_id,
                model_id=target.model_id,
                attempts=self.attempts,
                usage=usage,
                cost=cost,
                duration_s=self.elapsed_s,
                upstream_s=upstream_s,
                first_token_s=first_token_s,
            )
        )
        return cost

    def failed(self, attempt: Attempt, error: UpstreamError) -> None:
        """This target did not answer; another may."""
        target = attempt.candidate.target
        self.failures.append(error)
        rushed = attempt.hurried and error.failure is FailureKind.TIMEOUT
        self._observe(attempt, Outcome.IGNORED if rushed else outcome_of(error))
        self._tell(AttemptFailed(self.request_id, target.provider_id, target.model_id, attempt.number, error))

    def cut_short(self, attempt: Attempt, error: UpstreamError) -> None:
        """The answer broke off when part of it was already with the caller."""
        self.failed(attempt, error)
        self._tell(self._refused(error))

    def abandoned(self, attempt: Attempt) -> None:
        """The caller went away in the middle of the answer."""
        self._observe(attempt, Outcome.IGNORED)
        self._tell(self._departed(attempt.provider_id))

    @contextmanager
    def under_way(self) -> Iterator[None]:
        """While the answer has not begun: an error, or the caller's leaving, ends the request."""
        try:
            yield
        except GatewayError as error:
            self._tell(self._refused(error))
            raise
        except Exception:
            self._tell(self._refused(GatewayError("unexpected")))
            raise
        except BaseException:  # cancelled: nobody is waiting any more
            self._tell(self._departed(None))
            raise

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
        """Until the target has said something; a probe whose caller leaves before that is given back."""
        with self.in_flight(attempt):
            try:
                yield
            except BaseException:
                self._observe(attempt, Outcome.IGNORED)
                raise

    def last_word(self) -> GatewayError:
        """
        What the caller hears when every target failed: the last provider's reason (contract 3.2).

        But a fallback that refuses what the first target accepted says nothing about the outage; then the
        first, real reason counts.
        """
        if self.failures:
            last = self.failures[-1]
            if last.callers_fault:
                return next((f for f in self.failures if not f.callers_fault), last)
            return last
        if self.remaining_s == 0.0:
            return ProviderTimeoutError("The request's time was up", "", FailureKind.TIMEOUT)
        why = "every breaker that would let a request through has its one probe out"
        return NoSuitableProviders(self.plan.wanted.task, why)

    def guessed_usage(self, output_chars: int) -> Usage:
        """What was used, reckoned from lengths, when the provider did not say."""
        wanted = self.plan.wanted
        output = 0 if wanted.task is ModelTask.EMBEDDING else estimate_tokens(output_chars)
        return Usage(wanted.input_tokens, output, estimated=True)

    def _observe(self, attempt: Attempt, outcome: Outcome, latency_s: float | None = None) -> None:
        probe = attempt.admission.probe
        if outcome is Outcome.IGNORED and probe is None:
            return  # says nothing about anyone
        target = attempt.candidate.target
        now = self._clock.now()
        self._control.observe(Observation(target.provider_id, target.name, outcome, now, probe, latency_s))

    def _refused(self, error: GatewayError) -> RequestFailed:
        task = self.plan.wanted.task
        # A provider may call its errors what it likes; as a label that would grow without bound.
        code = f"upstream_{error.failure}" if isinstance(error, UpstreamError) else error.code
        return RequestFailed(
            self.request_id, self.operation, task, code, error.status, self.attempts, self.elapsed_s
        )

    def _departed(self, provider_id: str | None) -> RequestAbandoned:
        task = self.plan.wanted.task
        return RequestAbandoned(self.request_id, self.operation, task, provider_id, self.elapsed_s)

    def _tell(self, event: Event) -> None:
        for listener in self._listeners:
            listener(event)
