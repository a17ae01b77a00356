"""How much of a hosted model runs: what replicas say, and what that means for the next request."""

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serve_app.control.capacity import (
    Capacity,
    Presence,
    Register,
    Warmth,
    warmth_of,
)

NOW = 1_000.0


def heard(*words: Presence, at: float = NOW) -> Register:
    register = Register()
    for word in words:
        register.hear(word, at)
    return register


def test_a_replica_starts_then_it_is_ready_then_it_leaves() -> None:
    register = heard(Presence("r", "gpu"))
    assert register.capacities(NOW) == {"gpu": Capacity(starting=1)}

    register.hear(Presence("r", "gpu", is_ready=True, running=3), NOW + 1)
    assert register.capacities(NOW + 1) == {"gpu": Capacity(ready=1, running=3)}

    register.hear(Presence("r", "gpu", is_ready=True, is_leaving=True), NOW + 2)
    assert register.capacities(NOW + 2) == {}


def test_replicas_of_one_provider_are_counted_together_and_those_of_another_apart() -> None:
    register = heard(
        Presence("a", "gpu", is_ready=True, running=3),
        Presence("b", "gpu", is_ready=True, running=4),
        Presence("c", "gpu"),
        Presence("d", "cpu", is_ready=True),
    )

    assert register.capacities(NOW) == {
        "gpu": Capacity(ready=2, starting=1, running=7),
        "cpu": Capacity(ready=1),
    }


def test_who_says_the_same_twice_is_there_once() -> None:
    register = heard(Presence("a", "gpu", is_ready=True), Presence("a", "gpu", is_ready=True))

    assert register.capacities(NOW) == {"gpu": Capacity(ready=1)}


def test_who_is_silent_for_too_long_is_gone_and_comes_back_with_a_word() -> None:
    register = heard(Presence("a", "gpu", is_ready=True))

    assert register.capacities(NOW + 5) == {"gpu": Capacity(ready=1)}
    assert register.capacities(NOW + 5 + 0.1) == {}

    register.hear(Presence("a", "gpu", is_ready=True), NOW + 20)
    assert register.capacities(NOW + 20) == {"gpu": Capacity(ready=1)}


def test_who_is_starting_may_be_silent_for_longer_but_not_for_ever() -> None:
    register = heard(Presence("a", "gpu"))

    assert register.capacities(NOW + 600) == {"gpu": Capacity(starting=1)}
    assert register.capacities(NOW + 600 + 0.1) == {}


def test_a_clock_that_is_set_back_keeps_nobody_here_who_is_silent() -> None:
    register = heard(Presence("a", "gpu", is_ready=True))
    register.recall({"other": Capacity(ready=1)}, NOW)

    assert register.capacities(NOW - 3600) == {}


def test_what_a_router_remembers_is_believed_once_until_the_machines_could_have_spoken() -> None:
    register, remembered = Register(), {"gpu": Capacity(ready=2, running=7), "other": Capacity(ready=1)}

    register.recall(remembered, NOW)
    register.hear(Presence("a", "gpu", is_ready=True), NOW + 1)
    register.recall({"gpu": Capacity(ready=9)}, NOW + 2)

    assert register.capacities(NOW + 2) == {"gpu": Capacity(ready=1), "other": Capacity(ready=1)}
    assert register.capacities(NOW + 5 + 0.1) == {"gpu": Capacity(ready=1)}


def test_whoever_nobody_has_heard_of_may_leave() -> None:
    assert heard(Presence("a", "gpu", is_leaving=True)).capacities(NOW) == {}


@pytest.mark.parametrize(
    ("capacity", "mine", "warmth"),
    [
        (Capacity(), 0, Warmth.COLD),
        (Capacity(), 50, Warmth.COLD),
        (Capacity(starting=1), 0, Warmth.STARTING),
        (Capacity(ready=1, starting=1), 0, Warmth.WARM),
        (Capacity(ready=1, running=4), 0, Warmth.WARM),
        (Capacity(ready=1, running=6), 0, Warmth.WARM),
        (Capacity(ready=1, running=7), 0, Warmth.SATURATED),
        (Capacity(ready=2, running=10), 0, Warmth.WARM),
        (Capacity(ready=2, running=11), 0, Warmth.SATURATED),
        (Capacity(ready=1), 6, Warmth.WARM),
        (Capacity(ready=1), 7, Warmth.SATURATED),
        (Capacity(ready=1, running=7), 1, Warmth.SATURATED),
    ],
    ids=str,
)
def test_four_run_at_once_in_a_replica_and_two_may_wait(
    capacity: Capacity, mine: int, warmth: Warmth
) -> None:
    assert warmth_of(capacity, max_running=4, burst_queue=2, mine=mine) is warmth


def test_without_a_queue_the_first_one_that_waits_is_one_too_many() -> None:
    assert warmth_of(Capacity(ready=1, running=4), max_running=4, burst_queue=0) is Warmth.WARM
    assert warmth_of(Capacity(ready=1, running=5), max_running=4, burst_queue=0) is Warmth.SATURATED


words = st.lists(
    st.tuples(
        st.builds(
            Presence,
            st.sampled_from("abcd"),
            st.just("gpu"),
            st.booleans(),
            st.integers(0, 300),
            st.booleans(),
        ),
        st.floats(0, 4),
    ),
    max_size=30,
)


@given(words, st.floats(0, 20))
def test_whatever_is_said_a_capacity_is_what_those_who_are_there_said_last(
    said: list[tuple[Presence, float]], silence_s: float
) -> None:
    register, now = Register(), NOW
    last: dict[str, tuple[Presence, float]] = {}
    for presence, after_s in said:
        now += after_s
        register.hear(presence, now)
        last[presence.replica_id] = presence, now
        register.capacities(now)
    now += silence_s

    there = [
        presence
        for presence, at in last.values()
        if not presence.is_leaving and (not presence.is_ready or now - at <= 5)
    ]
    found = register.capacities(now).get("gpu", Capacity())

    assert (found.ready + found.starting, found.running) == (len(there), sum(p.running for p in there))
    assert found.ready == sum(p.is_ready for p in there)
    assert min(found.ready, found.starting, found.running) >= 0


@given(words, st.integers())
def test_the_order_of_words_does_not_matter_when_they_are_of_different_replicas(
    said: list[tuple[Presence, float]], seed: int
) -> None:
    last = list({presence.replica_id: presence for presence, _ in said}.values())
    mixed = Random(seed).sample(last, k=len(last))

    assert heard(*last).capacities(NOW) == heard(*mixed).capacities(NOW)


@given(
    st.builds(Capacity, st.integers(0, 9), st.integers(0, 9), st.integers(0, 999)),
    st.integers(1, 99),
    st.integers(0, 99),
    st.integers(0, 999),
)
def test_one_more_replica_never_makes_a_provider_less_ready(
    capacity: Capacity, max_running: int, burst_queue: int, mine: int
) -> None:
    more = Capacity(capacity.ready + 1, capacity.starting, capacity.running)

    if warmth_of(capacity, max_running, burst_queue, mine) is Warmth.WARM:
        assert warmth_of(more, max_running, burst_queue, mine) is Warmth.WARM
