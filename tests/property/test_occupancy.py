"""A machine's time is shared out to the last half millisecond, whoever comes and goes."""

from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from serve_app.pricing.occupancy import Occupancy

# After so many milliseconds somebody comes (None), or one of those that are there leaves.
happenings = st.lists(st.tuples(st.integers(0, 50_000), st.none() | st.integers(0, 30)), max_size=60)


@given(happenings)
def test_all_shares_together_are_the_busy_time_and_each_is_what_it_should_be(
    happenings: list[tuple[int, int | None]],
) -> None:
    machine = Occupancy()
    now = busy = 0
    came: dict[int, int] = {}
    exact: dict[int, Fraction] = {}
    told = 0

    def leaves(ticket: int) -> int:
        share = machine.leave(ticket, now / 1000)
        alone = now - came.pop(ticket)
        assert 0 <= share <= alone + 1
        assert abs(share - exact[ticket]) <= 1
        return share

    for passed, who in happenings:
        now += passed
        busy += passed if came else 0
        for ticket in came:
            exact[ticket] += Fraction(passed, len(came))
        if who is None or not came:
            ticket = machine.arrive(now / 1000)
            came[ticket], exact[ticket] = now, Fraction(0)
        else:
            told += leaves(sorted(came)[who % len(came)])
        assert machine.present == len(came)
    for ticket in list(came):
        told += leaves(ticket)

    assert abs(told - busy) <= 1
    assert sum(exact.values()) == busy


@given(st.floats(0, 1e9), st.integers(0, 10_000_000))
def test_a_lone_request_pays_its_whole_time(start: float, spent_ms: int) -> None:
    machine = Occupancy()

    share = machine.leave(machine.arrive(start), start + spent_ms / 1000)

    assert abs(share - spent_ms) <= 1
