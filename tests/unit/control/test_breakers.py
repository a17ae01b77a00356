"""The breakers as one router knows them."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from serve_app.config.policy import BreakerPolicy
from serve_app.control import breakers as module
from serve_app.control.breakers import Admission, Breakers
from serve_app.control.protocol import ControlUnreachable, Observation
from serve_app.resilience.breaker import Breaker, BreakerState
from serve_app.resilience.outcome import Outcome
from tests.support.clock import FakeClock

pytestmark = pytest.mark.anyio

PROBE = 1_000_040.0  # the name of one that is given out when the clock has gone on for ten seconds
POLICY = BreakerPolicy(failure_threshold=2, reset_timeout=10, half_open_timeout=30, success_threshold=1)


class Authority:
    """Answers every request for a probe in this way."""

    def __init__(self, answer: Callable[[str], Awaitable[float | None]]) -> None:
        self.probe = answer


class AdminService:
    """One router's breakers, at an authority that says this of a probe."""

    def __init__(self, answer: Callable[[str], Awaitable[float | None]] | None = None) -> None:
        self.clock = FakeClock()
        self.reports = 0
        control: Any = Authority(answer or self.grants)
        self.breakers = Breakers(["p", "q"], POLICY, control, self.clock, self._report)

    def _report(self) -> None:
        self.reports += 1

    async def grants(self, provider_id: str) -> float | None:
        return PROBE

    def seen(self, outcome: Outcome = Outcome.FAILURE, **more: Any) -> Observation:
        return Observation("p", "p/m", outcome, self.clock.now(), **more)

    def opened(self) -> "AdminService":
        for _ in range(2):
            self.breakers.observe(self.seen())
        return self

    def half_open(self) -> "AdminService":
        self.opened()
        self.clock.advance(10)
        return self


async def unreachable(provider_id: str) -> float | None:
    raise ControlUnreachable("gone")


async def taken(provider_id: str) -> float | None:
    return None


async def test_a_closed_breaker_lets_everyone_through_and_an_open_one_nobody() -> None:
    desk = AdminService()
    assert await desk.breakers.admit("p") == Admission("p")

    desk.opened()

    assert desk.breakers.is_open("p")
    assert not desk.breakers.is_open("q")
    assert await desk.breakers.admit("p") is None
    assert await desk.breakers.admit("q") == Admission("q")


async def test_it_is_told_for_how_long_a_breaker_stays_open() -> None:
    desk = AdminService().opened()

    desk.clock.advance(3)
    assert desk.breakers.opens_in_s("p") == 7
    assert desk.breakers.is_open("p")
    desk.clock.advance(8)
    assert desk.breakers.opens_in_s("p") == 0
    assert not desk.breakers.is_open("p")


async def test_the_authority_gives_out_the_probe_and_while_it_is_out_nobody_else_goes() -> None:
    desk = AdminService().half_open()

    assert await desk.breakers.admit("p") == Admission("p", PROBE)
    assert await desk.breakers.admit("p") is None
    assert desk.breakers.of("p").probe_until == PROBE


async def test_where_another_router_has_the_probe_nobody_goes_here() -> None:
    assert await AdminService(taken).half_open().breakers.admit("p") is None


async def test_while_the_authority_is_away_a_router_gives_out_a_probe_of_its_own() -> None:
    desk = AdminService(unreachable).half_open()

    assert await desk.breakers.admit("p") == Admission("p", desk.clock.now() + 30)


async def test_a_probe_that_is_declined_is_for_the_next_one_and_leave_without_a_probe_is_no_news() -> None:
    desk = AdminService().half_open()
    desk.breakers.tell()

    desk.breakers.decline(Admission("p"))
    assert not desk.breakers.has_news
    desk.breakers.decline(Admission("p", 77.0))

    [told] = desk.breakers.tell()
    assert told == Observation("p", "", Outcome.IGNORED, desk.clock.now(), 77.0)


