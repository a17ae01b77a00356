"""The idle time of a machine: whatever its requests did not have, once."""

from hypothesis import given
from hypothesis import strategies as st

from serve_app.ledger.entry import IDLE, NOT_A_TENANT
from serve_app.ledger.idle_time import IdleTime
from serve_app.pricing.money import nano_dollars
from serve_app.pricing.occupancy import Occupancy

HOURLY = nano_dollars(3.6)  # a thousandth of a dollar each second


def idle_time(since: float = 0.0) -> IdleTime:
    return IdleTime("idle-r1", "home", "tiny", HOURLY, since)


def test_a_minute_of_which_a_quarter_was_used_leaves_three() -> None:
    entry = idle_time(since=100.0).entry(at=1e9, now=160.0, busy_s=15.0)

    assert entry is not None
    assert (entry.operation, entry.tenant, entry.provider_id) == (IDLE, NOT_A_TENANT, "home")
    assert entry.usage.machine_ms == 45_000
    assert entry.usage.total_tokens == entry.usage.requests == 0
    assert entry.cost == nano_dollars(0.045)


def test_a_machine_that_was_always_busy_writes_nothing_down() -> None:
    assert idle_time().entry(at=1e9, now=60.0, busy_s=60.0) is None


def test_entries_are_numbered_and_tell_no_moment_twice() -> None:
    idle = idle_time()

    first = idle.entry(at=1e9, now=60.0, busy_s=0.0)
    again = idle.entry(at=1e9, now=60.0, busy_s=0.0)
    second = idle.entry(at=1e9, now=90.0, busy_s=10.0)

    assert first is not None
    assert again is None
    assert second is not None
    assert (first.number, second.number) == (1, 2)
    assert second.usage.machine_ms == 20_000


@given(st.lists(st.tuples(st.floats(0, 1000), st.booleans()), max_size=60))
def test_idle_time_and_shares_are_all_the_time_there_was(steps: list[tuple[float, bool]]) -> None:
    occupancy, idle = Occupancy(), idle_time()
    now, idle_ms, shares_ms = 0.0, 0, 0
    present: list[int] = []
    for passed_s, comes in steps:
        now += passed_s
        if comes or not present:
            present.append(occupancy.arrive(now))
        else:
            shares_ms += occupancy.leave(present.pop(), now)
        if entry := idle.entry(0.0, now, occupancy.busy_s(now)):
            idle_ms += entry.usage.machine_ms
    shares_ms += sum(occupancy.leave(ticket, now) for ticket in present)

    assert abs(idle_ms + shares_ms - 1000 * now) <= 2
