"""The authority: what it takes in, once, and what it gives out."""

from contextlib import suppress
from dataclasses import replace
from itertools import pairwise

import pytest

from serve_app.config.policy import BreakerPolicy
from serve_app.control.capacity import Capacity, Presence
from serve_app.control.control_plane import FORGOTTEN_AFTER_S, BreakerChanged, ControlPlane
from serve_app.control.protocol import Observation, Report, Snapshot
from serve_app.control.runtime_config import runtime_config_of
from serve_app.control.tally import Tally
from serve_app.limits.allocator import BudgetAlert
from serve_app.limits.messages import Want
from serve_app.pricing.target_prices import prices_of
from serve_app.resilience.breaker import Breaker, BreakerState
from serve_app.resilience.outcome import Outcome
from tests.support.entries import NOON, entry
from tests.support.settings import two_providers

NOW = 1_000.0
SETTINGS = two_providers(circuit_breaker=BreakerPolicy(failure_threshold=2, reset_timeout=10))
BOOK = runtime_config_of(two_providers(budgets={"limit": 0.1, "window": "total"}), (), 0)


def plane(changes: list[BreakerChanged] | None = None) -> ControlPlane:
    made = ControlPlane("g1", prices_of, (changes if changes is not None else []).append)
    made.register("a", SETTINGS, Snapshot(), NOW)
    return made


def failure(at: float = NOW, probe: float | None = None) -> Observation:
    return Observation("first", "first/first-chat", Outcome.FAILURE, at, probe)


def success(at: float = NOW, probe: float | None = None) -> Observation:
    return Observation("first", "first/first-chat", Outcome.SUCCESS, at, probe, latency_s=0.2)


def test_failures_seen_by_two_routers_open_one_breaker() -> None:
    changes: list[BreakerChanged] = []
    authority = plane(changes)

    authority.report(Report("a", 1, (failure(),)), NOW)
    snapshot = authority.report(Report("b", 1, (failure(),)), NOW).snapshot

    assert snapshot.breakers["first"].state is BreakerState.OPEN
    assert [(c.provider_id, c.after) for c in changes] == [("first", BreakerState.OPEN)]


def test_a_report_that_comes_twice_counts_once() -> None:
    authority = plane()
    tally = Tally()
    tally.count("served", ("first",))

    for _ in range(3):
        snapshot = authority.report(Report("a", 1, (failure(),), tally), NOW).snapshot

    assert snapshot.breakers["first"].failure_count == 1
    assert authority.totals(NOW).tally.counters == {("served", ("first",)): 1}


def test_one_probe_is_given_out_in_the_whole_cluster() -> None:
    authority = plane()
    authority.report(Report("a", 1, (failure(), failure())), NOW)

    assert not authority.probe("first", NOW + 9)
    assert authority.probe("first", NOW + 10)
    assert not authority.probe("first", NOW + 11)


def test_a_lost_probe_is_forgotten_and_the_next_may_go() -> None:
    authority = plane()
    authority.report(Report("a", 1, (failure(), failure())), NOW)
    authority.probe("first", NOW + 10)

    assert not authority.probe("first", NOW + 39)
    assert authority.probe("first", NOW + 40)


def test_two_probes_that_succeed_close_the_breaker() -> None:
    authority = plane()
    authority.report(Report("a", 1, (failure(), failure())), NOW)

    for turn in (1, 2):
        probe = authority.probe("first", NOW + 10 + turn)
        snapshot = authority.report(
            Report("a", 1 + turn, (success(NOW + 10 + turn, probe),)), NOW + 10 + turn
        ).snapshot

    assert snapshot.breakers["first"].state is BreakerState.CLOSED


def test_the_version_moves_with_every_change_of_state_and_with_nothing_else() -> None:
    authority = plane()
    before = authority.version

    authority.report(Report("a", 1, (success(), success())), NOW)
    assert authority.version == before

    authority.report(Report("a", 2, (failure(), failure())), NOW)
    assert authority.version > before


