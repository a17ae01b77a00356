"""What an attempt, or a look, says about the provider."""

from enum import StrEnum

from serve_app.errors import FailureKind, UpstreamError

_SAYS_NOTHING = (
    FailureKind.NOT_FOUND,
    FailureKind.SATURATED,
    FailureKind.REFUSED_ADDRESS,
    FailureKind.INTERNAL,
)


class Outcome(StrEnum):
    """
    A caller's mistake is no sign of the provider's health, so there is a third word for it.

    `WELL` is no attempt's: a free health check found the provider well.
    """

    SUCCESS = "success"
    FAILURE = "failure"
    IGNORED = "ignored"
    WELL = "well"


def outcome_of(failure: UpstreamError | None) -> Outcome:
    """
    Outages, timeouts, rate limits and a dead key count against the provider.

    What the caller got wrong does not, nor does a model that the provider does not have: its others are well.
    A queue of our own that is full says nothing about who it leads to, nor does an exception of our own code,
    nor an address that we do not call.
    """
    if failure is None:
        return Outcome.SUCCESS
    innocent = failure.callers_fault or failure.failure in _SAYS_NOTHING
    return Outcome.IGNORED if innocent else Outcome.FAILURE
