"""A router's local copy: exact for what it saw itself, and able to go on alone."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from serve_app.clock import SystemClock
from serve_app.config.policy import BreakerPolicy
from serve_app.config.provider import ProviderConfig
from serve_app.config.settings import Settings
from serve_app.control import breakers, control_cache
from serve_app.control.capacity import HEARD_WITHIN_S, Capacity, Presence, Warmth
from serve_app.control.control_cache import ControlCache
from serve_app.control.control_plane import ControlPlane
from serve_app.control.local_control_plane import LocalControlPlane
from serve_app.control.protocol import ControlUnreachable, Observation, Receipt, Report, Snapshot, Totals
from serve_app.control.runtime_config import RuntimeConfig
from serve_app.control.tally import IN_FLIGHT
from serve_app.ledger.entry import Entry
from serve_app.ledger.journal import MemoryJournal
from serve_app.ledger.journal_position import JournalPosition
from serve_app.ledger.outbox import AT_ONCE
from serve_app.ledger.store import Change, Record
from serve_app.limits.limit import Limit, Unit, Window
from serve_app.limits.messages import Grant
from serve_app.pricing.price import FREE
from serve_app.pricing.target_prices import prices_of
from serve_app.resilience.breaker import BreakerState
from serve_app.resilience.outcome import Outcome
from serve_app.storage.sql import SqlStore
from tests.support.clock import FakeClock
from tests.support.entries import entry
from tests.support.settings import two_providers

pytestmark = pytest.mark.anyio

SETTINGS = two_providers(
    circuit_breaker=BreakerPolicy(failure_threshold=3, reset_timeout=10, check_interval_s=5)
)
LIMITED = two_providers(budgets={"limit": 1.0, "window": "total"})
LIMIT = Limit("gateway/total", Unit.NANO_DOLLARS, Window.TOTAL, 1_000_000_000)
PER_MINUTE = Limit("gateway/requests", Unit.REQUESTS, Window.MINUTE, 10)


class Line:
    """A way to the authority that can be cut, before a message arrives or before its answer does."""

    def __init__(self, control: LocalControlPlane) -> None:
        self.control = control
        self.cut = False
        self.loses_answers = False
        self.reported = asyncio.Event()
        self.breaks_with: Exception | None = None
        self.broke = asyncio.Event()

    async def register(self, router_id: str, settings: Settings, known: Snapshot) -> Snapshot:
        self._check()
        return await self.control.register(router_id, settings, known)

    async def submit_recovered(self, entries: Sequence[Entry]) -> JournalPosition:
        self._check()
        return await self.control.submit_recovered(entries)

    async def heartbeat(self, presence: Presence) -> None:
        self._check()
        await self.control.heartbeat(presence)

    async def runtime_config(self) -> RuntimeConfig:
        self._check()
        return await self.control.runtime_config()

    async def change(
        self, records: Sequence[Record], change: Change, revision: int | None = None
    ) -> RuntimeConfig:
        self._check()
        return await self.control.change(records, change)

    async def report(self, report: Report) -> Receipt:
        self._check()
        if self.breaks_with is not None:
            self.broke.set()
            raise self.breaks_with
        answer = await self.control.report(report)
        self.reported.set()
        if self.loses_answers:
            raise ControlUnreachable("the answer was lost")
        return answer

    async def watch(self, generation: str, version: int, timeout_s: float) -> Snapshot:
        self._check()
        return await self.control.watch(generation, version, timeout_s)

    async def probe(self, provider_id: str) -> float | None:
        self._check()
        return await self.control.probe(provider_id)

    async def totals(self) -> Totals:
        self._check()
        return await self.control.totals()

    def _check(self) -> None:
        if self.cut:
            raise ControlUnreachable("the line is cut")


class Cluster:
    """One authority and two routers on a clock of the test's."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.plane = ControlPlane("g1", prices_of)
        self.control = LocalControlPlane(self.plane, self.clock)
        self.lines = (Line(self.control), Line(self.control))
        self.a, self.b = (
            ControlCache(name, SETTINGS, line, self.clock, {"first/own": FREE})
            for name, line in zip("ab", self.lines, strict=True)
        )

    async def register(self) -> "Cluster":
        await self.a.introduce()
        await self.b.introduce()
        return self

    def restart_the_authority(self) -> None:
        self.plane = ControlPlane("g2", prices_of)
        for line in self.lines:
            line.control = LocalControlPlane(self.plane, self.clock)

    def failure(self, probe: float | None = None) -> Observation:
        return Observation("first", "first/first-chat", Outcome.FAILURE, self.clock.now(), probe)

    def success(self, probe: float | None = None) -> Observation:
        return Observation("first", "first/first-chat", Outcome.SUCCESS, self.clock.now(), probe, 0.1)


