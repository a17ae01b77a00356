"""Which models of an upstream may be asked to tell the usage of a stream."""

from serve_app.errors import FailureKind, UpstreamError, upstream_error
from serve_app.providers.http.usage_asked import MOST_PLACES, MOST_VAIN_TRIES, UsageAsked

HERE = (None, "m")


def refusal(
    message: str = "no", status: int = 422, kind: FailureKind = FailureKind.REJECTED
) -> UpstreamError:
    return upstream_error(message, "p", kind, upstream_status=status)


def test_a_place_that_refuses_the_question_is_not_asked_again() -> None:
    asked = UsageAsked()

    assert asked.may_ask(HERE)
    assert asked.is_worth_a_try_without(HERE, refusal())
    asked.passed_without(HERE)
    assert not asked.may_ask(HERE)
    assert asked.may_ask((None, "other"))
    assert asked.may_ask(("http://elsewhere/v1", "m"))


def test_a_place_that_takes_the_question_refuses_requests_for_other_reasons() -> None:
    asked = UsageAsked()
    asked.passed(HERE)

    assert not asked.is_worth_a_try_without(HERE, refusal())
    assert asked.is_worth_a_try_without(HERE, refusal("stream_options: extra inputs are not permitted"))


def test_only_so_many_requests_are_sent_twice_in_vain() -> None:
    asked = UsageAsked()
    for _ in range(MOST_VAIN_TRIES):
        assert asked.is_worth_a_try_without(HERE, refusal())
        asked.refused_without(HERE)

    assert not asked.is_worth_a_try_without(HERE, refusal())


def test_a_refusal_for_another_reason_is_never_answered_by_a_second_try() -> None:
    asked = UsageAsked()

    assert not asked.is_worth_a_try_without(HERE, refusal(status=404))
    assert not asked.is_worth_a_try_without(HERE, refusal(status=400, kind=FailureKind.CONTENT_FILTER))
    assert not asked.is_worth_a_try_without(HERE, refusal(status=429, kind=FailureKind.RATE_LIMITED))


def test_what_is_remembered_is_bounded() -> None:
    asked = UsageAsked()
    for number in range(MOST_PLACES + 1):
        asked.passed_without((f"http://host-{number}", "m"))

    assert asked.may_ask(("http://host-0", "m"))
    assert not asked.may_ask((f"http://host-{MOST_PLACES}", "m"))
