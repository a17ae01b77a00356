"""The breaker as a class of its own, with what code written for its names relies on."""

import asyncio
import logging
from datetime import datetime, timedelta

import pytest

from serve_app.clients.bridge import CircuitBreaker, CircuitOpen, CircuitState
from serve_app.errors import FailureKind, InvalidRequest, upstream_error
from tests.support.clock import FakeClock


def breaker(clock: FakeClock | None = None, **numbers: float) -> CircuitBreaker:
    settings = {"failure_threshold": 3, "timeout_secs": 60, "success_threshold": 2, **numbers}
    return CircuitBreaker(**settings, name="p", clock=clock or FakeClock())


def opened(clock: FakeClock, **numbers: float) -> CircuitBreaker:
    cb = breaker(clock, **numbers)
    for _ in range(3):
        cb.record_failure()
    return cb


def half_open(clock: FakeClock) -> CircuitBreaker:
    cb = opened(clock)
    clock.advance(60)
    assert cb.is_open() is False
    return cb


@pytest.mark.contract(40)
def test_the_third_failure_in_a_row_opens_it() -> None:
    cb = breaker()
    assert (cb.state, cb.is_open()) == (CircuitState.CLOSED, False)

    cb.record_failure()
    cb.record_failure(Exception("down"))
    assert (cb.state, cb.is_open()) == (CircuitState.CLOSED, False)

    cb.record_failure()
    assert (cb.state, cb.is_open()) == (CircuitState.OPEN, True)


@pytest.mark.contract(41)
def test_a_success_starts_the_count_again() -> None:
    cb = breaker()
    cb.record_failure()
    cb.record_failure()
    cb.record_success()
    assert (cb.failure_count, cb.success_count) == (0, 1)

    cb.record_failure()
    cb.record_failure()
    assert not cb.is_open()
    cb.record_failure()
    assert cb.is_open()


@pytest.mark.contract(42)
def test_two_successes_close_it_again() -> None:
    clock = FakeClock()
    cb = opened(clock)
    clock.advance(59.9)
    assert cb.is_open()

    clock.advance(0.1)
    assert cb.is_open() is False
    assert cb.get_state() is CircuitState.HALF_OPEN
    cb.record_success()
    assert cb.state is CircuitState.HALF_OPEN
    cb.record_success()
    assert (cb.state, cb.failure_count, cb.success_count) == (CircuitState.CLOSED, 0, 0)


@pytest.mark.contract(43)
def test_a_failure_while_half_open_opens_it_at_once() -> None:
    clock = FakeClock()
    cb = half_open(clock)

    cb.record_failure()

    assert (cb.state, cb.success_count) == (CircuitState.OPEN, 0)


@pytest.mark.contract(44)
def test_the_state_that_is_read_never_moves_by_itself() -> None:
    cb = opened(FakeClock(), timeout_secs=0)
    assert cb.state is CircuitState.OPEN
    assert cb.state is CircuitState.OPEN

    assert cb.is_open() is False
    assert cb.get_state() is CircuitState.HALF_OPEN


@pytest.mark.contract(44)
def test_a_last_failure_set_back_makes_time_pass() -> None:
    clock = FakeClock()
    cb = opened(clock, timeout_secs=1)
    assert cb.is_open()

    cb.last_failure_time = datetime.fromtimestamp(clock.now()) - timedelta(seconds=2)

    assert cb.state is CircuitState.OPEN
    assert cb.is_open() is False
    assert cb.get_state() is CircuitState.HALF_OPEN


def test_the_last_failure_is_told_in_local_time_without_a_zone() -> None:
    clock = FakeClock()
    cb = breaker(clock)
    assert cb.last_failure_time is None

    cb.record_failure()

    assert cb.last_failure_time == datetime.fromtimestamp(clock.now())
    assert cb.last_failure_time.tzinfo is None


