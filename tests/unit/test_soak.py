"""What a soak calls flat, and what it calls an outcome."""

from random import Random

import pytest

from tests.soak.callers import ANSWERED, outcome_of
from tests.soak.report import MOST_PER_HOUR, holds
from tests.soak.trend import trend

AT_S = [4.0 * n for n in range(100)]
DONE = b'data: {"choices": []}\n\ndata: [DONE]\n\n'
TOLD = b'data: {"choices": []}\n\ndata: {"error": {"code": "upstream_broken", "type": "x"}}\n\n'


def test_a_row_that_stays_where_it_is_is_flat() -> None:
    assert trend(AT_S, [100.0] * 100).is_flat(20)


def test_a_row_that_rises_has_its_slope_by_the_hour() -> None:
    found = trend(AT_S, [100 + at * 60 / 3600 for at in AT_S])

    assert found.per_hour == pytest.approx(60)
    assert not found.is_flat(20)
    assert found.start < found.end


def test_a_rise_shows_through_the_noise_around_it() -> None:
    rng = Random(1)

    assert not trend(AT_S, [100 + at * 60 / 3600 + rng.gauss(0, 0.5) for at in AT_S]).is_flat(20)
    assert trend(AT_S, [100 + rng.gauss(0, 0.5) for _ in AT_S]).is_flat(20)


def test_a_row_that_wanders_is_less_sure_of_its_slope_than_one_that_jumps() -> None:
    rng = Random(1)
    steps = [rng.gauss(0, 1) for _ in AT_S]
    wandering = [sum(steps[: n + 1]) for n in range(len(steps))]
    jumping = rng.sample(wandering, k=len(wandering))

    assert trend(AT_S, wandering).error > 2 * trend(AT_S, jumping).error


def test_a_row_too_short_to_judge_is_flat() -> None:
    assert trend(AT_S[:3], [1.0, 50.0, 900.0]).is_flat(20)


@pytest.mark.parametrize(
    ("status", "body", "streamed", "outcome"),
    [
        (200, b'{"choices": []}', False, ANSWERED),
        (200, b"<html>", False, "garbled"),
        (200, DONE, True, ANSWERED),
        (200, TOLD, True, "broke off, told: upstream_broken"),
        (200, b'data: {"choices": []}\n\n', True, "broke off without a word"),
        (503, b'{"error": {"code": null, "type": "overloaded"}}', False, "503 overloaded"),
        (500, b"Internal Server Error", False, "500 without a reason"),
    ],
)
def test_an_outcome_is_told_in_a_few_words(status: int, body: bytes, streamed: bool, outcome: str) -> None:
    assert outcome_of(status, body, streamed=streamed) == outcome


def test_a_soak_holds_only_where_nothing_grew_was_left_unexplained_or_late() -> None:
    flat = {"router": {name: trend(AT_S, [100.0] * 100) for name in MOST_PER_HOUR}}
    rising = {"router": {**flat["router"], "rss_mb": trend(AT_S, [100 + at * 60 / 3600 for at in AT_S])}}
    prompt, late = {("inline", "early"): [0.01]}, {("inline", "early"): [0.01, 0.3]}
    left = {"requests in flight": 0.0}

    assert holds(flat, left, {}, prompt)
    assert not holds(rising, left, {}, prompt)
    assert not holds(flat, {"requests in flight": 1.0}, {}, prompt)
    assert not holds(flat, left, {"500 without a reason": 1}, prompt)
    assert not holds(flat, left, {}, late)
