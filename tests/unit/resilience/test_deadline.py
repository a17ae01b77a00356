"""One moment for all attempts together."""

from serve_app.resilience.deadline import Deadline


def test_it_counts_down_to_nothing_and_not_below() -> None:
    deadline = Deadline.after(1000.0, 5.0)

    assert [deadline.remaining(now) for now in (1000, 1003, 1005, 1009)] == [5, 2, 0, 0]
