"""Looking at providers: when, at whom, and who hears of what was seen."""

import asyncio
from collections.abc import Callable, Sequence
from random import Random

import pytest

from serve_app.config.health import HealthPolicy
from serve_app.events import Event, HealthChanged
from serve_app.providers.base import Health, HealthStatus
from serve_app.providers.health_monitor import (
    AGAIN_AFTER_S,
    FIRST_WITHIN_S,
    JITTER,
    HealthMonitor,
    free_to_look_at,
    pause_s,
)
from tests.support.clock import FakeClock
from tests.support.settings import two_providers

pytestmark = pytest.mark.anyio

WELL, ILL, UNKNOWN = HealthStatus.HEALTHY, HealthStatus.UNHEALTHY, HealthStatus.UNKNOWN
POLICY = HealthPolicy(interval_s=60)
HASTY = HealthPolicy(interval_s=60, timeout_s=0.01)


class Patient:
    """A provider with a list of states, one a look; the last one again and again."""

    def __init__(self, clock: FakeClock, *states: HealthStatus | Exception) -> None:
        self._clock = clock
        self._states = list(states)
        self.looks = 0
        self.is_looked_at = asyncio.Event()
        self.may_answer = asyncio.Event()
        self.may_answer.set()

    async def health(self) -> Health:
        self.looks += 1
        self.is_looked_at.set()
        await self.may_answer.wait()
        state = self._states.pop(0) if len(self._states) > 1 else self._states[0]
        if isinstance(state, Exception):
            raise state
        error = "connection refused" if state is ILL else None
        return Health(state, 3.0 if state is WELL else None, error, (), self._clock.now())


class Diary(FakeClock):
    """A clock that writes down every pause, and ends the waiting when there are enough."""

    def __init__(self, enough: int) -> None:
        super().__init__()
        self.pauses: list[float] = []
        self.full = asyncio.Event()
        self._enough = enough

    async def sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        if len(self.pauses) == self._enough:
            self.full.set()
        if len(self.pauses) >= self._enough:
            await asyncio.Event().wait()
        await super().sleep(seconds)


class Tower:
    """A lookout over patients, and what it told."""

    def __init__(
        self, clock: FakeClock, *patients: Patient, policy: HealthPolicy = POLICY, seed: int = 1
    ) -> None:
        self.told: list[Event] = []
        providers = dict(zip("abc", patients, strict=False))
        self.health_monitor = HealthMonitor(policy, providers, clock, Random(seed), self.told.append)

    @property
    def turns(self) -> list[tuple[str, HealthStatus, HealthStatus]]:
        return [
            (event.provider_id, event.before, event.after)
            for event in self.told
            if isinstance(event, HealthChanged)
        ]


async def pauses_of(states: Sequence[HealthStatus], seed: int = 1) -> list[float]:
    """The first pauses of a lookout that finds these states."""
    clock = Diary(enough=len(states) + 1)
    health_monitor = Tower(clock, Patient(clock, *states), seed=seed).health_monitor
    health_monitor.start()
    async with asyncio.timeout(3):
        await clock.full.wait()
    await health_monitor.stop()
    return clock.pauses


# Without a task


async def test_nothing_is_known_before_the_first_look() -> None:
    clock = FakeClock()
    patient = Patient(clock, WELL)

    assert Tower(clock, patient).health_monitor.seen == {}
    assert patient.looks == 0


async def test_the_first_who_asks_gets_a_look_and_the_second_the_same_one() -> None:
    clock = FakeClock()
    patient = Patient(clock, WELL)
    health_monitor = Tower(clock, patient).health_monitor

    first = dict(await health_monitor.report())
    second = dict(await health_monitor.report())

    assert first == second == {"a": Health(WELL, 3.0, None, (), clock.now())}
    assert patient.looks == 1


async def test_two_who_ask_at_once_share_one_look() -> None:
    clock = FakeClock()
    patient = Patient(clock, WELL)
    health_monitor = Tower(clock, patient).health_monitor

    await asyncio.gather(health_monitor.report(), health_monitor.report())

    assert patient.looks == 1


async def test_one_who_goes_away_leaves_the_look_to_the_next() -> None:
    clock = FakeClock()
    patient = Patient(clock, WELL)
    patient.may_answer.clear()
    health_monitor = Tower(clock, patient).health_monitor
    impatient = asyncio.create_task(health_monitor.report())
    await asyncio.sleep(0)

    impatient.cancel()
    patient.may_answer.set()

    assert (await health_monitor.report())["a"].status is WELL


