"""One breaker, state by state."""

import pytest

from serve_app.config.policy import USUAL_BREAKER, BreakerPolicy
from serve_app.resilience.breaker import Breaker, BreakerState
from serve_app.resilience.outcome import Outcome
from serve_app.resilience.window import counted

POLICY = BreakerPolicy(failure_threshold=3, reset_timeout=60, half_open_timeout=30, success_threshold=2)
T0 = 1_000.0
CLOSED = Breaker(last_change=T0)
OPEN = Breaker(BreakerState.OPEN, failure_count=3, last_failure=T0, last_change=T0, openings=1)
HALF_OPEN = OPEN._replace(state=BreakerState.HALF_OPEN, last_change=T0 + 60)
PROBING = HALF_OPEN._replace(probe_until=T0 + 90)


def after(breaker: Breaker, *outcomes: Outcome, at: float = T0, probe: float | None = None) -> Breaker:
    for outcome in outcomes:
        breaker = breaker.heard(outcome, probe, at, POLICY)
    return breaker


def test_the_threshold_of_failures_in_a_row_opens_it() -> None:
    assert after(CLOSED, *[Outcome.FAILURE] * 2).state is BreakerState.CLOSED
    assert after(CLOSED, *[Outcome.FAILURE] * 3) == OPEN


def test_a_success_in_between_starts_the_count_again() -> None:
    breaker = after(CLOSED, Outcome.FAILURE, Outcome.FAILURE, Outcome.SUCCESS, Outcome.FAILURE)

    assert (breaker.state, breaker.failure_count, breaker.success_count) == (BreakerState.CLOSED, 1, 1)


def bereaved(breaker: Breaker, *replicas: str | None) -> Breaker:
    """After so many attempts that ended with the death of these replicas of ours."""
    for replica in replicas:
        breaker = breaker.heard(Outcome.FAILURE, None, T0, POLICY, replica)
    return breaker


def test_the_death_of_a_replica_is_one_failure_however_many_attempts_it_took_along() -> None:
    assert bereaved(CLOSED, *["a"] * 20, *["b"] * 20, *["a"] * 20).failure_count == 2
    assert bereaved(CLOSED, "a", "a", "b", "b", "c").state is BreakerState.OPEN


def test_who_loses_its_attempts_again_and_again_is_not_dead_and_counts_each_time() -> None:
    breaker = CLOSED
    for minutes in range(3):
        breaker = breaker.heard(Outcome.FAILURE, None, T0 + 60 * minutes, POLICY, "a")

    assert breaker.state is BreakerState.OPEN


@pytest.mark.parametrize(("later_s", "count"), [(10.0, 1), (-10.0, 1), (10.1, 2), (-10.1, 2)])
def test_what_a_dead_replica_had_is_lost_within_ten_seconds_whichever_clock_says_so(
    later_s: float, count: int
) -> None:
    breaker = bereaved(CLOSED, "a").heard(Outcome.FAILURE, None, T0 + later_s, POLICY, "a")

    assert breaker.failure_count == count


def test_the_last_failure_is_the_latest_one_in_whatever_order_they_are_heard() -> None:
    breaker = after(after(CLOSED, Outcome.FAILURE, at=T0 + 5), Outcome.FAILURE, at=T0 + 2)

    assert (breaker.failure_count, breaker.last_failure) == (2, T0 + 5)


def test_deaths_without_a_name_count_each() -> None:
    assert bereaved(CLOSED, None, None, None).state is BreakerState.OPEN


def test_who_dies_after_a_success_counts_anew() -> None:
    breaker = bereaved(after(bereaved(CLOSED, "a", "b"), Outcome.SUCCESS), "a")

    assert (breaker.state, breaker.failure_count) == (BreakerState.CLOSED, 1)


def test_what_does_not_count_changes_nothing() -> None:
    assert after(CLOSED, Outcome.IGNORED) == CLOSED
    assert after(OPEN, Outcome.IGNORED) == OPEN


def test_successes_before_the_outage_are_forgotten_when_it_opens() -> None:
    breaker = after(CLOSED, *[Outcome.SUCCESS] * 15, *[Outcome.FAILURE] * 3)

    assert (breaker.failure_count, breaker.success_count) == (3, 0)


@pytest.mark.parametrize(
    ("later_s", "state"),
    [(0, BreakerState.OPEN), (59.999, BreakerState.OPEN), (60, BreakerState.HALF_OPEN)],
)
def test_it_stays_open_until_its_time_is_up(later_s: float, state: BreakerState) -> None:
    assert OPEN.at(T0 + later_s, POLICY).state is state