async def open_breaker(cluster: Cluster) -> None:
    for _ in range(3):
        cluster.a.breakers.observe(cluster.failure())
    await cluster.a.flush()


async def test_a_router_believes_its_own_eyes_at_once() -> None:
    cluster = await Cluster().register()

    for _ in range(3):
        cluster.a.breakers.observe(cluster.failure())

    assert cluster.a.breakers.is_open("first")
    assert not cluster.b.breakers.is_open("first")


async def test_what_one_router_reports_the_other_learns_by_watching() -> None:
    cluster = await Cluster().register()
    watching = asyncio.create_task(cluster.lines[1].watch("g1", cluster.plane.version, 10))
    await asyncio.sleep(0)

    await open_breaker(cluster)
    news = await watching

    assert news.breakers["first"].state is BreakerState.OPEN


async def test_a_lost_answer_is_asked_for_again_and_counts_once() -> None:
    cluster = await Cluster().register()
    cluster.a.breakers.observe(cluster.failure())
    cluster.lines[0].loses_answers = True
    with pytest.raises(ControlUnreachable):
        await cluster.a.flush()
    cluster.lines[0].loses_answers = False

    await cluster.a.flush()

    assert cluster.plane.snapshot(cluster.clock.now()).breakers["first"].failure_count == 1
    assert cluster.a.breakers.of("first").failure_count == 1


async def test_news_from_the_authority_do_not_count_twice_what_is_still_on_its_way() -> None:
    cluster = await Cluster().register()
    cluster.a.breakers.observe(cluster.failure())
    cluster.lines[0].loses_answers = True
    with pytest.raises(ControlUnreachable):
        await cluster.a.flush()
    cluster.a.breakers.observe(cluster.failure())

    cluster.a.take(await cluster.control.watch("", 0, 0.0))

    assert cluster.a.breakers.of("first").failure_count == 2


async def test_half_open_lets_one_probe_through_in_the_whole_cluster() -> None:
    cluster = await Cluster().register()
    await open_breaker(cluster)
    await cluster.b.flush()
    cluster.clock.advance(10)

    admissions = [
        await cluster.a.admit("first"),
        await cluster.b.admit("first"),
        await cluster.a.admit("first"),
    ]

    assert [a is not None and a.probe is not None for a in admissions] == [True, False, False]
    assert admissions[1:] == [None, None]


async def test_a_health_check_by_one_router_lets_any_router_try_the_provider() -> None:
    cluster = await Cluster().register()
    await open_breaker(cluster)
    await cluster.b.flush()
    cluster.clock.advance(6)
    assert await cluster.b.admit("first") is None

    cluster.a.breakers.found_well("first", cluster.clock.now())
    await cluster.a.flush()
    await cluster.b.flush()

    admission = await cluster.b.admit("first")
    assert admission is not None
    assert admission.probe is not None


async def test_a_check_that_changes_nothing_is_not_reported() -> None:
    cluster = await Cluster().register()
    await open_breaker(cluster)

    cluster.a.breakers.found_well("first", cluster.clock.now())  # the breaker has only just opened
    cluster.a.breakers.found_well("second", cluster.clock.now())  # its breaker is closed

    assert not cluster.a.breakers.has_news


async def test_every_router_hears_that_a_breaker_has_opened_and_that_it_has_opened_again() -> None:
    cluster = await Cluster().register()
    opened: list[str] = []
    cluster.b.breakers.on_open(opened.append)

    await open_breaker(cluster)
    await cluster.b.flush()
    assert opened == ["first"]

    cluster.clock.advance(10)
    probe = await cluster.a.admit("first")
    assert probe is not None
    cluster.a.breakers.observe(cluster.failure(probe=probe.probe))
    await cluster.a.flush()
    await cluster.b.flush()
    assert opened == ["first", "first"]


