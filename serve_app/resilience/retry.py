"""
The step after a failed attempt: retry, fall back to another target, or give up.

    error response, another target is available     one retry within half a second, then the next target
    error response, no other target is available    retries after growing delays
    timeout, or broken off                          the next target; this one not again for this request

Pure: the number of retries, the progress of the attempt, the remaining time and a random number are
arguments.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from serve_app.config.policy import Patience, RetryPolicy
from serve_app.errors import FailureKind, ReplicaLost, UpstreamError

JITTER = 0.25  # the random share that is added to a wait, so that callers who failed together spread out
QUICK_S = 0.5  # the longest wait at a target while another one is available
BURNT_S = 5.0  # an attempt that broke off after more than this is not repeated
REFUSAL = 400  # the lowest HTTP status of an error response


@dataclass(frozen=True, slots=True)
class Retry:
    """A retry of the same target, `after_s` seconds from now."""

    after_s: float


class NextStep(StrEnum):
    """The steps that leave this target."""

    FALLBACK = "next"  # try the next target
    LARGER_CONTEXT = "larger"  # try the next target whose model has a larger context window
    GIVE_UP = "end"  # try no other target


class Tried(NamedTuple):
    """
    One failed attempt.

    Attributes:
        error: how the attempt failed.
        retries: earlier retries at the same target.
        took_s: the duration of the attempt.
        has_begun: a part of the answer had arrived.
    """

    error: UpstreamError
    retries: int = 0
    took_s: float = 0.0
    has_begun: bool = False


class Outlook(NamedTuple):
    """
    The remaining options of a request.

    Attributes:
        remaining_s: seconds until the deadline.
        has_other: another target is available.
        stands_in: another target has failed through no fault of the caller, so a rejection here is this
            target's own.
        passes_filter: after one target's content filter, the request may go to the next target.
    """

    remaining_s: float
    has_other: bool = False
    stands_in: bool = False
    passes_filter: bool = False


def next_step(tried: Tried, policy: RetryPolicy, outlook: Outlook, chance: float) -> Retry | NextStep:
    """Return the step after a failed attempt; `chance` is a random number in [0, 1)."""
    error = tried.error
    match error.failure:
        case FailureKind.INTERNAL:
            return NextStep.GIVE_UP  # it would fail in the same way wherever it is sent
        case FailureKind.CONTEXT_LENGTH:
            return NextStep.LARGER_CONTEXT
        case FailureKind.CONTENT_FILTER:  # flagged content is not sent to another vendor by default
            return NextStep.FALLBACK if outlook.passes_filter else NextStep.GIVE_UP
        case FailureKind.REJECTED:
            return NextStep.FALLBACK if outlook.stands_in else NextStep.GIVE_UP
    is_quick = outlook.has_other and policy.patience is Patience.LAST_TARGET
    most = min(1, policy.max_retries) if is_quick else policy.max_retries
    if tried.retries >= most or not _may_pass(tried, is_quick):
        return NextStep.FALLBACK
    announced_s = error.retry_after_s or 0.0
    longest_s = policy.retry_after_max_s
    if outlook.has_other:
        longest_s = min(longest_s, policy.retry_after_short_s)
    if announced_s > longest_s:
        return NextStep.FALLBACK
    delay_s = _delay(error, tried.retries, policy)
    usual_s = min(QUICK_S, delay_s) if is_quick else delay_s
    wait_s = (announced_s or usual_s) * (1 + JITTER * chance)
    return Retry(wait_s) if wait_s < outlook.remaining_s else NextStep.FALLBACK


def _may_pass(tried: Tried, is_quick: bool) -> bool:
    """
    Return whether the same call may soon succeed at the same target.

    It may not after a timeout of the gateway's own, or after an answer that broke off once it had begun or
    after more than `BURNT_S`. A 504 of the upstream counts as busy. If a local replica died, the retry goes
    to another replica.
    """
    error = tried.error
    if isinstance(error, ReplicaLost):
        return True
    was_refused = error.upstream_status is not None and error.upstream_status >= REFUSAL
    if error.failure is FailureKind.TIMEOUT and not was_refused:
        return False
    if tried.has_begun or (tried.took_s > BURNT_S and (is_quick or not was_refused)):
        return False
    return error.retryable and error.failure is not FailureKind.SATURATED


def _delay(error: UpstreamError, retries: int, policy: RetryPolicy) -> float:
    """
    Return the seconds before the next attempt, where the provider sent no Retry-After.

    A broken connection is retried at once: usually it was idle and closed just when it was used, or one of
    several replicas has died.
    """
    if error.failure is FailureKind.UNREACHABLE:
        if retries == 0:
            return 0.0
        retries -= 1
    return min(policy.max_delay_s, policy.first_delay_s * policy.factor**retries)
