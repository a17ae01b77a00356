"""One moment for all attempts together."""

from serve_app.resilience.deadline import Deadline


def test_it_counts_down_to_nothing_and_not_below() -> None:
    deadline = Deadline.after(1000.0, 5.0)

    assert [deadline.remaining(now) for now in (1000, 1003, 1005, 1009)] == [5, 2, 0, 0]


def test_it_has_passed_from_its_very_moment_on() -> None:
    deadline = Deadline.after(1000.0, 5.0)

    assert [deadline.has_passed(now) for now in (1000, 1004.999, 1005, 1009)] == [False, False, True, True]


def test_no_time_at_all_has_passed_at_once() -> None:
    assert Deadline.after(1000.0, 0.0).has_passed(1000.0)