async def test_two_probes_that_succeed_let_everyone_through_again() -> None:
    cluster = await Cluster().register()
    await open_breaker(cluster)
    cluster.clock.advance(10)

    for _ in range(2):
        admission = await cluster.a.admit("first")
        assert admission is not None
        cluster.a.breakers.observe(cluster.success(probe=admission.probe))
        await cluster.a.flush()
    await cluster.b.flush()

    for router in (cluster.a, cluster.b):
        admission = await router.admit("first")
        assert admission is not None
        assert admission.probe is None


async def test_without_the_authority_a_router_goes_on_alone() -> None:
    cluster = await Cluster().register()
    cluster.lines[0].cut = True

    for _ in range(3):
        assert await cluster.a.admit("first") is not None
        cluster.a.breakers.observe(cluster.failure())
    assert await cluster.a.admit("first") is None

    cluster.clock.advance(10)
    probe = await cluster.a.admit("first")
    assert probe is not None
    assert probe.probe is not None
    assert await cluster.a.admit("first") is None


async def test_what_was_seen_while_the_authority_was_away_is_reported_afterwards() -> None:
    cluster = await Cluster().register()
    cluster.lines[0].cut = True
    for _ in range(3):
        cluster.a.breakers.observe(cluster.failure())
    with pytest.raises(ControlUnreachable):
        await cluster.a.flush()
    cluster.lines[0].cut = False

    await cluster.a.flush()

    assert cluster.plane.snapshot(cluster.clock.now()).breakers["first"].state is BreakerState.OPEN


async def test_breakers_survive_the_death_of_the_authority() -> None:
    cluster = await Cluster().register()
    await open_breaker(cluster)

    cluster.restart_the_authority()
    await cluster.a.flush()
    await cluster.b.flush()

    assert cluster.plane.snapshot(cluster.clock.now()).breakers["first"].state is BreakerState.OPEN
    assert cluster.b.breakers.is_open("first")


async def test_the_background_tasks_report_and_end() -> None:
    cluster = await Cluster().register()
    await cluster.a.start()
    cluster.a.breakers.observe(cluster.failure())

    await cluster.lines[0].reported.wait()
    await cluster.a.stop()

    assert cluster.plane.snapshot(cluster.clock.now()).breakers["first"].failure_count == 1


async def test_a_price_the_authority_does_not_know_is_the_routers_own() -> None:
    cluster = await Cluster().register()

    assert cluster.a.price("first/own") is FREE
    assert cluster.a.price("first/first-chat") is not None


async def test_what_is_in_flight_is_reported_though_nothing_has_ended_yet() -> None:
    cluster = await Cluster().register()
    await cluster.a.start()
    await cluster.lines[0].reported.wait()
    cluster.lines[0].reported.clear()

    cluster.a.gauges["in_flight", ("first",)] = 1
    await cluster.lines[0].reported.wait()
    await cluster.a.stop()

    assert cluster.plane.totals(cluster.clock.now()).gauges == {("in_flight", ("first",)): 1}


async def test_a_flush_ends_although_requests_go_on() -> None:
    cluster = await Cluster().register()

    async def keep_observing() -> None:
        while True:
            cluster.a.breakers.observe(cluster.success())
            await asyncio.sleep(0)

    busy = asyncio.create_task(keep_observing())
    for _ in range(3):
        await cluster.a.flush()
    busy.cancel()

    assert cluster.plane.snapshot(cluster.clock.now()).applied["a"] == 3


async def test_a_router_whose_reporting_has_died_says_so_when_it_is_asked() -> None:
    cluster = await Cluster().register()
    await cluster.a.start()
    cluster.a.check()
    cluster.lines[0].breaks_with = ZeroDivisionError("a bug")

    cluster.a.breakers.observe(cluster.failure())
    await cluster.lines[0].broke.wait()
    await asyncio.sleep(0)

    with pytest.raises(ZeroDivisionError):
        cluster.a.check()
    cluster.lines[0].breaks_with = None
    await cluster.a.stop()


async def test_a_wait_that_one_router_was_told_of_the_other_keeps_as_well() -> None:
    cluster = await Cluster().register()
    until = cluster.clock.now() + 20

    cluster.a.breakers.observe(
        Observation("first", "first/chat", Outcome.FAILURE, cluster.clock.now(), cool_until=until)
    )
    assert cluster.a.breakers.cooling_s("first/chat") == 20
    await cluster.a.flush()
    await cluster.b.flush()

    assert cluster.b.breakers.cooling_s("first/chat") == 20
    cluster.clock.advance(20)
    assert cluster.b.breakers.cooling_s("first/chat") == 0


