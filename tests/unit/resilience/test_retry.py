"""What follows a failed attempt, one row of the table at a time."""

import pytest

from serve_app.config.policy import RetryPolicy
from serve_app.errors import FailureKind, ReplicaLost, upstream_error
from serve_app.resilience.retry import NextStep, Outlook, Retry, Tried, next_step

POLICY = RetryPolicy(max_retries=3, first_delay_s=1, factor=2, max_delay_s=3, retry_after_max_s=10)
USUAL = RetryPolicy()
LONG = 1000.0

Kind = FailureKind


def after(
    kind: FailureKind,
    retries: int = 0,
    status: int | None = None,
    wait_s: float | None = None,
    remaining_s: float = LONG,
    chance: float = 0.0,
    policy: RetryPolicy = POLICY,
    took_s: float = 0.1,
    has_begun: bool = False,
    **told: bool,
) -> Retry | NextStep:
    """What follows a failure of that kind."""
    error = upstream_error("no", "p", kind, status, wait_s)
    return next_step(Tried(error, retries, took_s, has_begun), policy, Outlook(remaining_s, **told), chance)


@pytest.mark.parametrize(
    ("kind", "status", "step"),
    [
        (Kind.RATE_LIMITED, 429, Retry(1)),
        (Kind.OVERLOADED, 503, Retry(1)),
        (Kind.OVERLOADED, 529, Retry(1)),
        (Kind.BROKEN, 500, Retry(1)),
        (Kind.BROKEN, 200, Retry(1)),  # a web page, half an answer, one over the limit
        (Kind.TIMEOUT, 504, Retry(1)),  # it answered, and said that it was busy
        (Kind.TIMEOUT, 400, Retry(1)),
        (Kind.TIMEOUT, 399, NextStep.FALLBACK),  # no refusal, and then silence
        (Kind.UNREACHABLE, None, Retry(0)),  # most often an idle connection that was closed just then
        (Kind.TIMEOUT, None, NextStep.FALLBACK),  # a limit of ours: it has had its chance
        (Kind.SATURATED, None, NextStep.FALLBACK),
        (Kind.AUTH, 401, NextStep.FALLBACK),
        (Kind.AUTH, 403, NextStep.FALLBACK),
        (Kind.NOT_FOUND, 404, NextStep.FALLBACK),
        (Kind.CONTEXT_LENGTH, 400, NextStep.LARGER_CONTEXT),
        (Kind.CONTENT_FILTER, 400, NextStep.GIVE_UP),
        (Kind.REJECTED, 400, NextStep.GIVE_UP),
        (Kind.REJECTED, 422, NextStep.GIVE_UP),
    ],
    ids=str,
)
def test_the_kind_of_failure_decides(kind: FailureKind, status: int | None, step: Retry | NextStep) -> None:
    assert after(kind, status=status) == step


def test_waits_grow_by_the_factor_up_to_their_limit() -> None:
    steps = [after(Kind.OVERLOADED, retries) for retries in range(4)]

    assert steps == [Retry(1), Retry(2), Retry(3), NextStep.FALLBACK]


def test_the_wait_of_a_broken_connection_begins_with_its_second_retry() -> None:
    steps = [after(Kind.UNREACHABLE, retries) for retries in range(4)]

    assert steps == [Retry(0), Retry(1), Retry(2), NextStep.FALLBACK]


def test_without_retries_every_failure_leaves_the_target() -> None:
    policy = RetryPolicy(max_retries=0)

    steps = [after(kind, policy=policy) for kind in Kind]

    assert not any(isinstance(step, Retry) for step in steps)


def test_chance_adds_up_to_a_quarter_and_takes_nothing_away() -> None:
    assert after(Kind.OVERLOADED, chance=1.0) == Retry(1.25)
    assert after(Kind.RATE_LIMITED, wait_s=4, chance=1.0) == Retry(4 * 1.25)


@pytest.mark.parametrize("kind", [Kind.RATE_LIMITED, Kind.OVERLOADED, Kind.BROKEN], ids=str)
def test_what_the_provider_announces_counts_instead_of_the_backoff(kind: FailureKind) -> None:
    assert after(kind, wait_s=7) == Retry(7)
    assert after(kind, retries=2, wait_s=0.1) == Retry(0.1)


def test_an_announced_wait_above_the_limit_leaves_the_target() -> None:
    assert after(Kind.RATE_LIMITED, wait_s=10) == Retry(10)
    assert after(Kind.RATE_LIMITED, wait_s=10.1) is NextStep.FALLBACK


def test_a_wait_of_nothing_is_none_announced() -> None:
    assert after(Kind.RATE_LIMITED, wait_s=0) == Retry(1)


