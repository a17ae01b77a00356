"""What the authority keeps, for how long, and what of it is news to the routers."""

import pytest

from serve_app.config.policy import BreakerPolicy
from serve_app.config.settings import Settings
from serve_app.control.control_plane import BreakerChanged, ControlPlane
from serve_app.control.protocol import Observation, Report, Snapshot
from serve_app.control.runtime_config import runtime_config_of
from serve_app.ledger.journal_position import JournalPosition
from serve_app.limits.messages import Lease, Want
from serve_app.pricing.target_prices import prices_of
from serve_app.resilience.breaker import Breaker, BreakerState
from serve_app.resilience.outcome import Outcome
from tests.support.entries import entry
from tests.support.settings import two_providers

NOW = 1_789_560_000.0
TARGET = "first/first-chat"
SETTINGS = two_providers(circuit_breaker=BreakerPolicy(failure_threshold=2, reset_timeout=10))
BOOK = runtime_config_of(two_providers(budgets={"limit": 0.1, "window": "total"}), (), 7)
LIMIT = "gateway/total"
MONTH_S = 30 * 86_400.0


def plane(changes: list[BreakerChanged] | None = None) -> ControlPlane:
    made = ControlPlane("g1", prices_of, (changes if changes is not None else []).append)
    made.register("a", SETTINGS, Snapshot(), NOW)
    return made


def seen(**changes: object) -> Observation:
    return Observation("first", TARGET, Outcome.SUCCESS, NOW)._replace(**changes)  # type: ignore[arg-type]


def used(authority: ControlPlane, now: float = NOW) -> int:
    [limit_status] = authority.totals(now).limit_statuses
    return limit_status.used


@pytest.mark.parametrize(
    ("first_s", "second_s", "until_s"), [(5.0, 9.0, 9.0), (9.0, 5.0, 9.0), (5.0, 5.0, 5.0)]
)
def test_a_shorter_wait_that_a_provider_asks_for_never_ends_a_longer_one(
    first_s: float, second_s: float, until_s: float
) -> None:
    authority = plane()
    authority.report(Report("a", 1, (seen(cool_until=NOW + first_s),)), NOW)
    version = authority.version
    authority.report(Report("b", 1, (seen(cool_until=NOW + second_s),)), NOW)

    assert authority.snapshot(NOW + until_s - 0.1).cooling == {TARGET: NOW + until_s}
    assert authority.snapshot(NOW + until_s).cooling == {}
    assert (authority.version > version) is (second_s > first_s)


def test_a_wait_that_is_over_is_not_taken_over_and_one_that_is_not_is() -> None:
    authority = plane()

    authority.register("b", SETTINGS, Snapshot(cooling={"x": NOW, "y": NOW + 1.0}), NOW)

    assert authority.snapshot(NOW - 5.0).cooling == {"y": NOW + 1.0}


def test_a_router_whose_clock_is_ahead_holds_nobody_back_for_longer() -> None:
    authority = plane()
    ahead = seen(at=NOW + 100, cool_until=NOW + 105, outcome=Outcome.FAILURE)

    snapshot = authority.report(Report("a", 1, (ahead, ahead)), NOW).snapshot

    assert snapshot.cooling == {TARGET: NOW + 5}
    assert snapshot.breakers["first"].last_change == NOW


def test_what_is_seen_of_a_provider_that_is_gone_says_nothing() -> None:
    authority = plane()
    before = authority.snapshot(NOW)

    after = authority.report(Report("a", 1, (seen(provider_id="gone", cool_until=NOW + 5),)), NOW).snapshot

    assert (after.breakers, after.cooling) == (before.breakers, {})
    assert authority.probe("gone", NOW) is None


def test_speeds_and_latencies_are_told_where_they_were_measured() -> None:
    authority = plane()
    assert authority.snapshot(NOW).speeds == authority.snapshot(NOW).latencies == {}

    snapshot = authority.report(Report("a", 1, (seen(tokens_per_s=1.0, latency_s=0.5),)), NOW).snapshot

    assert snapshot.speeds == {TARGET: 1.0}
    assert snapshot.latencies == {TARGET: 0.5}


def test_a_breaker_that_is_closed_by_hand_is_news_and_told_as_it_was() -> None:
    changes: list[BreakerChanged] = []
    authority = plane(changes)
    broken = seen(outcome=Outcome.FAILURE)
    authority.report(Report("a", 1, (broken, broken)), NOW)
    version = authority.version

    before = authority.reset_breaker("first", NOW + 1)

    assert before is not None
    assert before.state is BreakerState.OPEN
    assert authority.snapshot(NOW + 1).breakers["first"] == Breaker(last_change=NOW + 1)
    assert authority.version > version
    assert changes == [
        BreakerChanged("first", BreakerState.CLOSED, BreakerState.OPEN, 2),
        BreakerChanged("first", BreakerState.OPEN, BreakerState.CLOSED, 0),
    ]