def test_failures_of_several_routers_add_up_to_a_rate() -> None:
    policy = BreakerPolicy(failure_threshold=10, failure_rate=0.5, failure_rate_calls=10)
    authority = ControlPlane("g1", prices_of)
    for router in "ab":
        authority.register(router, two_providers(circuit_breaker=policy), Snapshot(), NOW)

    for number in range(5):
        for router, seen in (("a", failure()), ("b", success())):
            state = authority.snapshot(NOW).breakers["first"].state
            assert state is BreakerState.CLOSED
            authority.report(Report(router, number + 1, (seen,)), NOW)

    assert authority.snapshot(NOW).breakers["first"].state is BreakerState.OPEN


def test_a_check_by_one_router_lets_the_probe_of_any_router_through() -> None:
    authority = ControlPlane("g1", prices_of)
    authority.register("a", two_providers(), Snapshot(), NOW)
    authority.report(Report("a", 1, (failure(),) * 5), NOW)
    assert authority.probe("first", NOW + 6) is None

    well = Observation("first", "", Outcome.WELL, NOW + 6)
    authority.report(Report("a", 2, (well,)), NOW + 6)

    assert authority.probe("first", NOW + 6) is not None


def test_an_authority_started_anew_takes_over_what_a_router_remembers() -> None:
    opened = Breaker(BreakerState.OPEN, 5, last_failure=NOW, last_change=NOW, openings=1)
    remembered = Snapshot(breakers={"first": opened})
    authority = ControlPlane("g2", prices_of)

    snapshot = authority.register("a", SETTINGS, remembered, NOW + 1)
    assert snapshot.breakers["first"].state is BreakerState.OPEN

    later = authority.register("b", SETTINGS, Snapshot(breakers={"first": Breaker()}), NOW + 2)
    assert later.breakers["first"].state is BreakerState.OPEN, "what is known here wins"


def test_prices_come_with_the_snapshot() -> None:
    snapshot = plane().snapshot(NOW)

    assert snapshot.prices["first/first-chat"] is not None
    assert snapshot.prices["first/first-chat"].is_free


def test_latency_is_averaged_over_all_routers() -> None:
    authority = plane()
    authority.report(Report("a", 1, (success(),)), NOW)
    slow = Observation("first", "first/first-chat", Outcome.SUCCESS, NOW, latency_s=0.4)

    snapshot = authority.report(Report("b", 1, (slow,)), NOW).snapshot

    assert abs(snapshot.latencies["first/first-chat"] - 0.3) < 1e-9


def test_a_router_that_fell_silent_has_nothing_in_flight_any_more() -> None:
    authority = plane()
    key = ("in_flight", ("first",))
    authority.report(Report("a", 1, gauges={key: 3}), NOW)
    authority.report(Report("b", 1, gauges={key: 4}), NOW + 15)

    assert authority.totals(NOW + 15).gauges == {key: 7}
    assert authority.totals(NOW + 15 + 1).gauges == {key: 4}


def test_a_journal_that_is_taken_over_hours_later_counts_once() -> None:
    authority = plane()
    authority.set_runtime_config(BOOK, NOW)
    told = (entry(1, journal="a", at=NOW), entry(2, journal="a", at=NOW))
    authority.report(Report("a", 1, entries=told), NOW)
    later = NOW + 2 * FORGOTTEN_AFTER_S
    authority.totals(later)

    authority.take(told, later)

    [limit_status] = authority.totals(later).limit_statuses
    assert limit_status.used == 2_000


def test_nothing_grows_with_the_routers_that_have_been_here_though_nobody_reads_the_metrics() -> None:
    authority = plane()
    for number in range(1, 6):
        authority.register(f"router-{number}", SETTINGS, Snapshot(), NOW + number * 2 * FORGOTTEN_AFTER_S)
        authority.report(Report(f"router-{number}", 1), NOW + number * 2 * FORGOTTEN_AFTER_S)

    snapshot = authority.snapshot(NOW)

    assert set(snapshot.applied) == set(snapshot.marks) == {"router-5"}


