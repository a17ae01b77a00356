"""What requests pay for a machine of one's own, which is paid by the hour."""

from collections.abc import AsyncGenerator, AsyncIterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from serve_app.config.model import ModelTask
from serve_app.config.settings import Settings
from serve_app.control.capacity import Presence
from serve_app.errors import (
    BudgetExceeded,
    FailureKind,
    NoSuitableProviders,
    ReplicaLost,
    UpstreamError,
    upstream_error,
)
from serve_app.formats.chat_request import ChatRequest
from serve_app.formats.openai_chat.request import read_chat
from serve_app.gateway.affordable_targets import most_usage
from serve_app.gateway.response import ResponseStream
from serve_app.ledger.entry import Entry, EntryOutcome
from serve_app.pricing.target_prices import prices_of
from serve_app.pricing.usage import Usage
from serve_app.pricing.worst_case import worst_case
from serve_app.providers.base import Answer, Call, Provider, StreamEnd, StreamHead, StreamItem
from serve_app.providers.metered import MeteredProvider
from serve_app.routing.requirements import Requirements
from serve_app.routing.target import targets_of
from serve_app.storage.sql import SqlStore
from tests.support.clock import FakeClock
from tests.support.harness import Harness, ListedProvider
from tests.support.settings import settings

pytestmark = pytest.mark.anyio

RATE = 3.6  # US dollars an hour: a thousand nano-dollars a millisecond
TIMEOUT_S = 10
HI = {"messages": [{"role": "user", "content": "hi"}]}
WANTED = Requirements(ModelTask.CHAT_SMART, input_tokens=100, output_limit=50)
ANSWER = Answer(b'{"id":"1"}', Usage(100, 50), upstream_s=0.2)


def request(**fields: object) -> ChatRequest:
    return read_chat(orjson.dumps({**HI, **fields}))


class Working(ListedProvider):
    """Takes `works_s` before it says anything, and as long again before the end of a stream."""

    def __init__(self, clock: FakeClock, works_s: float, *answers: Any) -> None:
        super().__init__(*(answers or (ANSWER,)))
        self.clock = clock
        self.works_s = works_s

    async def chat(self, call: Call) -> Answer | UpstreamError:
        await self.clock.sleep(self.works_s)
        return await super().chat(call)

    async def chat_stream(self, call: Call) -> AsyncGenerator[StreamItem, None]:
        await self.clock.sleep(self.works_s)
        yield StreamHead(self.works_s)
        yield b"data: 1\n\n"
        await self.clock.sleep(self.works_s)
        answer = self._next(call)
        yield answer if isinstance(answer, UpstreamError) else StreamEnd(ANSWER.usage, 0.3, 8)


class Scene:
    """A machine of one's own that works so long on everything, its gateway, and what the ledger says."""

    def __init__(self, folder: Path) -> None:
        self.clock = FakeClock()
        self.own_clock = FakeClock()  # reporting to the authority takes time on its clock, not on the machine
        self.store = SqlStore(f"sqlite:///{folder}/ledger.db")
        self.harness: Harness

    async def open(
        self,
        works_s: float,
        *answers: Any,
        hourly_rate: float | None = RATE,
        hosted: bool = False,
        **more: Any,
    ) -> Harness:
        clock = self.own_clock if more else self.clock
        provider: Provider = Working(clock, works_s, *answers)
        if hourly_rate:
            provider = MeteredProvider(provider, clock)
        config = own_machine(hourly_rate, hosted, **more)
        self.harness = Harness(config, {"own": provider}, self.clock, self.store)  # type: ignore[dict-item]
        await self.harness.authority._restore(self.store)  # no task in the background moves the clock
        await (self.harness.control.start() if more else self.harness.open())
        return self.harness

    async def machine_starts(self) -> None:
        await self.harness.authority.heartbeat(Presence("own#1", "own", is_ready=True))
        self.harness.control.take(await self.harness.authority.watch("", 0, 1))

    async def ledger(self) -> list[Entry]:
        await self.harness.control.flush()
        await self.harness.authority._write(self.store)
        return list(await self.store.entries())