def test_half_open_is_not_open_however_many_look() -> None:
    cb = half_open(FakeClock())

    assert [cb.is_open() for _ in range(5)] == [False] * 5


def test_a_failure_while_open_starts_the_waiting_again() -> None:
    clock = FakeClock()
    cb = opened(clock)
    clock.advance(59)
    cb.record_failure()
    clock.advance(59)

    assert cb.is_open()


@pytest.mark.contract(45)
def test_reset_closes_it_with_nothing_counted() -> None:
    cb = opened(FakeClock())

    cb.reset()

    assert (cb.state, cb.failure_count, cb.success_count) == (CircuitState.CLOSED, 0, 0)
    assert cb.last_failure_time is None


@pytest.mark.contract(45)
def test_an_operator_sees_the_numbers_of_a_breaker() -> None:
    clock = FakeClock()
    cb = opened(clock)
    clock.advance(5)

    assert cb.get_stats() == {
        "state": "open",
        "failure_count": 3,
        "success_count": 0,
        "last_failure_time": "1970-01-12T13:46:40.000Z",
        "last_failure": "1970-01-12T13:46:40.000Z",
        "last_state_change": "1970-01-12T13:46:40.000Z",
        "time_since_failure": 5.0,
    }


@pytest.mark.contract(47)
def test_the_defaults_are_the_configurations() -> None:
    policy = CircuitBreaker().policy

    assert (policy.failure_threshold, policy.reset_timeout, policy.half_open_timeout) == (5, 60, 30)
    assert policy.success_threshold == 2
    assert CircuitBreaker(reset_timeout=7).policy == CircuitBreaker(timeout_secs=7).policy


@pytest.mark.parametrize(
    "error",
    [InvalidRequest("no"), upstream_error("too long", "p", FailureKind.CONTEXT_LENGTH, 400)],
    ids=["refused here", "refused there"],
)
def test_what_the_caller_got_wrong_does_not_count(error: Exception) -> None:
    cb = breaker()

    cb.record_failure(error)

    assert cb.failure_count == 0


def test_half_open_lets_one_call_through_at_a_time() -> None:
    cb = half_open(FakeClock())

    with cb.attempt():
        with pytest.raises(CircuitOpen, match="'p' is half_open"), cb.attempt():
            pytest.fail("two probes are out")
        assert cb.is_open() is False
    with cb.attempt():
        pass

    assert cb.state is CircuitState.CLOSED


def test_a_call_that_is_cancelled_proves_nothing_and_lets_another_try() -> None:
    cb = half_open(FakeClock())

    with pytest.raises(asyncio.CancelledError), cb.attempt():
        raise asyncio.CancelledError

    assert (cb.state, cb.success_count) == (CircuitState.HALF_OPEN, 0)
    with cb.attempt():
        pass
    assert cb.success_count == 1


def test_a_probe_that_never_comes_back_is_forgotten() -> None:
    clock = FakeClock()
    cb = half_open(clock)
    lost = cb.attempt()
    lost.__enter__()

    clock.advance(30)

    with cb.attempt():
        pass
    assert cb.success_count == 1


def test_a_refusal_says_when_to_come_back() -> None:
    clock = FakeClock()
    cb = opened(clock)
    clock.advance(20)

    with pytest.raises(CircuitOpen) as refusal, cb.attempt():
        pytest.fail("called although it is open")

    assert isinstance(refusal.value, RuntimeError)
    assert (refusal.value.status, refusal.value.retry_after_s, refusal.value.retryable) == (503, 40, True)


def test_every_change_of_state_is_logged_as_one_of_the_circuit_breaker(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.INFO):
        half_open(FakeClock()).reset()

    assert caplog.messages == [
        "circuit breaker of 'p': closed -> open (failures in a row: 3)",
        "circuit breaker of 'p': open -> half_open (failures in a row: 3)",
        "circuit breaker of 'p': half_open -> closed (failures in a row: 0)",
    ]
