"""What an attempt says about the provider: three answers, not two."""

from enum import StrEnum

from serve_app.errors import UpstreamError


class Outcome(StrEnum):
    """A caller's mistake is no sign of the provider's health, so there is a third word for it."""

    SUCCESS = "success"
    FAILURE = "failure"
    IGNORED = "ignored"


def outcome_of(failure: UpstreamError | None) -> Outcome:
    """Outages, timeouts, rate limits and a dead key count; what the caller got wrong does not."""
    if failure is None:
        return Outcome.SUCCESS
    return Outcome.IGNORED if failure.callers_fault else Outcome.FAILURE
