"""How fast a target writes."""

from hypothesis import given
from hypothesis import strategies as st

from serve_app.resilience.speed import HALF_LIFE_S, Speed

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
        speed.add(10.0, 10 * HALF_LIFE_S)

    assert speed.p95 is not None
    assert speed.p95 < 13.0


def test_below_a_token_a_second_is_a_token_a_second() -> None:
    speed = Speed()
    speed.add(0.2, 0.0)

    assert speed.p95 == 1.0
