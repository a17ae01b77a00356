"""An average that forgets with time."""

import pytest

from serve_app.resilience.latency import Latency


def mean(*samples: tuple[float, float]) -> float | None:
    """The mean after samples of (seconds, seen at)."""
    latency = Latency()
    for seconds, now in samples:
        latency.add(seconds, now)
    return latency.mean_s


def test_before_the_first_sample_nothing_is_known() -> None:
    assert mean() is None


def test_a_first_sample_of_nothing_is_still_a_sample() -> None:
    assert mean((0.0, 1000)) == 0.0


def test_samples_of_one_moment_count_alike() -> None:
    assert mean((1.0, 1000), (2.0, 1000), (6.0, 1000)) == pytest.approx(3.0)


def test_a_sample_counts_half_after_its_half_life() -> None:
    assert mean((1.0, 1000), (4.0, 1000 + 60)) == pytest.approx((0.5 * 1 + 4) / 1.5)


def test_what_was_long_ago_hardly_counts() -> None:
    assert mean((9.0, 1000), (1.0, 1000 + 20 * 60)) == pytest.approx(1.0, abs=1e-4)


def test_a_sample_that_comes_late_counts_in_full_and_turns_no_clock_back() -> None:
    assert mean((1.0, 1000), (3.0, 990), (5.0, 1000)) == pytest.approx(3.0)