@pytest.mark.parametrize(
    ("remaining_s", "step"), [(1.1, Retry(1)), (1.0, NextStep.FALLBACK), (0.0, NextStep.FALLBACK)]
)
def test_a_wait_that_would_outlive_the_deadline_is_not_begun(
    remaining_s: float, step: Retry | NextStep
) -> None:
    assert after(Kind.OVERLOADED, remaining_s=remaining_s) == step


def test_a_target_that_stands_in_speaks_for_itself_only() -> None:
    assert after(Kind.REJECTED, stands_in=True) is NextStep.FALLBACK


@pytest.mark.parametrize("stands_in", [False, True])
def test_what_one_vendor_has_flagged_is_shown_to_no_other(stands_in: bool) -> None:
    assert after(Kind.CONTENT_FILTER, stands_in=stands_in) is NextStep.GIVE_UP


@pytest.mark.parametrize("stands_in", [False, True])
def test_an_exception_of_our_own_is_not_tried_again_anywhere(stands_in: bool) -> None:
    assert after(Kind.INTERNAL, stands_in=stands_in) is NextStep.GIVE_UP


def test_one_filters_verdict_may_be_told_to_be_no_others() -> None:
    assert after(Kind.CONTENT_FILTER, passes_filter=True) is NextStep.FALLBACK
    assert after(Kind.REJECTED, passes_filter=True) is NextStep.GIVE_UP


def test_a_request_that_is_too_long_needs_a_larger_model_wherever_it_fails() -> None:
    assert after(Kind.CONTEXT_LENGTH, stands_in=True) is NextStep.LARGER_CONTEXT


# While somebody else can be asked


@pytest.mark.parametrize("kind", [Kind.RATE_LIMITED, Kind.OVERLOADED, Kind.BROKEN, Kind.UNREACHABLE], ids=str)
def test_while_another_target_can_be_asked_there_is_one_quick_retry(kind: FailureKind) -> None:
    steps = [after(kind, n, policy=USUAL, has_other=True) for n in range(2)]

    assert steps == [Retry(0 if kind is Kind.UNREACHABLE else 0.5), NextStep.FALLBACK]


def test_the_last_target_gets_all_the_patience() -> None:
    assert [after(Kind.OVERLOADED, n, policy=USUAL) for n in range(4)] == [
        Retry(1),
        Retry(2),
        Retry(4),
        NextStep.FALLBACK,
    ]


def test_retries_that_are_written_count_at_every_target() -> None:
    policy = RetryPolicy(max_retries=2, first_delay_s=0.7)

    steps = [after(Kind.OVERLOADED, n, policy=policy, has_other=True) for n in range(3)]

    assert steps == [Retry(0.7), Retry(1.4), NextStep.FALLBACK]


@pytest.mark.parametrize(("wait_s", "step"), [(2, Retry(2)), (3, Retry(3)), (3.1, NextStep.FALLBACK)])
def test_only_a_short_announced_wait_is_kept_while_another_target_can_be_asked(
    wait_s: float, step: Retry | NextStep
) -> None:
    assert after(Kind.RATE_LIMITED, wait_s=wait_s, policy=USUAL, has_other=True) == step
    assert after(Kind.RATE_LIMITED, wait_s=wait_s, policy=USUAL) == Retry(wait_s)


@pytest.mark.parametrize("kind", [Kind.BROKEN, Kind.UNREACHABLE, Kind.OVERLOADED], ids=str)
@pytest.mark.parametrize("has_other", [True, False])
def test_a_target_whose_answer_was_cut_is_not_asked_again(kind: FailureKind, has_other: bool) -> None:
    assert after(kind, has_begun=True, has_other=has_other) is NextStep.FALLBACK


@pytest.mark.parametrize(
    ("kind", "status", "alone", "with_others"),
    [
        (
            Kind.UNREACHABLE,
            None,
            NextStep.FALLBACK,
            NextStep.FALLBACK,
        ),  # said nothing, and broke the connection in the end
        (Kind.BROKEN, 200, NextStep.FALLBACK, NextStep.FALLBACK),
        (Kind.OVERLOADED, 503, Retry(1), NextStep.FALLBACK),  # said in the end that it was busy
    ],
    ids=str,
)
def test_an_attempt_that_has_burnt_time_is_not_made_again(
    kind: FailureKind, status: int | None, alone: Retry | NextStep, with_others: Retry | NextStep
) -> None:
    assert after(kind, status=status, policy=USUAL, took_s=5.1) == alone
    assert after(kind, status=status, policy=USUAL, took_s=5.1, has_other=True) == with_others
    assert isinstance(after(kind, status=status, policy=USUAL, took_s=5.0, has_other=True), Retry)


def test_a_replica_that_died_says_nothing_about_the_next_one_of_the_same_target() -> None:
    lost = Tried(ReplicaLost("gone", "p", "a"), took_s=100.0, has_begun=True)

    assert next_step(lost, USUAL, Outlook(LONG, has_other=True), 0.0) == Retry(0)
