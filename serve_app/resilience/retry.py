"""
What follows a failed attempt: the same target again, another one, or nobody.

    refused in a word, somebody else can be asked   once more within half a second, then the next target
    refused in a word, nobody else can be asked     again, after growing waits
    silent, or cut off                              the next target; not this one again for this request

Pure: how often it was tried, how far it came, how much time is left and a number drawn by chance are
arguments.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from serve_app.config.policy import Patience, RetryPolicy
from serve_app.errors import FailureKind, ReplicaLost, UpstreamError

JITTER = 0.25  # the part of a wait that is added by chance, so that callers who failed together part ways
QUICK_S = 0.5  # the longest wait at a target while another one can be asked
BURNT_S = 5.0  # an attempt that took longer has had its chance
REFUSAL = 400  # the lowest HTTP status with which an upstream says no


@dataclass(frozen=True, slots=True)
class Retry:
    """Ask the same target once more, `after_s` seconds from now."""

    after_s: float


class NextStep(StrEnum):
    """Leave this target."""

    FALLBACK = "next"  # for the next one
    LARGER_CONTEXT = "larger"  # for the next one that is another model with a larger context window
    GIVE_UP = "end"  # and ask nobody else


class Tried(NamedTuple):
    """
    One failed attempt.

    It came after `retries` retries at the same target, and took `took_s` seconds. `has_begun`: a part of the
    answer had come.
    """

    error: UpstreamError
    retries: int = 0
    took_s: float = 0.0
    has_begun: bool = False


class Outlook(NamedTuple):
    """
    What is left to a request.

    `remaining_s` is what the deadline leaves; `has_other`: another target can be asked. `stands_in`: another
    target has failed through no fault of the caller, so that a refusal here is this target's own.
    `passes_filter`: what one content filter refuses may go to the next target.
    """

    remaining_s: float
    has_other: bool = False
    stands_in: bool = False
    passes_filter: bool = False


def next_step(tried: Tried, policy: RetryPolicy, outlook: Outlook, chance: float) -> Retry | NextStep:
    """Return what to do about a failure; `chance` is in [0, 1)."""
    error = tried.error
    match error.failure:
        case FailureKind.INTERNAL:
            return NextStep.GIVE_UP  # it would fail in the same way wherever it is sent
        case FailureKind.CONTEXT_LENGTH:
            return NextStep.LARGER_CONTEXT
        case FailureKind.CONTENT_FILTER:  # what one vendor has flagged is shown to no other
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
    Return whether the same call may succeed a little later at the same target.

    One that was silent until a time limit of ours went by has had its chance, and so has one that broke off
    after it had begun, or after a while; one that answers 504 is merely busy. A replica of ours that died is
    another matter: the next attempt goes to another one.
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
    Seconds before the next attempt, where the provider named none.

    A broken connection is tried again at once: most often it had been idle, and was closed just when we used
    it; or one of several replicas has died.
    """
    if error.failure is FailureKind.UNREACHABLE:
        if retries == 0:
            return 0.0
        retries -= 1
    return min(policy.max_delay_s, policy.first_delay_s * policy.factor**retries)