async def test_a_probe_whose_caller_left_while_it_was_asked_for_is_given_back() -> None:
    cluster = await Cluster().register()
    asked, answer = asyncio.Event(), asyncio.Event()
    granted = cluster.control.probe

    async def slow(provider_id: str) -> float | None:
        asked.set()
        await answer.wait()
        return await granted(provider_id)

    cluster.lines[0].probe = slow
    await open_breaker(cluster)
    cluster.clock.advance(10)

    leaving = asyncio.create_task(cluster.a.admit("first"))
    await asked.wait()
    leaving.cancel()
    await asyncio.wait({leaving})
    answer.set()
    for _ in range(5):
        await asyncio.sleep(0)
    await cluster.a.flush()
    await cluster.b.flush()

    assert (await cluster.b.admit("first")).probe is not None


async def test_one_request_at_a_time_asks_for_the_probe_also_when_the_authority_is_away() -> None:
    cluster = await Cluster().register()
    await open_breaker(cluster)
    cluster.clock.advance(10)
    cluster.lines[0].cut = True

    admitted = await asyncio.gather(*(cluster.a.admit("first") for _ in range(20)))

    assert sum(admission is not None for admission in admitted) == 1


async def test_an_authority_that_is_slow_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(breakers, "PROBE_WITHIN_S", 0.01)
    cluster = await Cluster().register()
    await open_breaker(cluster)
    cluster.clock.advance(10)
    answer, granted = asyncio.Event(), cluster.control.probe

    async def slow(provider_id: str) -> float | None:
        await answer.wait()
        return await granted(provider_id)

    cluster.lines[0].probe = slow
    admission = await cluster.a.admit("first")
    assert admission.probe is not None

    answer.set()
    for _ in range(5):
        await asyncio.sleep(0)
    cluster.a.breakers.observe(cluster.failure(admission.probe))
    await cluster.a.flush()
    await cluster.b.flush()
    assert cluster.b.breakers.is_open("first")


async def test_a_wait_survives_the_death_of_the_authority() -> None:
    cluster = await Cluster().register()
    until = cluster.clock.now() + 20
    seen = Observation("first", "first/chat", Outcome.FAILURE, cluster.clock.now(), cool_until=until)
    cluster.a.breakers.observe(seen)
    await cluster.a.flush()

    cluster.restart_the_authority()
    await cluster.a.introduce()
    await cluster.b.introduce()

    assert cluster.plane.snapshot(cluster.clock.now()).cooling == {"first/chat": until}


async def test_a_clock_that_is_ahead_does_not_prolong_a_wait() -> None:
    cluster = await Cluster().register()
    ahead = cluster.clock.now() + 500
    seen = Observation("first", "first/chat", Outcome.FAILURE, ahead, cool_until=ahead + 20)

    snapshot = cluster.plane.report(Report("b", 1, (seen,)), cluster.clock.now()).snapshot

    assert snapshot.cooling == {"first/chat": cluster.clock.now() + 20}


@pytest.mark.parametrize("ticks", range(5))
async def test_stopping_right_after_a_failure_ends(ticks: int) -> None:
    clock = FakeClock()
    replica = ControlCache(
        "r", SETTINGS, LocalControlPlane(ControlPlane("g", prices_of), clock), clock, prices_of(SETTINGS)
    )
    await replica.start()
    await asyncio.sleep(0.01)
    replica.breakers.observe(Observation("first", "first/first-chat", Outcome.FAILURE, clock.now()))
    for _ in range(ticks):
        await asyncio.sleep(0)

    async with asyncio.timeout(5):
        await replica.stop()


async def test_what_an_authority_has_taken_with_it_is_told_to_the_next_one(tmp_path: Path) -> None:
    clock, store = FakeClock(), SqlStore(f"sqlite:///{tmp_path}/never-opened.db")
    line = Line(LocalControlPlane(ControlPlane("g1", prices_of), clock, store))
    router = ControlCache("a", SETTINGS, line, clock, {})
    await router.introduce()
    router.account(entry(1, journal="a"), 0, None)
    await router.flush()

    anew = ControlPlane("g2", prices_of)
    line.control = LocalControlPlane(anew, clock, store)
    router.account(entry(2, journal="a"), 0, None)
    await router.flush()  # it comes before the watch has told of the new authority
    await router.flush()

    assert [one.number for one in anew.unwritten(10)] == [1, 2]