@pytest.mark.parametrize("ends", ["granted", "taken", "failed", "cancelled"])
async def test_an_answer_for_who_has_left_is_given_back_where_it_is_a_probe_and_troubles_nobody(
    ends: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PROBE_WITHIN_S", 0.001)
    troubles: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: troubles.append(context))
    answer: asyncio.Future[float | None] = asyncio.get_running_loop().create_future()

    async def slow(provider_id: str) -> float | None:
        return await answer

    desk = AdminService(slow).half_open()
    await desk.breakers.admit("p")
    desk.breakers.tell()
    match ends:
        case "granted":
            answer.set_result(PROBE)
        case "taken":
            answer.set_result(None)
        case "failed":
            answer.set_exception(ControlUnreachable("gone"))
        case _:
            answer.cancel()
    for _ in range(5):
        await asyncio.sleep(0)

    told = desk.breakers.tell()
    assert [(one.outcome, one.probe) for one in told] == (
        [(Outcome.IGNORED, PROBE)] if ends == "granted" else []
    )
    assert not troubles


def test_what_is_seen_is_known_here_at_once_and_told_once() -> None:
    desk = AdminService().opened()

    assert desk.breakers.known["p"].failure_count == 2
    assert desk.breakers.has_news
    assert len(desk.breakers.tell()) == 2
    assert desk.breakers.tell() == ()
    assert not desk.breakers.has_news


@pytest.mark.parametrize(
    ("seen", "is_urgent"),
    [
        ({"outcome": Outcome.SUCCESS, "latency_s": 0.5}, False),
        ({"outcome": Outcome.SUCCESS, "latency_s": 0.5, "probe": 77.0}, True),
        ({"outcome": Outcome.FAILURE}, True),
    ],
)
def test_only_a_success_that_was_no_probe_may_wait_until_the_next_report(
    seen: dict[str, Any], is_urgent: bool
) -> None:
    desk = AdminService()

    desk.breakers.observe(desk.seen(**seen))

    assert bool(desk.reports) is is_urgent


def test_what_the_authority_has_is_the_beginning_and_what_it_has_not_heard_is_replayed() -> None:
    desk = AdminService()
    on_the_way = desk.seen()
    desk.breakers.observe(desk.seen())

    desk.breakers.take({"p": Breaker(last_change=5.0)}, {}, [on_the_way])

    assert desk.breakers.known["p"].state is BreakerState.OPEN
    desk.breakers.tell()
    desk.breakers.take({"p": Breaker(last_change=5.0)}, {}, ())
    assert desk.breakers.known["p"] == Breaker(last_change=5.0)


def test_a_wait_that_a_target_asks_for_is_the_longest_of_all_that_are_heard_of() -> None:
    desk = AdminService()
    now = desk.clock.now()
    assert desk.breakers.cooling_s("p/m") == 0

    desk.breakers.observe(desk.seen(cool_until=now + 5))
    desk.breakers.take({}, {"p/m": now + 3, "q/m": now + 4}, ())
    assert (desk.breakers.cooling_s("p/m"), desk.breakers.cooling_s("q/m")) == (5, 4)
    desk.clock.advance(4.5)
    assert (desk.breakers.cooling_s("p/m"), desk.breakers.cooling_s("q/m")) == (0.5, 0)


def test_who_listens_hears_of_each_opening_once_also_of_those_before() -> None:
    desk = AdminService().opened()
    heard: list[str] = []
    desk.breakers.on_open(heard.append)
    assert heard == ["p"]

    desk.breakers.take({"p": desk.breakers.known["p"]}, {}, ())
    assert heard == ["p"], "the same opening, told again"
    again = desk.breakers.known["p"]._replace(last_change=desk.clock.now() + 1)
    desk.breakers.take({"p": again, "q": again}, {}, ())

    assert heard == ["p", "p", "q"]


def test_a_check_is_told_only_where_it_changes_something() -> None:
    policy = BreakerPolicy(failure_threshold=2)
    clock = FakeClock()
    control: Any = Authority(taken)
    breakers = Breakers(["p"], policy, control, clock, lambda: None)
    breakers.found_well("p", clock.now())
    assert not breakers.has_news

    for _ in range(2):
        breakers.observe(Observation("p", "p/m", Outcome.FAILURE, clock.now()))
    breakers.tell()
    breakers.found_well("p", clock.now() + 1)
    assert not breakers.has_news, "too soon after it opened"
    breakers.found_well("p", clock.now() + breakers.check_interval_s)
    assert [one.outcome for one in breakers.tell()] == [Outcome.WELL]
    assert not breakers.is_open("p")