async def test_a_look_that_has_grown_old_is_taken_again() -> None:
    clock = FakeClock()
    health_monitor = Tower(clock, Patient(clock, WELL, ILL)).health_monitor
    await health_monitor.report()

    clock.advance(59)
    assert (await health_monitor.report())["a"].status is WELL
    clock.advance(1)
    assert (await health_monitor.report())["a"].status is ILL


# What a look can bring


async def test_a_provider_that_hangs_is_unhealthy_and_the_others_are_seen() -> None:
    clock = FakeClock()
    hanging, well = Patient(clock, WELL), Patient(clock, WELL)
    hanging.may_answer.clear()

    seen = await Tower(clock, hanging, well, policy=HASTY).health_monitor.report()

    assert (seen["a"].status, seen["a"].error) == (ILL, "no answer within 0.01 s")
    assert seen["a"].latency_ms is None
    assert seen["b"].status is WELL


async def test_a_mistake_in_a_providers_code_is_that_providers_failure(
    caplog: pytest.LogCaptureFixture,
) -> None:
    clock = FakeClock()

    seen = await Tower(clock, Patient(clock, KeyError("oops")), Patient(clock, WELL)).health_monitor.report()

    assert seen["a"].status is ILL
    assert "oops" not in str(seen["a"].error)
    assert seen["b"].status is WELL
    assert "unexpected error in a health check of provider 'a'" in caplog.text


async def test_every_turn_is_told_once() -> None:
    clock = FakeClock()
    tower = Tower(clock, Patient(clock, WELL, WELL, ILL, ILL, ILL, WELL))

    for _ in range(6):
        await tower.health_monitor.report()
        clock.advance(60)

    assert tower.turns == [("a", UNKNOWN, WELL), ("a", WELL, ILL), ("a", ILL, WELL)]


async def test_a_provider_that_is_ill_from_the_start_is_told_with_its_error() -> None:
    clock = FakeClock()
    tower = Tower(clock, Patient(clock, ILL))

    await tower.health_monitor.report()

    assert tower.told == [HealthChanged("a", UNKNOWN, ILL, "connection refused")]


async def test_of_a_provider_that_cannot_be_looked_at_nothing_is_told() -> None:
    clock = FakeClock()
    tower = Tower(clock, Patient(clock, UNKNOWN))

    await tower.health_monitor.report()

    assert tower.told == []


# With a task


async def test_looks_once_in_an_interval_and_never_in_step() -> None:
    first, *rest = await pauses_of([WELL] * 20)
    other = await pauses_of([WELL] * 20, seed=2)

    assert 0 <= first <= FIRST_WITHIN_S
    assert all(60 * (1 - JITTER) <= pause <= 60 * (1 + JITTER) for pause in rest)
    assert len(set(rest)) == len(rest)
    assert set(rest).isdisjoint(other)


async def test_looks_sooner_at_a_provider_that_is_ill_and_then_ever_more_seldom() -> None:
    _, *pauses = await pauses_of([ILL] * 7 + [WELL, ILL])

    expected = [2, 4, 8, 16, 32, 60, 60, 60, 2]
    assert all(abs(pause - about) <= about * JITTER for pause, about in zip(pauses, expected, strict=True))


@pytest.mark.parametrize("misses", [1, 5, 50, 5000])
def test_the_pause_is_never_longer_than_the_interval(misses: int) -> None:
    assert pause_s(HealthPolicy(interval_s=1), misses) == 1
    assert AGAIN_AFTER_S <= pause_s(POLICY, misses) <= 60


async def test_a_provider_that_hangs_never_delays_the_looks_at_another() -> None:
    clock = Diary(enough=10)
    hanging, well = Patient(clock, WELL), Patient(clock, WELL)
    hanging.may_answer.clear()
    health_monitor = Tower(clock, hanging, well).health_monitor

    health_monitor.start()
    async with asyncio.timeout(3):
        await clock.full.wait()
    await health_monitor.stop()

    assert hanging.looks == 1
    assert well.looks >= 8
    assert "a" not in health_monitor.seen


async def test_what_the_task_saw_is_there_without_another_look() -> None:
    clock = Diary(enough=2)
    patient = Patient(clock, WELL)
    health_monitor = Tower(clock, patient).health_monitor
    health_monitor.start()
    async with asyncio.timeout(3):
        await clock.full.wait()

    clock.advance(3600)
    seen = await health_monitor.report()
    await health_monitor.stop()

    assert seen["a"].status is WELL
    assert patient.looks == 1


