"""How fast a target writes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serve_app.resilience.speed import Speed

speeds = st.floats(1.0, 30_000.0)


@given(st.lists(speeds, min_size=1, max_size=200))
def test_nineteen_of_twenty_answers_are_no_faster(seen: list[float]) -> None:
    speed = Speed()
    for tokens_per_s in seen:
        speed.add(tokens_per_s, 0.0)

    p95 = speed.p95
    assert p95 is not None
    assert sum(tokens_per_s <= p95 * (1 + 1e-9) for tokens_per_s in seen) >= 0.95 * len(seen) - 1e-9
    assert p95 <= 1.25 * max(seen) * (1 + 1e-9), "nobody pays for a speed that was never seen"


def test_nothing_is_known_before_the_first_answer() -> None:
    assert Speed().p95 is None


def test_what_was_long_ago_is_forgotten() -> None:
    speed = Speed()
    for _ in range(20):
        speed.add(1000.0, 0.0)
    for _ in range(20):
        speed.add(10.0, 6000.0)

    assert speed.p95 is not None
    assert speed.p95 < 13.0


def test_below_a_token_a_second_is_a_token_a_second() -> None:
    speed = Speed()
    speed.add(0.2, 0.0)

    assert speed.p95 == 1.0


@pytest.mark.parametrize(("later_s", "p95"), [(600, 1.25**11), (599, 1.25**31)])
def test_an_answer_counts_half_after_ten_minutes(later_s: float, p95: float) -> None:
    speed = Speed()
    for _ in range(2):
        speed.add(1000.0, 1_000.0)
    for _ in range(19):
        speed.add(10.0, 1_000.0 + later_s)

    assert speed.p95 == p95, "one of twenty answers may be faster"


def test_an_answer_that_is_told_late_makes_nobody_older() -> None:
    speed = Speed()
    for at in (1_000.0, 400.0, 1_000.0):
        speed.add(10.0 if at == 400.0 else 1000.0, at)

    assert speed.p95 == 1.25**31


def test_no_speed_is_too_high_to_be_counted() -> None:
    speed = Speed()
    speed.add(1e9, 0.0)

    assert speed.p95 == 1.25**47
