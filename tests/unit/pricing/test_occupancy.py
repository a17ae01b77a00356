"""Whose time a machine's time is."""

from serve_app.pricing.occupancy import Occupancy


def test_a_lone_request_pays_all_of_its_time() -> None:
    machine = Occupancy()
    ticket = machine.arrive(100.0)

    assert machine.leave(ticket, 102.5) == 2500


def test_two_at_once_pay_half_each() -> None:
    machine = Occupancy()
    first, second = machine.arrive(5.0), machine.arrive(5.0)

    assert (machine.leave(first, 7.0), machine.leave(second, 7.0)) == (1000, 1000)


def test_three_that_overlap_worked_out_by_hand() -> None:
    """
    Of twelve busy seconds.

        a   0 ------------------ 9           0-3 alone, 3-6 of two, 6-9 of three:  3 + 1.5 + 1  = 5.5
        b          3 ------------------ 12   3-6 of two, 6-9 of three, 9-12 of two: 1.5 + 1 + 1.5 = 4
        c                 6 ----------- 12   6-9 of three, 9-12 of two:             1 + 1.5       = 2.5
    """
    machine = Occupancy()
    a = machine.arrive(0.0)
    b = machine.arrive(3.0)
    c = machine.arrive(6.0)

    assert machine.present == 3
    assert [machine.leave(a, 9.0), machine.leave(b, 12.0), machine.leave(c, 12.0)] == [5500, 4000, 2500]
    assert machine.present == 0


def test_an_idle_machine_belongs_to_nobody() -> None:
    machine = Occupancy()
    first = machine.leave(machine.arrive(0.0), 1.0)
    second = machine.leave(machine.arrive(1000.0), 1001.0)

    assert (first, second) == (1000, 1000)


def test_who_leaves_twice_is_gone_the_first_time() -> None:
    machine = Occupancy()
    stays, leaves = machine.arrive(0.0), machine.arrive(0.0)

    assert machine.leave(leaves, 2.0) == 1000
    assert machine.leave(leaves, 4.0) == 0
    assert machine.leave(stays, 4.0) == 3000


def test_thousands_of_short_requests_are_not_free() -> None:
    """Each takes 0.3 ms, which would be rounded to nothing ten thousand times."""
    machine = Occupancy()

    shares = [machine.leave(machine.arrive(n * 0.0003), (n + 1) * 0.0003) for n in range(10_000)]

    assert sum(shares) == 3000
    assert set(shares) == {0, 1}


def test_a_clock_that_goes_back_takes_nothing_away() -> None:
    machine = Occupancy()
    ticket = machine.arrive(10.0)

    assert machine.leave(ticket, 9.0) == 0