class Contended(LocalControlPlane):
    """An authority at which another router waits for the same credit all the time."""

    async def report(self, report: Report) -> Receipt:
        receipt = await super().report(report)
        return replace(receipt, snapshot=replace(receipt.snapshot, recalls={LIMIT.id: "other"}))


async def test_credit_that_was_just_granted_is_not_given_back_to_others_who_wait() -> None:
    clock = FakeClock()
    router = ControlCache("a", LIMITED, Contended(ControlPlane("g", prices_of), clock), clock, {})
    await router.introduce()

    waiting = asyncio.create_task(router.reservations.reserve([(LIMIT, 10)], 2.0))
    await asyncio.sleep(0)
    await router.flush()

    async with asyncio.timeout(1):
        assert (await waiting).is_open


class Silent(LocalControlPlane):
    """An authority that lends nothing yet, and counts how often it is asked."""

    asked = 0

    async def report(self, report: Report) -> Receipt:
        self.asked += bool(report.wants)
        receipt = await super().report(report)
        return replace(receipt, grants={name: Grant(0, 0, later=True) for name in report.wants})


async def test_an_authority_that_lends_nothing_yet_is_asked_less_and_less_often() -> None:
    clock = SystemClock()
    control = Silent(ControlPlane("g", prices_of), clock)
    router = ControlCache("a", LIMITED, control, clock, {})
    await router.start()

    await router.reservations.reserve([(LIMIT, 10)], 0.6)  # it goes on by what it knows in the end

    await router.stop()
    assert 1 <= control.asked <= 8, "after 0.02 s, 0.04, 0.08, 0.16 and then 0.25"


async def test_a_rate_that_is_taken_away_lets_those_through_who_wait_for_it() -> None:
    clock = FakeClock()
    control = LocalControlPlane(ControlPlane("g", prices_of), clock)
    router = ControlCache("a", SETTINGS, control, clock, {})
    await router.introduce()

    waiting = asyncio.create_task(router.reservations.reserve([(PER_MINUTE, 1)], 2.0))
    await asyncio.sleep(0)
    await router.flush()

    async with asyncio.timeout(1):
        assert (await waiting).is_open