def test_a_reset_timeout_of_nothing_is_over_at_the_next_look() -> None:
    at_once = POLICY.model_copy(update={"reset_timeout": 0})

    assert OPEN.at(T0, at_once).state is BreakerState.HALF_OPEN


def test_a_failure_while_open_is_told_and_does_not_prolong_the_wait() -> None:
    later = after(OPEN, Outcome.FAILURE, at=T0 + 30)

    assert later.last_failure == T0 + 30
    assert later.at(T0 + 60, POLICY).state is BreakerState.HALF_OPEN
    assert after(OPEN, Outcome.FAILURE, at=T0 - 30).last_failure == T0


def at_rate(*outcomes: Outcome, every_s: float = 0.5) -> Breaker:
    """After calls that end one after the other."""
    breaker = CLOSED
    for number, outcome in enumerate(outcomes):
        breaker = breaker.heard(outcome, None, T0 + number * every_s, BreakerPolicy())
    return breaker


F, S = Outcome.FAILURE, Outcome.SUCCESS


def test_half_of_ten_calls_within_ten_seconds_open_it_though_none_fail_in_a_row() -> None:
    breaker = at_rate(*[S, F] * 5)

    assert (breaker.state, breaker.failure_count, breaker.openings) == (BreakerState.OPEN, 5, 1)


@pytest.mark.parametrize(
    ("outcomes", "every_s"),
    [([S, F] * 4, 0.5), ([S, S, F] * 6, 0.5), ([S, F] * 20, 2.5)],
    ids=["too few calls", "too few of them", "too far apart"],
)
def test_less_than_that_does_not_open_it(outcomes: list[Outcome], every_s: float) -> None:
    assert at_rate(*outcomes, every_s=every_s).state is BreakerState.CLOSED


@pytest.mark.parametrize(("later_s", "state"), [(10, BreakerState.OPEN), (10.1, BreakerState.CLOSED)])
def test_a_success_that_completes_the_ten_calls_opens_it_while_the_failures_are_recent(
    later_s: float, state: BreakerState
) -> None:
    policy = BreakerPolicy(failure_rate=0.5, failure_rate_calls=1, failure_threshold=10)
    breaker = CLOSED._replace(last_failure=T0, window=counted(counted((), T0 + 9, True), T0 + 9, True))

    assert breaker.heard(S, None, T0 + later_s, policy).state is state


@pytest.mark.parametrize(("failures", "state"), [(2, BreakerState.OPEN), (1, BreakerState.CLOSED)])
def test_the_rate_that_opens_it_is_the_one_that_is_written(failures: int, state: BreakerState) -> None:
    policy, breaker = BreakerPolicy(failure_rate=0.25, failure_rate_calls=8, failure_threshold=10), CLOSED
    for outcome in [S] * (8 - failures) + [F] * failures:
        breaker = breaker.heard(outcome, None, T0, policy)

    assert breaker.state is state


def test_what_opened_it_by_the_rate_is_gone_when_it_is_closed_again() -> None:
    assert at_rate(*[S, F] * 5).window == ()


def test_who_wants_no_rate_has_none() -> None:
    policy, breaker = BreakerPolicy(failure_rate=None), CLOSED
    for outcome in [S, F] * 50:
        breaker = breaker.heard(outcome, None, T0, policy)

    assert breaker.state is BreakerState.CLOSED


def test_by_default_the_wait_is_twenty_seconds_and_doubles_while_only_paid_calls_can_tell() -> None:
    breaker, now, waits = CLOSED, T0, []
    for _ in range(USUAL_BREAKER.failure_threshold):
        breaker = breaker.heard(Outcome.FAILURE, None, now, USUAL_BREAKER)
    for _ in range(4):
        waits.append(breaker.opens_at(USUAL_BREAKER) - now)
        now = breaker.opens_at(USUAL_BREAKER)
        probing = breaker.probed(now, USUAL_BREAKER)
        assert probing is not None
        breaker = probing.heard(Outcome.FAILURE, probing.probe_until, now, USUAL_BREAKER)

    assert waits == [20, 40, 55, 55]


def test_a_wait_that_was_written_never_grows() -> None:
    policy = BreakerPolicy(reset_timeout=7)

    assert [policy.wait_s(openings) for openings in (1, 2, 9)] == [7, 7, 7]