async def test_nobody_looks_any_more_after_the_end() -> None:
    clock = FakeClock()
    patient = Patient(clock, WELL)
    patient.may_answer.clear()
    health_monitor = Tower(clock, patient).health_monitor
    health_monitor.start()
    async with asyncio.timeout(3):
        await patient.is_looked_at.wait()

    await health_monitor.stop()
    patient.may_answer.set()
    await asyncio.sleep(0)

    assert patient.looks == 1
    assert health_monitor.seen == {}
    health_monitor.check()


async def test_a_lookout_that_has_lost_a_task_says_so() -> None:
    clock = FakeClock()
    patient = Patient(clock, WELL)
    health_monitor = HealthMonitor(POLICY, {"a": patient}, clock, Random(1), _stumble)
    health_monitor.start()
    health_monitor.check()

    async with asyncio.timeout(3):
        await patient.is_looked_at.wait()

    with pytest.raises(ZeroDivisionError):
        health_monitor.check()
    await health_monitor.stop()


# While a breaker is open


class Outage:
    """A breaker that opens when it is told to, and closes when a look finds the provider well."""

    def __init__(self, clock: FakeClock, check_interval_s: float = 5.0) -> None:
        self._clock = clock
        self._listeners: list[Callable[[str], None]] = []
        self.check_interval_s = check_interval_s
        self.open: set[str] = set()
        self.found: list[tuple[str, float]] = []
        self.ended = asyncio.Event()

    def is_open(self, provider_id: str) -> bool:
        return provider_id in self.open

    def found_well(self, provider_id: str, at: float) -> None:
        self.found.append((provider_id, at))
        self.open.discard(provider_id)
        self.ended.set()

    def on_open(self, listener: Callable[[str], None]) -> None:
        self._listeners.append(listener)

    def opens(self, provider_id: str) -> None:
        self.open.add(provider_id)
        self.ended.clear()
        for listener in self._listeners:
            listener(provider_id)


async def test_a_provider_whose_breaker_is_open_is_looked_at_until_it_is_found_well() -> None:
    clock = FakeClock()
    patient, outage = Patient(clock, ILL, UNKNOWN, ILL, WELL), Outage(clock)
    health_monitor = Tower(clock, patient).health_monitor
    health_monitor.watch(outage, free=["a"])
    opened_at = clock.now()

    outage.opens("a")
    outage.opens("a")  # as every report of other routers says again
    async with asyncio.timeout(3):
        await outage.ended.wait()

    [(name, at)] = outage.found
    assert (name, patient.looks) == ("a", 4)
    assert 4 * 5 <= at - opened_at <= 4 * 5 * (1 + JITTER)
    await health_monitor.stop()


async def test_a_breaker_that_opens_again_is_looked_at_again() -> None:
    clock = FakeClock()
    outage = Outage(clock)
    health_monitor = Tower(clock, Patient(clock, WELL)).health_monitor
    health_monitor.watch(outage, free=["a"])

    for _ in range(2):
        outage.opens("a")
        async with asyncio.timeout(3):
            await outage.ended.wait()
        await asyncio.sleep(0)

    assert [name for name, _ in outage.found] == ["a", "a"]
    await health_monitor.stop()


@pytest.mark.parametrize(
    ("free", "check_interval_s", "is_stopped"), [([], 5, False), (["a"], 0, False), (["a"], 5, True)]
)
async def test_nobody_looks_where_that_may_cost_something_or_is_not_wanted(
    free: list[str], check_interval_s: float, is_stopped: bool
) -> None:
    clock = FakeClock()
    patient, outage = Patient(clock, WELL), Outage(clock, check_interval_s)
    health_monitor = Tower(clock, patient).health_monitor
    health_monitor.watch(outage, free)
    if is_stopped:
        await health_monitor.stop()

    outage.opens("a")
    for _ in range(10):
        await asyncio.sleep(0)

    assert patient.looks == 0
    await health_monitor.stop()


def test_a_provider_that_is_looked_at_with_paid_tokens_is_not_free_to_look_at() -> None:
    assert free_to_look_at(two_providers()) == {"first", "second"}
    assert free_to_look_at(two_providers({"paid_probes": True})) == set()


def _stumble(event: Event) -> None:
    raise ZeroDivisionError(event)
