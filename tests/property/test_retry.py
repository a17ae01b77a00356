"""Whatever fails, and however often: what the next step never does."""

from hypothesis import given
from hypothesis import strategies as st

from serve_app.config.policy import RetryPolicy
from serve_app.errors import FailureKind, UpstreamError, upstream_error
from serve_app.resilience.retry import JITTER, QUICK_S, NextStep, Outlook, Retry, Tried, next_step

KINDS = st.sampled_from(FailureKind)
STATUSES = st.none() | st.integers(400, 599)
WAITS = st.none() | st.floats(0, 1000)
LEFT = st.floats(0, 4000)
CHANCES = st.floats(0, 1, exclude_max=True)
ERRORS = st.builds(
    upstream_error, st.just("no"), st.just("p"), KINDS, upstream_status=STATUSES, retry_after_s=WAITS
)
POLICIES = st.builds(
    RetryPolicy,
    max_retries=st.integers(0, 20),
    first_delay_s=st.floats(0, 60),
    factor=st.floats(1, 10),
    max_delay_s=st.floats(0, 600),
    retry_after_max_s=st.floats(0, 600),
)


@given(ERRORS, st.integers(0, 30), POLICIES, LEFT, CHANCES, st.booleans(), st.booleans())
def test_a_retry_is_within_the_deadline_and_the_policy_and_never_before_its_time(
    error: UpstreamError,
    retries: int,
    policy: RetryPolicy,
    left_s: float,
    chance: float,
    stands_in: bool,
    passes_filter: bool,
) -> None:
    outlook = Outlook(left_s, stands_in=stands_in, passes_filter=passes_filter)
    step = next_step(Tried(error, retries), policy, outlook, chance)

    if isinstance(step, NextStep):
        return
    assert 0 <= step.after_s < left_s
    assert retries < policy.max_retries
    assert error.retryable
    announced_s = error.retry_after_s or 0.0
    assert announced_s <= policy.retry_after_max_s
    assert step.after_s >= announced_s


@given(ERRORS, POLICIES, LEFT, CHANCES, st.booleans())
def test_a_target_is_left_after_no_more_than_its_retries(
    error: UpstreamError, policy: RetryPolicy, left_s: float, chance: float, stands_in: bool
) -> None:
    attempts = 1
    while isinstance(
        step := next_step(Tried(error, attempts - 1), policy, Outlook(left_s, stands_in=stands_in), chance),
        Retry,
    ):
        left_s -= step.after_s
        attempts += 1

    assert left_s >= 0
    assert attempts <= 1 + policy.max_retries


@given(KINDS, st.integers(0, 19), POLICIES, CHANCES)
def test_where_nobody_announces_a_wait_the_next_is_never_shorter(
    kind: FailureKind, retries: int, policy: RetryPolicy, chance: float
) -> None:
    error = upstream_error("no", "p", kind)
    steps = [next_step(Tried(error, n), policy, Outlook(1e9), chance) for n in (retries, retries + 1)]
    waits = [step.after_s for step in steps if isinstance(step, Retry)]

    assert waits == sorted(waits)


@given(KINDS, STATUSES, st.booleans(), st.booleans())
def test_every_failure_has_an_answer_and_a_caller_to_hear_it(
    kind: FailureKind, status: int | None, stands_in: bool, passes_filter: bool
) -> None:
    error = upstream_error("no", "p", kind, status)
    outlook = Outlook(1e9, stands_in=stands_in, passes_filter=passes_filter)
    step = next_step(Tried(error), RetryPolicy(), outlook, 0.0)

    assert isinstance(step, Retry | NextStep)
    assert isinstance(step, Retry) <= error.retryable
    is_ours = kind is FailureKind.INTERNAL
    assert error.callers_fault or is_ours or step is not NextStep.GIVE_UP


@given(KINDS, STATUSES, CHANCES, st.floats(0, 600))
def test_while_another_target_can_be_asked_all_waits_together_are_short(
    kind: FailureKind, status: int | None, chance: float, took_s: float
) -> None:
    error, waited_s, retries = upstream_error("no", "p", kind, status), 0.0, 0
    outlook = Outlook(1e9, has_other=True)
    while isinstance(step := next_step(Tried(error, retries, took_s), RetryPolicy(), outlook, chance), Retry):
        waited_s += step.after_s
        retries += 1

    assert waited_s <= QUICK_S * (1 + JITTER)
    assert retries <= 1


@given(ERRORS, POLICIES, CHANCES, st.booleans())
def test_a_target_that_was_silent_or_cut_is_never_asked_again(
    error: UpstreamError, policy: RetryPolicy, chance: float, other: bool
) -> None:
    cut = Tried(error, has_begun=True)
    silent = Tried(upstream_error("no", "p", FailureKind.TIMEOUT), took_s=15.0)

    for tried in (cut, silent):
        assert not isinstance(next_step(tried, policy, Outlook(1e9, other), chance), Retry)