def test_a_store_that_comes_late_and_is_empty_lends_nothing_before_all_have_told_again_what_they_spent() -> (
    None
):
    authority = plane()
    authority.set_runtime_config(BOOK, NOW)
    authority.report(Report("a", 1, entries=(entry(1, journal="a", at=NOW, cost=80_000_000),)), NOW)

    authority.restore((), {}, NOW)
    wants = {"gateway/total": Want(80_000_000, 80_000_000)}
    grant = authority.report(Report("b", 1, wants=wants), NOW).grants["gateway/total"]

    assert grant.amount == 0
    assert grant.later


def test_what_routers_remember_counts_no_more_once_the_store_has_been_read() -> None:
    authority = plane()
    authority.set_runtime_config(BOOK, NOW)
    authority.store_answers(False)
    authority.restore((), {}, NOW)

    authority.remember(Snapshot(used={"gateway/total": (0.0, 1_000)}), NOW)
    authority.report(Report("a", 1, entries=(entry(1, journal="a", at=NOW),)), NOW)

    [limit_status] = authority.totals(NOW).limit_statuses
    assert limit_status.used == 1_000


def test_the_version_moves_when_a_replica_comes_or_goes_and_not_when_it_says_the_same_again() -> None:
    authority = plane()
    ready = Presence("r", "first", is_ready=True, running=1)
    versions = [authority.version]

    for presence, at in [(Presence("r", "first"), 0), (ready, 1), (ready, 2), (replace(ready, running=2), 3)]:
        authority.heartbeat(presence, NOW + at)
        versions.append(authority.version)

    assert [later - earlier for earlier, later in pairwise(versions)] == [1, 1, 0, 1]
    assert authority.snapshot(NOW + 3).capacities == {"first": Capacity(ready=1, running=2)}


def test_what_many_replicas_have_to_do_is_news_twice_a_second_and_who_is_there_at_once() -> None:
    authority = plane()
    for n in range(10):
        authority.heartbeat(Presence(f"r{n}", "first", is_ready=True), NOW)
    before = authority.version

    for tenth in range(1, 21):  # each says once a second how many it has, one after the other
        authority.heartbeat(
            Presence(f"r{tenth % 10}", "first", is_ready=True, running=tenth), NOW + tenth / 10
        )
    assert authority.version - before == 4
    assert authority.snapshot(NOW + 2).capacities["first"].running == sum(range(11, 21))

    authority.heartbeat(Presence("r10", "first", is_ready=True), NOW + 2.01)
    assert authority.version - before == 5
    authority.heartbeat(Presence("r10", "first", is_leaving=True), NOW + 2.02)
    assert authority.version - before == 6


def test_a_replica_that_fell_silent_is_news() -> None:
    authority = plane()
    authority.heartbeat(Presence("r", "first", is_ready=True), NOW)
    before = authority.version

    authority.look_around(NOW + 5)
    assert authority.version == before

    authority.look_around(NOW + 5 + 1)
    assert authority.version > before
    assert authority.snapshot(NOW + 5 + 1).capacities == {}


def test_what_was_counted_before_a_mistake_of_ours_is_not_counted_again() -> None:
    def fails(alert: BudgetAlert) -> None:
        raise RuntimeError("the webhook's fault")

    authority = ControlPlane("g1", prices_of, on_alert=fails)
    authority.register("router-a", SETTINGS, Snapshot(), NOON)
    dollar = 10**9
    authority.set_runtime_config(
        runtime_config_of(two_providers(budgets={"limit": 4, "window": "total"}), (), 0), NOON
    )
    batch = [entry(number, cost=dollar) for number in range(1, 5)]

    for _ in range(3):  # three quarters of it are spent with the third: that is said, and fails
        with suppress(RuntimeError):
            authority.take(batch, NOON)

    assert authority.take(batch, NOON).taken == 4
    (limit_status,) = authority.totals(NOON).limit_statuses
    assert limit_status.used == 4 * dollar
    assert [one.number for one in authority.unwritten(10)] == [1, 2, 3, 4]


def test_a_batch_is_of_one_journal() -> None:
    with pytest.raises(ValueError, match="router-b"):
        plane().take([entry(1), entry(1, journal="router-b")], NOON)
