"""What an attempt says about the provider."""

import pytest

from serve_app.errors import FailureKind, upstream_error
from serve_app.resilience.outcome import Outcome, outcome_of

INNOCENT = {
    FailureKind.CONTEXT_LENGTH,
    FailureKind.CONTENT_FILTER,
    FailureKind.REJECTED,
    FailureKind.UNSUPPORTED,
    FailureKind.NOT_FOUND,
    FailureKind.SATURATED,
    FailureKind.REFUSED_ADDRESS,
    FailureKind.INTERNAL,
}


def test_no_failure_is_a_success() -> None:
    assert outcome_of(None) is Outcome.SUCCESS


@pytest.mark.parametrize("kind", sorted(set(FailureKind) - INNOCENT))
def test_what_goes_wrong_at_the_provider_counts_a_dead_key_included(kind: FailureKind) -> None:
    assert outcome_of(upstream_error("no", "p", kind)) is Outcome.FAILURE


@pytest.mark.parametrize("kind", sorted(INNOCENT))
def test_the_callers_mistakes_a_missing_model_and_whatever_is_our_own_say_nothing(kind: FailureKind) -> None:
    assert outcome_of(upstream_error("no", "p", kind)) is Outcome.IGNORED