def own_machine(hourly_rate: float | None = RATE, hosted: bool = False, **more: Any) -> Settings:
    provider = {
        "id": "own",
        "type": "vllm",
        "hourly_rate": hourly_rate,
        "timeout": TIMEOUT_S,
        "retry": {"max_retries": 0},
        "models": [{"model_id": "qwen", "task": "chat_smart"}],
        "local": {} if hosted else None,
    }
    return settings({"llm_providers": [provider], "default_models": {}}, **more)


@pytest.fixture
async def scene(tmp_path: Path) -> AsyncIterator[Scene]:
    scene = Scene(tmp_path)
    yield scene
    await scene.harness.control.stop()
    await scene.store.close()


async def read(stream: ResponseStream) -> list[object]:
    return [item async for item in stream]


async def test_a_whole_answer_pays_for_the_time_it_had_the_machine(scene: Scene) -> None:
    harness = await scene.open(2.5)

    await harness.chat(request(), "r")
    [line] = await scene.ledger()

    assert (line.usage, line.cost) == (Usage(100, 50, machine_ms=2500), 2_500_000)


async def test_a_stream_pays_from_its_beginning_to_its_end(scene: Scene) -> None:
    harness = await scene.open(2.5)

    await read(await harness.chat_stream(request(), "r"))
    [line] = await scene.ledger()

    assert (line.usage, line.cost) == (Usage(100, 50, machine_ms=5000), 5_000_000)


async def test_a_stream_that_is_held_back_pays_the_same(scene: Scene) -> None:
    harness = await scene.open(0.5, routing={"on_stream_failure": "hold"})

    await read(await harness.chat_stream(request(), "r"))
    [line] = await scene.ledger()

    assert line.usage == Usage(100, 50, machine_ms=1000)


async def test_time_is_told_where_tokens_are_not(scene: Scene) -> None:
    harness = await scene.open(1.0, Answer(b"{}", None, 0.1, output_chars=400))

    await harness.chat(request(), "r")
    [line] = await scene.ledger()

    assert (line.usage.output, line.usage.machine_ms, line.usage.estimated) == (100, 1000, True)


async def test_an_attempt_that_fails_pays_for_its_time_by_the_routers_clock(scene: Scene) -> None:
    harness = await scene.open(2.0, upstream_error("it broke", "own", FailureKind.BROKEN))

    with pytest.raises(UpstreamError):
        await harness.chat(request(), "r")
    [line] = await scene.ledger()

    assert (line.outcome, line.cost) == (EntryOutcome.FAILED, 2_000_000)
    assert line.usage == Usage(machine_ms=2000, estimated=True)


async def test_a_stream_that_breaks_off_pays_for_what_it_said_and_for_its_time(scene: Scene) -> None:
    harness = await scene.open(2.0, upstream_error("it broke", "own", FailureKind.BROKEN))

    await read(await harness.chat_stream(request(), "r"))
    [line] = await scene.ledger()

    assert (line.usage.output, line.usage.machine_ms, line.usage.estimated) == (1, 4000, True)


@pytest.mark.parametrize("kind", [FailureKind.UNREACHABLE, FailureKind.SATURATED])
async def test_who_was_never_reached_has_spent_no_time(scene: Scene, kind: FailureKind) -> None:
    harness = await scene.open(2.0, upstream_error("nobody there", "own", kind))

    with pytest.raises(UpstreamError):
        await harness.chat(request(), "r")
    [line] = await scene.ledger()

    assert (line.usage, line.cost) == (Usage(), 0)


async def test_what_was_lost_costs_the_tokens_it_may_have_cost_and_the_time_it_had(scene: Scene) -> None:
    """Many are lost with one machine: it cannot have worked for all the time that each might have had."""
    harness = await scene.open(2.0, ReplicaLost("gone", "own"))

    with pytest.raises(UpstreamError):
        await harness.chat(request(), "r")
    [line] = await scene.ledger()

    assert (line.outcome, line.usage.machine_ms, line.cost) == (EntryOutcome.LOST, 2000, 2_000_000)
    assert line.usage.output > 1000


