"""
The outcomes of attempts and requests, recorded for charges, breakers, metrics and the log.

An attempt ends in exactly one of three ways, each a method here: `served`, `failed`, `abandoned` (the caller
disconnected). A request that has no attempt left is `refused`.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from serve_app.clock import Clock
from serve_app.control.control_cache import ControlCache
from serve_app.control.protocol import Observation
from serve_app.control.tally import IN_FLIGHT, UNDER_WAY
from serve_app.errors import FailureKind, GatewayError, LimitReached, ReplicaLost, UpstreamError
from serve_app.events import AttemptFailed, Event, Listener, RequestAbandoned, RequestFailed, RequestServed
from serve_app.gateway.attempt import Attempt
from serve_app.gateway.request import GatewayRequest
from serve_app.gateway.request_context import RequestContext
from serve_app.gateway.usage_estimator import UsageEstimator
from serve_app.ledger.entry import EntryOutcome
from serve_app.pricing.usage import Usage
from serve_app.pricing.usage_estimate import tokens_per_s
from serve_app.resilience.outcome import Outcome
from serve_app.resilience.verdict import cools_until, verdict_on, was_rushed

_REACHED_NOBODY = (
    FailureKind.UNREACHABLE,
    FailureKind.SATURATED,
    FailureKind.REFUSED_ADDRESS,
    FailureKind.UNSUPPORTED,
)


class Recorder:
    """The recorder of one gateway: records how its requests end."""

    def __init__(self, control: ControlCache, clock: Clock, listeners: Sequence[Listener]) -> None:
        self._control = control
        self._clock = clock
        self._listeners = listeners
        self.estimator = UsageEstimator(control, clock)

    def tell(self, event: Event) -> None:
        """Send an event to the listeners."""
        for listener in self._listeners:
            listener(event)

    # --- an attempt -----------------------------------------------------------------------------------

    def served(
        self,
        context: RequestContext,
        attempt: Attempt,
        usage: Usage,
        upstream_s: float,
        first_token_s: float | None = None,
        dropped_frames: int = 0,
    ) -> int | None:
        """Record a whole answer; return its cost in nano-dollars, None if the price is unknown."""
        target = attempt.target
        speed = None
        if attempt.began is not None:
            speed = tokens_per_s(usage, self._clock.monotonic() - attempt.began)
        self._observe(attempt, Outcome.SUCCESS, latency_s=upstream_s, tokens_per_s=speed)
        elapsed_s = context.elapsed_s
        cost = context.charges.settle(attempt.charge, usage, EntryOutcome.SERVED, elapsed_s, first_token_s)
        context.permit.close()
        self.tell(
            RequestServed(
                request_id=context.request.id,
                operation=context.request.operation,
                task=context.requirements.task,
                provider_id=target.provider_id,
                model_id=target.model_id,
                attempts=context.attempts,
                fell_back=attempt.candidate is not context.plan.ordered[0],
                usage=usage,
                cost=cost,
                duration_s=elapsed_s,
                upstream_s=upstream_s,
                first_token_s=first_token_s,
                dropped_frames=dropped_frames,
            )
        )
        return cost

    def failed(
        self,
        context: RequestContext,
        attempt: Attempt,
        error: UpstreamError,
        retry_in_s: float | None = None,
    ) -> None:
        """Record a failed attempt; `retry_in_s` is set if the same target is asked again."""
        target = attempt.target
        is_lost = isinstance(error, ReplicaLost)
        verdict = verdict_on(
            error,
            is_retry=attempt.retries > 0,
            is_probe=attempt.admission.probe is not None,
            was_rushed=self._was_rushed(context, attempt, error),
        )
        self._observe(
            attempt,
            verdict,
            cool_until=cools_until(error, self._clock.now()),
            lost_with=error.replica if isinstance(error, ReplicaLost) else None,
        )
        usage = self._lost(context, attempt) if is_lost else self._failed_usage(context, attempt, error)
        outcome = EntryOutcome.LOST if is_lost else EntryOutcome.FAILED
        cost = context.charges.settle(attempt.charge, usage, outcome, context.elapsed_s)
        self.tell(
            AttemptFailed(
                request_id=context.request.id,
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

    @contextmanager
    def in_flight(self, attempt: Attempt) -> Iterator[None]:
        """Count the attempt as in flight at its provider for the duration of the context."""
        key = (IN_FLIGHT, (attempt.provider_id,))
        gauges = self._control.gauges
        gauges[key] = gauges.get(key, 0) + 1
        try:
            yield
        finally:
            gauges[key] -= 1

    def in_flight_at(self, provider_id: str) -> float:
        """Return how many attempts of this router are in flight at a provider."""
        return self._control.gauges.get((IN_FLIGHT, (provider_id,)), 0)

    # --- a request ------------------------------------------------------------------------------------

    def refused(self, context: RequestContext, error: GatewayError) -> None:
        """Record that the caller gets an error in place of an answer or of its rest."""
        if context.current is not None:  # an exception of our own code during an attempt
            charge = context.current.charge
            context.charges.settle(charge, None, EntryOutcome.FAILED, context.elapsed_s)
        if context.plan.ordered:
            context.permit.close()
        else:
            context.permit.withdraw()
        # Error codes of providers are arbitrary; as label values they would be unbounded.
        code = error.label if isinstance(error, UpstreamError) else error.code
        self.tell(
            RequestFailed(
                request_id=context.request.id,
                operation=context.request.operation,
                task=context.requirements.task,
                code=code,
                status=error.status,
                attempts=context.attempts,
                duration_s=context.elapsed_s,
                limit=error if isinstance(error, LimitReached) else None,
            )
        )

    def abandoned(self, context: RequestContext, attempt: Attempt | None) -> None:
        """Record that the caller disconnected; what the provider did until then is charged."""
        target = usage = cost = None
        if attempt is not None:
            self._observe(attempt, Outcome.IGNORED)
            target = attempt.target
            estimator = self.estimator
            has_begun = attempt.frames > 0
            usage = estimator.so_far(context, attempt) if has_begun else estimator.by_time(context, attempt)
            usage = usage._replace(machine_ms=estimator.machine_ms(attempt))
            cost = context.charges.settle(attempt.charge, usage, EntryOutcome.ABANDONED, context.elapsed_s)
        context.permit.close()
        self.tell(
            RequestAbandoned(
                request_id=context.request.id,
                operation=context.request.operation,
                task=context.requirements.task,
                provider_id=target.provider_id if target else None,
                model_id=target.model_id if target else None,
                usage=usage,
                cost=cost,
                duration_s=context.elapsed_s,
            )
        )

    def not_admitted(self, request: GatewayRequest, task: str, error: GatewayError, waited_s: float) -> None:
        """Record a request that was refused before it was planned."""
        limit = error if isinstance(error, LimitReached) else None
        self.tell(
            RequestFailed(
                request.id, request.operation, task, error.code, error.status, 0, waited_s, limit=limit
            )
        )

    def left_unadmitted(self, request: GatewayRequest, task: str, waited_s: float) -> None:
        """Record a caller that disconnected while its request waited for admission."""
        self.tell(RequestAbandoned(request.id, request.operation, task, None, None, None, None, waited_s))

    @contextmanager
    def until_begun(self, context: RequestContext) -> Iterator[None]:
        """Record the end of a request that fails, or whose caller disconnects, before the answer begins."""
        gauges, key = self._control.gauges, (UNDER_WAY, (context.request.operation,))
        gauges[key] = gauges.get(key, 0) + 1
        try:
            yield
        except GatewayError as error:
            self.refused(context, error)
            raise
        except Exception:
            self.refused(context, GatewayError("unexpected"))
            raise
        except BaseException:  # cancelled: the caller has gone
            self.abandoned(context, context.current)
            raise
        finally:
            gauges[key] -= 1

    # --- details --------------------------------------------------------------------------------------

    def _lost(self, context: RequestContext, attempt: Attempt) -> Usage:
        """Return the usage of an attempt whose replica died: worst-case tokens, measured machine time."""
        worst = context.charges.at_worst(attempt.target)[0]
        return worst._replace(machine_ms=self.estimator.machine_ms(attempt))

    def _failed_usage(self, context: RequestContext, attempt: Attempt, error: UpstreamError) -> Usage | None:
        usage = self.estimator.so_far(context, attempt) if attempt.frames else None
        if error.failure not in _REACHED_NOBODY and (machine_ms := self.estimator.machine_ms(attempt)):
            usage = (usage or Usage(estimated=True))._replace(machine_ms=machine_ms)
        return usage

    def _was_rushed(self, context: RequestContext, attempt: Attempt, error: UpstreamError) -> bool:
        return was_rushed(
            error,
            ran_into_deadline=attempt.ran_into_deadline,
            has_begun=attempt.frames > 0,
            deadline_was_short=attempt.timeouts.hurried and context.remaining_s == 0.0,
            waited_for_machine=not (
                attempt.candidate.is_ready and self._control.has_machine(attempt.provider_id)
            ),
        )

    def _observe(
        self,
        attempt: Attempt,
        outcome: Outcome,
        *,
        latency_s: float | None = None,
        cool_until: float | None = None,
        lost_with: str | None = None,
        tokens_per_s: float | None = None,
    ) -> None:
        probe = attempt.admission.probe
        if outcome is Outcome.IGNORED and probe is None and cool_until is None:
            return  # not evidence about the provider
        target = attempt.target
        self._control.breakers.observe(
            Observation(
                target.provider_id,
                target.name,
                outcome,
                self._clock.now(),
                probe,
                latency_s,
                cool_until,
                lost_with,
                tokens_per_s,
            )
        )