def test_closing_by_hand_is_news_where_nothing_was_open_and_of_nobody_it_is_none() -> None:
    authority = plane()
    version = authority.version

    assert authority.reset_breaker("gone", NOW) is None
    assert authority.version == version
    assert authority.reset_breaker("first", NOW) is not None
    assert authority.version > version


def test_a_probe_that_is_given_out_is_news() -> None:
    authority = plane()
    broken = seen(outcome=Outcome.FAILURE)
    authority.report(Report("a", 1, (broken, broken)), NOW)
    version = authority.snapshot(NOW + 10).version

    assert authority.probe("first", NOW + 10) == NOW + 40
    assert authority.version > version
    assert authority.snapshot(NOW + 10).breakers["first"].probe_until == NOW + 40


def test_new_settings_are_priced_anew_and_drop_who_is_gone_and_the_same_ones_change_nothing() -> None:
    priced: list[Settings] = []

    def price_of(settings: Settings) -> dict[str, None]:
        priced.append(settings)
        return {}

    authority = ControlPlane("g1", price_of)
    authority.register("a", SETTINGS, Snapshot(), NOW)
    version = authority.version
    authority.register("b", SETTINGS, Snapshot(), NOW)
    assert (priced, authority.version) == ([SETTINGS], version)

    alone = SETTINGS.model_copy(update={"llm_providers": SETTINGS.llm_providers[:1]})
    snapshot = authority.register("b", alone, Snapshot(), NOW)

    assert priced == [SETTINGS, alone]
    assert set(snapshot.breakers) == {"first"}
    assert snapshot.version > version
    assert authority.settings == alone


def test_the_book_comes_with_its_epoch() -> None:
    authority = plane()
    assert authority.snapshot(NOW).revision == -1
    version = authority.version

    authority.set_runtime_config(BOOK, NOW)

    assert authority.snapshot(NOW).revision == 7
    assert authority.runtime_config is BOOK
    assert authority.version > version


def test_whether_the_store_answers_is_news_when_it_changes() -> None:
    authority = plane()
    version = authority.version

    authority.store_answers(True)
    assert (authority.version, authority.snapshot(NOW).is_stored) == (version, True)
    authority.store_answers(False)
    assert (authority.version, authority.snapshot(NOW).is_stored) == (version + 1, False)


@pytest.mark.parametrize(("answers", "believed"), [(False, 1_000), (True, 0)])
def test_a_router_is_believed_where_the_store_cannot_say_what_was_used(answers: bool, believed: int) -> None:
    authority = plane()
    authority.set_runtime_config(BOOK, NOW)
    authority.store_answers(answers)

    authority.remember(Snapshot(used={LIMIT: (0.0, 1_000)}), NOW)

    assert used(authority) == believed


def test_entries_wait_until_they_are_written_in_their_order() -> None:
    authority = plane()
    mine = [entry(number, journal="a", at=NOW) for number in (1, 2, 3)]
    assert authority.take([], NOW) == JournalPosition()
    assert authority.take(mine, NOW) == JournalPosition(3, 0)

    assert authority.unwritten(2) == mine[:2]
    authority.written(mine[:2])
    authority.written(mine[:2])  # whoever says it twice

    assert authority.unwritten(5) == mine[2:]
    assert authority.snapshot(NOW).marks == {"a": JournalPosition(3, 2)}
    assert authority.take(mine, NOW) == JournalPosition(3, 2)


def test_a_report_that_leaves_a_gap_is_not_taken_in_and_one_that_overlaps_is() -> None:
    authority = plane()
    authority.set_runtime_config(BOOK, NOW)
    told = tuple(entry(number, journal="a", at=NOW) for number in (1, 2, 3))

    assert authority.report(Report("a", 1, entries=told[1:], after=1), NOW).snapshot.marks[
        "a"
    ] == JournalPosition(0, 0)
    assert authority.report(Report("a", 2, entries=told[:2]), NOW).snapshot.marks["a"] == JournalPosition(
        2, 0
    )
    assert authority.report(Report("a", 3, entries=told[1:], after=1), NOW).snapshot.marks[
        "a"
    ] == JournalPosition(3, 0)
    assert used(authority) == 3_000


