"""The outcome of an attempt or a health check, as a breaker counts it."""

from enum import StrEnum

from serve_app.errors import FailureKind, UpstreamError

_NEUTRAL = (
    FailureKind.NOT_FOUND,
    FailureKind.SATURATED,
    FailureKind.REFUSED_ADDRESS,
    FailureKind.INTERNAL,
)


class Outcome(StrEnum):
    """
    The outcome of an attempt or a health check.

    Attributes:
        IGNORED: the attempt says nothing about the provider's health, for example because of a caller's
            mistake.
        WELL: a free health check succeeded; never the outcome of an attempt.
    """

    SUCCESS = "success"
    FAILURE = "failure"
    IGNORED = "ignored"
    WELL = "well"


def outcome_of(failure: UpstreamError | None) -> Outcome:
    """
    Return how a breaker counts an attempt; `failure` None is a success.

    Outages, timeouts, rate limits and a rejected API key count against the provider. These do not: mistakes
    of the caller, a model that the provider does not have, a full queue of the gateway, an internal error of
    the gateway, and an address that the gateway does not call.
    """
    if failure is None:
        return Outcome.SUCCESS
    innocent = failure.callers_fault or failure.failure in _NEUTRAL
    return Outcome.IGNORED if innocent else Outcome.FAILURE