async def test_a_router_that_has_much_to_tell_tells_it_without_a_pause(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(control_cache, "REPORT_EVERY_S", 60.0)
    clock, plane = FakeClock(), ControlPlane("g1", prices_of)
    line = Line(LocalControlPlane(plane, clock, SqlStore(f"sqlite:///{tmp_path}/never-opened.db")))
    router = ControlCache("a", SETTINGS, line, clock, {})
    await router.start()
    for number in range(1, 2 * AT_ONCE + 2):
        router.account(entry(number, journal="a"), 0, None)

    # A failure is told at once.
    router.breakers.observe(Observation("first", "first/first-chat", Outcome.FAILURE, clock.now()))
    await asyncio.sleep(0.5)

    assert len(plane.unwritten(3 * AT_ONCE)) == 2 * AT_ONCE + 1
    await router.stop()


class Unremovable(MemoryJournal):
    """A journal on a disk that will not have anything removed."""

    def written(self, number: int) -> None:
        raise OSError("read-only file system")


async def test_a_journal_that_cannot_be_trimmed_does_not_end_the_reporting() -> None:
    clock, plane = FakeClock(), ControlPlane("g1", prices_of)
    router = ControlCache("a", SETTINGS, LocalControlPlane(plane, clock), clock, {}, Unremovable("a"))
    await router.introduce()
    router.account(entry(1, journal="a"), 0, None)

    await router.flush()
    await router.flush()

    assert plane.snapshot(clock.now()).marks["a"] == JournalPosition(1, 1)


# Models that we host ourselves


class Hosts(Cluster):
    """The second provider hosts its model: two requests at once in a replica, and one may wait."""

    def __init__(self) -> None:
        super().__init__()
        first, second = SETTINGS.llm_providers
        model = {"model_id": "llama", "task": "chat_smart"}
        hosted = {"max_running": 2, "burst_queue": 1}
        own = ProviderConfig.model_validate({"id": "own", "type": "vllm", "models": [model], "local": hosted})
        self.settings = SETTINGS.model_copy(update={"llm_providers": (first, second, own)})
        self.a, self.b = (
            ControlCache(name, self.settings, line, self.clock, {})
            for name, line in zip("ab", self.lines, strict=True)
        )

    async def heartbeat(self, is_ready: bool = True, running: int = 0, is_leaving: bool = False) -> None:
        await self.lines[0].heartbeat(Presence("own#1", "own", is_ready, running, is_leaving))

    async def news(self) -> None:
        """What the next watch of both routers brings; they know something by then."""
        for router, line in ((self.a, self.lines[0]), (self.b, self.lines[1])):
            router.take(await line.watch("g1", 0, 1))


async def test_who_is_not_hosted_here_is_always_there() -> None:
    cluster = await Hosts().register()

    assert cluster.a.warmth("first") is Warmth.WARM
    assert cluster.a.is_ready("first")
    assert cluster.a.warmth("own") is Warmth.COLD
    assert not cluster.a.is_ready("own")


async def test_a_presence_reaches_every_router_with_its_next_watch() -> None:
    cluster = await Hosts().register()

    await cluster.heartbeat(is_ready=False)
    await cluster.news()
    assert [router.warmth("own") for router in (cluster.a, cluster.b)] == [Warmth.STARTING] * 2

    await cluster.heartbeat()
    await cluster.news()
    assert [router.warmth("own") for router in (cluster.a, cluster.b)] == [Warmth.WARM] * 2
    assert cluster.b.is_ready("own")

    cluster.clock.advance(1.0)
    await cluster.heartbeat(running=4)
    await cluster.news()
    assert [router.warmth("own") for router in (cluster.a, cluster.b)] == [Warmth.SATURATED] * 2

    await cluster.heartbeat(is_leaving=True)
    await cluster.news()
    assert [router.warmth("own") for router in (cluster.a, cluster.b)] == [Warmth.COLD] * 2


async def test_a_watch_that_waits_ends_when_a_replica_says_that_it_is_there() -> None:
    cluster = await Hosts().register()
    known = cluster.plane.snapshot(cluster.clock.now())
    waiting = asyncio.create_task(cluster.control.watch(known.generation, known.version, 60))
    await asyncio.sleep(0)

    await cluster.heartbeat()

    async with asyncio.timeout(5):
        assert (await waiting).capacities == {"own": Capacity(ready=1)}


async def test_silence_takes_a_replica_away_with_the_next_report_of_any_router() -> None:
    cluster = await Hosts().register()
    await cluster.heartbeat()
    await cluster.news()
    known = cluster.plane.snapshot(cluster.clock.now())
    waiting = asyncio.create_task(cluster.control.watch(known.generation, known.version, 60))
    await asyncio.sleep(0)

    cluster.clock.advance(HEARD_WITHIN_S + 1)
    await cluster.a.flush()

    assert cluster.a.warmth("own") is Warmth.COLD
    async with asyncio.timeout(5):
        cluster.b.take(await waiting)
    assert cluster.b.warmth("own") is Warmth.COLD


async def test_after_a_restart_of_the_authority_a_presence_comes_again() -> None:
    cluster = await Hosts().register()
    await cluster.heartbeat()
    await cluster.news()

    cluster.restart_the_authority()
    await cluster.a.introduce()
    cluster.clock.advance(HEARD_WITHIN_S + 1)
    await cluster.a.flush()
    assert cluster.a.warmth("own") is Warmth.COLD  # nobody has said otherwise, and all have had the time

    await cluster.heartbeat()
    await cluster.a.flush()
    assert cluster.a.warmth("own") is Warmth.WARM


async def test_a_router_that_is_cut_off_goes_on_with_what_it_heard_last() -> None:
    cluster = await Hosts().register()
    await cluster.heartbeat()
    await cluster.news()

    cluster.lines[0].cut = True
    cluster.clock.advance(HEARD_WITHIN_S + 1)

    assert cluster.a.warmth("own") is Warmth.WARM


async def test_a_routers_own_requests_count_before_the_replica_has_spoken_of_them() -> None:
    cluster = await Hosts().register()
    await cluster.heartbeat()
    await cluster.news()

    cluster.a.gauges[IN_FLIGHT, ("own",)] = 3
    assert cluster.a.is_ready("own")

    cluster.a.gauges[IN_FLIGHT, ("own",)] = 4
    assert cluster.a.warmth("own") is Warmth.SATURATED
    assert cluster.b.is_ready("own")