@pytest.mark.parametrize(
    ("later_s", "state"),
    [(-1, BreakerState.OPEN), (4.9, BreakerState.OPEN), (5, BreakerState.HALF_OPEN)],
)
def test_a_check_that_finds_the_provider_well_lets_a_probe_through(
    later_s: float, state: BreakerState
) -> None:
    assert OPEN.heard(Outcome.WELL, None, T0 + later_s, USUAL_BREAKER).state is state


@pytest.mark.parametrize("breaker", [CLOSED, PROBING], ids=["closed", "probing"])
def test_a_check_says_nothing_about_a_provider_that_is_being_asked(breaker: Breaker) -> None:
    assert breaker.heard(Outcome.WELL, None, T0 + 100, USUAL_BREAKER) == breaker


def test_no_check_shortens_a_wait_that_was_written() -> None:
    assert after(OPEN, Outcome.WELL, at=T0 + 59) == OPEN


def test_a_success_while_open_is_from_before_the_outage() -> None:
    assert after(OPEN, Outcome.SUCCESS) == OPEN


def test_only_a_closed_breaker_admits_without_asking() -> None:
    assert CLOSED.admits_without_asking()
    assert not OPEN.admits_without_asking()
    assert not HALF_OPEN.admits_without_asking()


def test_there_is_one_probe_at_a_time() -> None:
    first = HALF_OPEN.probed(T0 + 60, POLICY)

    assert first == PROBING
    assert first.probe_is_out(T0 + 60)
    assert first.probed(T0 + 61, POLICY) is None


@pytest.mark.parametrize("breaker", [CLOSED, OPEN], ids=["closed", "open"])
def test_there_is_no_probe_where_there_is_nothing_to_try(breaker: Breaker) -> None:
    assert breaker.probed(T0 + 1, POLICY) is None


def test_an_open_breaker_whose_time_is_up_gives_its_probe_in_one_step() -> None:
    probed = OPEN.probed(T0 + 60, POLICY)

    assert probed == PROBING


def test_a_probe_without_a_verdict_is_forgotten_and_the_next_may_go() -> None:
    assert not PROBING.probe_is_out(T0 + 90)
    assert PROBING.probed(T0 + 90, POLICY) is not None


def test_enough_probes_that_succeed_close_it_with_nothing_counted() -> None:
    once = after(PROBING, Outcome.SUCCESS, probe=PROBING.probe_until, at=T0 + 61)
    assert (once.state, once.success_count, once.probe_until) == (BreakerState.HALF_OPEN, 1, None)

    twice = after(once, Outcome.SUCCESS, probe=PROBING.probe_until, at=T0 + 62)
    assert (twice.state, twice.failure_count, twice.success_count) == (BreakerState.CLOSED, 0, 0)
    assert twice.last_change == T0 + 62


def test_a_probe_that_fails_opens_it_and_the_waiting_starts_again() -> None:
    breaker = after(PROBING, Outcome.FAILURE, probe=PROBING.probe_until, at=T0 + 61)

    assert (breaker.state, breaker.failure_count, breaker.probe_until) == (BreakerState.OPEN, 4, None)
    assert breaker.at(T0 + 120, POLICY).state is BreakerState.OPEN
    assert breaker.at(T0 + 121, POLICY).state is BreakerState.HALF_OPEN


def test_a_probe_that_proved_nothing_lets_another_try() -> None:
    breaker = after(PROBING, Outcome.IGNORED, probe=PROBING.probe_until, at=T0 + 61)

    assert (breaker.state, breaker.success_count) == (BreakerState.HALF_OPEN, 0)
    assert breaker.probed(T0 + 61, POLICY) is not None


def test_a_probe_that_reports_late_does_not_let_a_second_one_out() -> None:
    second = PROBING.probed(T0 + 90, POLICY)
    assert second is not None

    late = after(second, Outcome.SUCCESS, probe=PROBING.probe_until, at=T0 + 91)

    assert late.probed(T0 + 92, POLICY) is None


@pytest.mark.parametrize("outcome", Outcome)
def test_while_half_open_only_probes_have_a_say(outcome: Outcome) -> None:
    assert after(PROBING, outcome, at=T0 + 61) == PROBING


@pytest.mark.parametrize("breaker", [CLOSED, OPEN, PROBING], ids=["closed", "open", "probing"])
def test_reset_closes_it_with_nothing_held_against_the_provider(breaker: Breaker) -> None:
    assert breaker.reset(T0 + 5) == Breaker(last_change=T0 + 5)
