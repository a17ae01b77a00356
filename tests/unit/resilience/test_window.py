"""Counts of the last ten seconds, by the second."""

from hypothesis import given
from hypothesis import strategies as st

from serve_app.resilience.window import Window, calls_in, counted, failure_rate, failures_in

CALLS = st.lists(st.tuples(st.integers(0, 40), st.booleans()), max_size=60)


@given(CALLS)
def test_it_counts_what_ended_within_the_last_seconds_in_whatever_order(
    calls: list[tuple[int, bool]],
) -> None:
    window: Window = ()
    for at, failed in calls:
        window = counted(window, at + 0.5, failed)

    newest = max((at for at, _ in calls), default=0)
    recent = [failed for at, failed in calls if at > newest - 10]
    if calls == sorted(calls, key=lambda call: call[0]):
        assert calls_in(window) == len(recent)
        assert failures_in(window) == sum(recent)
    assert calls_in(window) <= len(recent)
    assert len(window) <= 10
    assert [second for second, _, _ in window] == sorted({second for second, _, _ in window})


def test_the_failure_rate_is_of_the_calls_that_are_still_in_the_window() -> None:
    window: Window = ()
    for at, failed in ((100.0, True), (105.0, True), (105.5, False), (109.0, False)):
        window = counted(window, at, failed)

    assert failure_rate((), 100.0) is None
    assert failure_rate(window, 109.9) == 0.5
    assert (
        failure_rate(window, 110.0) == 1 / 3
    )  # a window of which nothing was counted since grows old as well
    assert failure_rate(window, 115.0) == 0.0
    assert failure_rate(window, 119.0) is None
