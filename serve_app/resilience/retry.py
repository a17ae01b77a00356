"""
What follows a failed attempt: the same target again, another one, or nobody.

Pure: how often it was tried, how much time is left and a number drawn by chance are arguments.
"""

from dataclasses import dataclass
from enum import StrEnum

from serve_app.config.policy import RetryPolicy
from serve_app.errors import FailureKind, UpstreamError

JITTER = 0.25  # the part of a wait that is added by chance, so that callers who failed together part ways


@dataclass(frozen=True, slots=True)
class Again:
    """Ask the same target once more, `after_s` seconds from now."""

    after_s: float


class Move(StrEnum):
    """Leave this target."""

    NEXT = "next"  # for the next one
    LARGER = "larger"  # for the next one that is another model with a larger context window
    END = "end"  # and ask nobody else


def next_step(
    error: UpstreamError,
    retries: int,
    policy: RetryPolicy,
    remaining_s: float,
    chance: float,
    *,
    stands_in: bool = False,
    passes_filter: bool = False,
) -> Again | Move:
    """
    What to do about a failure, after `retries` retries at this target.

    `remaining_s` is what the deadline leaves, `chance` is in [0, 1). `stands_in`: another target has failed
    through no fault of the caller, so that a refusal here is this target's own. `passes_filter`: what one
    content filter refuses may go to the next target.
    """
    match error.failure:
        case FailureKind.CONTEXT_LENGTH:
            return Move.LARGER
        case FailureKind.CONTENT_FILTER if passes_filter:
            return Move.NEXT
        case FailureKind.REJECTED | FailureKind.CONTENT_FILTER:
            return Move.NEXT if stands_in else Move.END
    if retries >= policy.max_retries or not _may_pass(error):
        return Move.NEXT
    announced_s = error.retry_after_s or 0.0
    if announced_s > policy.retry_after_max_s:
        return Move.NEXT
    wait_s = (announced_s or _delay(error, retries, policy)) * (1 + JITTER * chance)
    return Again(wait_s) if wait_s < remaining_s else Move.NEXT


def _may_pass(error: UpstreamError) -> bool:
    """
    Whether the same call may succeed a little later.

    An upstream that let a time limit of ours go by has had its chance; one that answers 504 is merely busy.
    """
    if error.failure is FailureKind.TIMEOUT:
        return error.upstream_status is not None
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