def test_a_report_that_was_overtaken_says_nothing_of_what_is_held() -> None:
    authority = plane()
    authority.set_runtime_config(BOOK, NOW)
    authority.report(Report("a", 2, leases={LIMIT: Lease(500, 500)}), NOW)

    late = authority.report(Report("a", 1, leases={}, wants={LIMIT: Want(1, 1)}), NOW)
    again = authority.report(Report("a", 2, leases={LIMIT: Lease(600, 600)}), NOW)

    assert late.grants == again.grants == {}
    [limit_status] = authority.totals(NOW).limit_statuses
    assert limit_status.on_loan == 600


def test_credit_that_is_called_back_is_news() -> None:
    authority = plane()
    authority.set_runtime_config(BOOK, NOW)
    authority.report(Report("a", 1, leases={LIMIT: Lease(10**8, 10**8)}), NOW)
    version = authority.version

    snapshot = authority.report(Report("b", 1, wants={LIMIT: Want(5, 5)}), NOW).snapshot
    assert snapshot.recalls == {LIMIT: "b"}
    assert snapshot.version > version

    again = authority.report(Report("b", 2, wants={LIMIT: Want(5, 5)}), NOW).snapshot
    assert again.version == snapshot.version


@pytest.mark.parametrize(
    ("written", "is_alone", "lends"),
    [({}, True, True), ({"b": 4}, True, True), ({"b": 4}, False, False), ({}, False, True)],
)
def test_an_authority_that_comes_up_waits_for_whoever_may_have_credit(
    written: dict[str, int], is_alone: bool, lends: bool
) -> None:
    authority = ControlPlane("g1", prices_of)
    authority.set_runtime_config(BOOK, NOW)
    authority.restore((), written, NOW, is_alone)
    wants = {LIMIT: Want(5, 5)}

    assert bool(authority.report(Report("b", 1, wants=wants), NOW + 7.9).grants[LIMIT].amount) is lends
    assert authority.report(Report("b", 2, wants=wants), NOW + 8.0).grants[LIMIT].amount == 5
    assert authority.is_restored


def test_it_waits_as_well_when_it_is_told_to() -> None:
    authority = plane()
    authority.set_runtime_config(BOOK, NOW)
    authority.wait_for_routers(NOW)
    wants = {LIMIT: Want(5, 5)}

    assert authority.report(Report("b", 1, wants=wants), NOW + 7.9).grants[LIMIT].amount == 0
    assert authority.report(Report("b", 2, wants=wants), NOW + 8.0).grants[LIMIT].amount == 5


def test_what_the_store_has_of_a_journal_is_where_it_goes_on() -> None:
    authority = plane()
    authority.set_runtime_config(BOOK, NOW)
    told = tuple(entry(number, journal="a", at=NOW) for number in (1, 2, 3))
    authority.report(Report("a", 1, entries=told), NOW)
    generation, version = authority.snapshot(NOW).generation, authority.version

    authority.restore((), {"a": 2, "b": 5}, NOW)

    snapshot = authority.snapshot(NOW)
    assert snapshot.generation != generation
    assert snapshot.version > version
    assert snapshot.marks["a"] == JournalPosition(2, 2)
    assert authority.unwritten(5) == []
    assert authority.take(told, NOW) == JournalPosition(3, 2)
    assert authority.take([entry(6, journal="b", at=NOW)], NOW) == JournalPosition(6, 5)
    assert used(authority) == 2_000


def test_a_router_is_remembered_for_an_hour_and_its_journal_for_a_month() -> None:
    authority = plane()
    authority.set_runtime_config(BOOK, NOW)
    told = (entry(1, journal="a", at=NOW),)
    authority.report(Report("a", 1, entries=told), NOW)

    authority.totals(NOW + 3600)
    assert authority.snapshot(NOW).applied == {"a": 1}
    authority.totals(NOW + 3601)
    assert authority.snapshot(NOW).applied == {}

    authority.totals(NOW + MONTH_S)
    assert authority.take(told, NOW + MONTH_S).taken == 1
    assert used(authority, NOW + MONTH_S) == 1_000, "counted once"
    assert used(authority, NOW + 2 * MONTH_S) == 1_000
    authority.totals(NOW + 2 * MONTH_S + 1)
    authority.take(told, NOW + 2 * MONTH_S + 1)
    assert used(authority, NOW + 2 * MONTH_S + 1) == 2_000, "nobody knows of it any more"


def test_what_was_written_of_a_journal_that_is_forgotten_brings_it_not_back() -> None:
    authority = plane()
    told = [entry(1, journal="x", at=NOW)]
    authority.take(told, NOW)
    authority.totals(NOW + MONTH_S + 1)

    authority.written(told)

    assert authority.unwritten(5) == []
    assert authority.take(told, NOW + MONTH_S + 1) == JournalPosition(1, 0)