@pytest.mark.parametrize(("starts", "machine_ms"), [(False, 0), (True, 2000)])
async def test_who_waited_for_a_machine_in_vain_has_spent_none_of_its_time(
    scene: Scene, starts: bool, machine_ms: int
) -> None:
    harness = await scene.open(2.0, upstream_error("too slow", "own", FailureKind.TIMEOUT), hosted=True)
    if starts:
        await scene.machine_starts()

    with pytest.raises(UpstreamError):
        await harness.chat(request(), "r")
    [line] = await scene.ledger()

    assert line.usage.machine_ms == machine_ms


async def test_who_leaves_pays_for_no_machine_that_had_yet_to_start(scene: Scene) -> None:
    harness = await scene.open(2.0, hosted=True)
    stream = await harness.chat_stream(request(), "r")
    rest = aiter(stream)
    await anext(rest)

    scene.clock.advance(3.0)
    await stream.aclose()
    [line] = await scene.ledger()

    assert (line.outcome, line.usage.machine_ms) == (EntryOutcome.ABANDONED, 3000)


async def test_a_caller_who_leaves_shares_with_those_who_stay(scene: Scene) -> None:
    harness = await scene.open(0.0)
    leaves = await harness.chat_stream(request(), "leaves")
    stays = await harness.chat_stream(request(), "stays")
    rest = aiter(stays)
    await anext(aiter(leaves))
    await anext(rest)
    scene.clock.advance(3.0)
    await leaves.aclose()
    scene.clock.advance(1.0)
    assert [type(item) async for item in rest] == [StreamEnd]
    told = {line.request_id: (line.outcome, line.usage.machine_ms) for line in await scene.ledger()}

    assert told == {
        "leaves": (EntryOutcome.ABANDONED, 1500),
        "stays": (EntryOutcome.SERVED, 1500 + 1000),
    }


async def test_a_machine_that_nobody_pays_by_the_hour_is_not_in_the_ledger(scene: Scene) -> None:
    harness = await scene.open(2.0, hourly_rate=None)

    await harness.chat(request(), "r")
    [line] = await scene.ledger()

    assert (line.usage, line.cost) == (Usage(100, 50), 0)


# Before the call


def cost_of(config: Settings, most: Usage) -> int:
    """Nano-dollars, at the only price there is."""
    [price] = prices_of(config).values()
    assert price is not None
    return price.cost(worst_case(price, most))


def test_set_aside_is_the_machine_alone_for_as_long_as_an_answer_may_take() -> None:
    config = own_machine()
    [target] = targets_of(config)

    most = most_usage(target, WANTED)
    assert most == Usage(100, 50, machine_ms=10_000, estimated=True)
    assert cost_of(config, most) == 10_000_000


def test_where_tokens_have_a_price_too_both_are_set_aside() -> None:
    [provider] = own_machine().llm_providers
    [model] = provider.models
    model = model.model_copy(update={"cost_per_1k_input": 0.001, "cost_per_1k_output": 0.002})
    config = settings(
        {"llm_providers": [provider.model_copy(update={"models": (model,)})], "default_models": {}}
    )
    [target] = targets_of(config)

    assert cost_of(config, most_usage(target, WANTED)) == 10_000_000 + 100_000 + 100_000


async def test_the_choice_goes_by_tokens_alone_and_the_budget_by_the_time(scene: Scene) -> None:
    """Time is paid for whoever uses it, and makes no target dear; but 0.01 dollars have to be set aside."""
    harness = await scene.open(1.0, budgets={"limit": 0.0099, "window": "total"})

    assert [candidate.cost for candidate in harness.plan(WANTED._replace(max_cost=0)).ordered] == [0]
    for _ in range(2):
        with pytest.raises(BudgetExceeded):
            await harness.chat(request(), "r")
    with pytest.raises(NoSuitableProviders, match="budget 'gateway/total'"):
        harness.route(WANTED)


async def test_a_budget_holds_for_time_too(scene: Scene) -> None:
    """Out of 0.035 dollars: 0.01 have to be free for each, and each then takes 0.008."""
    harness = await scene.open(8.0, budgets={"limit": 0.035, "window": "total"})

    for _ in range(4):
        await harness.chat(request(), "r")
    with pytest.raises(BudgetExceeded):
        await harness.chat(request(), "r")

    assert sum(line.cost or 0 for line in await scene.ledger()) == 32_000_000
