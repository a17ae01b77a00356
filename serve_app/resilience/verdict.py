"""What one failed attempt says about its provider, and for how long the provider asks to be left alone."""

from serve_app.errors import FailureKind, UpstreamError
from serve_app.resilience.outcome import Outcome, outcome_of

MOST_PATIENCE_S = 3600.0  # a Retry-After above is a mistake, and must not take a target away for ever
MOST_OUTAGE_S = 60.0  # of a 503, which guesses when its trouble ends; a breaker finds out


def verdict_on(error: UpstreamError, *, is_retry: bool, is_probe: bool, was_rushed: bool) -> Outcome:
    """
    Return what the breaker counts.

    A request has one vote at each target, its first attempt: retries come fast, and would let one unlucky
    caller open a breaker for everyone. A probe always counts.

    Args:
        error: how the attempt failed.
        is_retry: the same request was at this target before.
        is_probe: a half-open breaker let the attempt through to learn from it.
        was_rushed: see `was_rushed`.
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
    Tell whether the caller's deadline, or the wait for a machine, ended the attempt.

    A head that does not come, a silence in the middle or a 504 of the upstream are the provider's doing,
    however little time the caller has left. A machine that is still starting is not slow, nor is one that has
    gone since the plan was made.

    Args:
        error: how the attempt failed.
        ran_into_deadline: the answer was still coming when the request's time was up.
        has_begun: some of the answer had come.
        deadline_was_short: the request's time is up, and there was less of it than this target usually gets.
        waited_for_machine: no replica of a local model was ready.
    """
    if error.failure is not FailureKind.TIMEOUT or error.upstream_status is not None:
        return False
    in_vain = not has_begun and (deadline_was_short or waited_for_machine)
    return ran_into_deadline or in_vain


def cools_until(error: UpstreamError, now: float) -> float | None:
    """Return until when the provider asks to be left alone; a full queue of ours asks for nothing."""
    if not error.retry_after_s or error.failure is FailureKind.SATURATED:
        return None
    most_s = MOST_PATIENCE_S if error.failure is FailureKind.RATE_LIMITED else MOST_OUTAGE_S
    return now + min(error.retry_after_s, most_s)
