"""The verdict on a failed attempt: the outcome that its breaker counts, and the cooldown of its target."""

from serve_app.errors import FailureKind, UpstreamError
from serve_app.resilience.outcome import Outcome, outcome_of

MOST_PATIENCE_S = 3600.0  # a longer Retry-After is a mistake, and must not disable a target for ever
MOST_OUTAGE_S = 60.0  # for a 503, whose Retry-After is a guess; the breaker detects the recovery


def verdict_on(error: UpstreamError, *, is_retry: bool, is_probe: bool, was_rushed: bool) -> Outcome:
    """
    Return the outcome that the breaker counts.

    Each request counts once at each target, by its first attempt: retries come fast, and would let one
    unlucky caller open a breaker for everyone. A probe always counts.

    Args:
        error: how the attempt failed.
        is_retry: the same request was at this target before.
        is_probe: the attempt is the probe of a half-open breaker.
        was_rushed: the result of `was_rushed`.
    """
    if is_retry and not is_probe:
        return Outcome.IGNORED
    return Outcome.IGNORED if was_rushed else outcome_of(error)


def was_rushed(
    error: UpstreamError,
    *,
    ran_into_deadline: bool,
    has_begun: bool,
    deadline_was_short: bool,
    waited_for_machine: bool,
) -> bool:
    """
    Return whether the caller's deadline, or the wait for a machine, ended the attempt.

    Missing response headers, a stream that stalls and a 504 of the upstream count against the provider,
    however little time the caller has left. A machine that is still starting is not slow, nor is one that
    stopped after the plan was made.

    Args:
        error: how the attempt failed.
        ran_into_deadline: the answer was still arriving at the request's deadline.
        has_begun: a part of the answer had arrived.
        deadline_was_short: the deadline has passed, and it left less time than this target usually gets.
        waited_for_machine: no replica of a local model was ready.
    """
    if error.failure is not FailureKind.TIMEOUT or error.upstream_status is not None:
        return False
    in_vain = not has_begun and (deadline_was_short or waited_for_machine)
    return ran_into_deadline or in_vain


def cools_until(error: UpstreamError, now: float) -> float | None:
    """
    Return until when the provider asks to be left alone; None: it does not, or the gateway's own queue is
    full.
    """
    if not error.retry_after_s or error.failure is FailureKind.SATURATED:
        return None
    most_s = MOST_PATIENCE_S if error.failure is FailureKind.RATE_LIMITED else MOST_OUTAGE_S
    return now + min(error.retry_after_s, most_s)
