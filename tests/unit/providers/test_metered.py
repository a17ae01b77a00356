"""Whose time a provider's machine spends, as its requests come and go."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing

import pytest

from serve_app.config.provider import ProviderConfig
from serve_app.errors import FailureKind, UpstreamError, upstream_error
from serve_app.pricing.occupancy import Occupancy
from serve_app.pricing.usage import Usage
from serve_app.providers.base import Answer, Call, StreamEnd, StreamHead, StreamItem
from serve_app.providers.factory import build_provider
from serve_app.providers.metered import MeteredProvider
from tests.support.clock import FakeClock
from tests.support.harness import ListedProvider

pytestmark = pytest.mark.anyio

USAGE = Usage(10, 5)
BROKEN = upstream_error("it broke", "own", FailureKind.BROKEN)


def call(timeout_s: float = 60.0) -> Call:
    return Call("m", b"{}", timeout_s)


class Machine(ListedProvider):
    """Works on every request until it is told to be done with it."""

    def __init__(self, clock: FakeClock, answer: Answer | UpstreamError | None = None) -> None:
        super().__init__(answer or Answer(b"{}", USAGE, 0.1))
        self.clock = clock
        self.done: list[asyncio.Event] = []

    async def chat(self, call: Call) -> Answer | UpstreamError:
        await self._work()
        return await super().chat(call)

    async def chat_stream(self, call: Call) -> AsyncGenerator[StreamItem, None]:
        try:
            yield StreamHead(0.1)
            yield b"data: 1\n\n"
            await self._work()
            answer = await super().chat(call)
            yield answer if isinstance(answer, UpstreamError) else StreamEnd(USAGE, 0.1, 4)
        finally:
            self.closed_streams += 1

    async def _work(self) -> None:
        self.done.append(asyncio.Event())
        await self.done[-1].wait()


class Scene:
    """A machine, its meter, and requests that were sent to it."""

    def __init__(self, answer: Answer | UpstreamError | None = None) -> None:
        self.clock = FakeClock()
        self.machine = Machine(self.clock, answer)
        self.occupancy = Occupancy()
        self.metered = MeteredProvider(self.machine, self.clock, self.occupancy)

    async def chat(self, timeout_s: float = 60.0) -> "asyncio.Task[Answer | UpstreamError]":
        asked = asyncio.create_task(self.metered.chat(call(timeout_s)))
        await asyncio.sleep(0)
        return asked

    async def stream(self) -> "asyncio.Task[list[StreamItem]]":
        async def read() -> list[StreamItem]:
            return [item async for item in self.metered.chat_stream(call())]

        asked = asyncio.create_task(read())
        await asyncio.sleep(0)
        return asked


async def test_a_whole_answer_tells_its_share_beside_its_tokens() -> None:
    scene = Scene()
    asked = await scene.chat()
    scene.clock.advance(2.5)
    scene.machine.done[0].set()

    assert await asked == Answer(b"{}", USAGE, 0.1, machine_ms=2500)


async def test_a_stream_tells_it_with_its_end() -> None:
    scene = Scene()
    reading = await scene.stream()
    scene.clock.advance(2.5)
    scene.machine.done[0].set()

    assert (await reading)[-1] == StreamEnd(USAGE, 0.1, 4, machine_ms=2500)


async def test_a_chat_and_a_stream_at_once_share_the_machine() -> None:
    scene = Scene()
    asked, reading = await scene.chat(), await scene.stream()
    scene.clock.advance(4.0)
    scene.machine.done[1].set()
    end = (await reading)[-1]
    scene.clock.advance(1.0)
    scene.machine.done[0].set()
    answer = await asked

    assert isinstance(end, StreamEnd)
    assert isinstance(answer, Answer)
    assert (end.machine_ms, answer.machine_ms) == (2000, 3000)


async def test_vectors_are_metered_as_well() -> None:
    scene = Scene()
    asked = asyncio.create_task(scene.metered.embed(call()))
    await asyncio.sleep(0)
    scene.clock.advance(1.0)
    scene.machine.done[0].set()
    answer = await asked

    assert isinstance(answer, Answer)
    assert answer.machine_ms == 1000


async def test_a_failure_is_handed_on_and_no_longer_shares() -> None:
    scene = Scene(BROKEN)
    asked, reading = await scene.chat(), await scene.stream()
    for done in scene.machine.done:
        done.set()

    assert await asked is BROKEN
    assert (await reading)[-1] is BROKEN
    assert scene.occupancy.present == 0


async def test_who_leaves_no_longer_shares() -> None:
    scene = Scene()
    asked, reading, stays = await scene.chat(), await scene.stream(), await scene.chat()
    asked.cancel()
    reading.cancel()
    await asyncio.gather(asked, reading, return_exceptions=True)

    assert scene.occupancy.present == 1
    assert scene.machine.closed_streams == 1
    scene.clock.advance(1.0)
    scene.machine.done[2].set()
    answer = await stays
    assert isinstance(answer, Answer)
    assert answer.machine_ms == 1000


async def test_a_stream_that_is_closed_in_the_middle_leaves_once() -> None:
    scene = Scene()
    async with aclosing(scene.metered.chat_stream(call())) as stream:
        assert isinstance(await anext(stream), StreamHead)
        assert scene.occupancy.present == 1

    assert scene.occupancy.present == 0
    assert scene.machine.closed_streams == 1


async def test_a_stream_that_nobody_began_to_read_never_came() -> None:
    scene = Scene()
    await scene.metered.chat_stream(call()).aclose()

    assert scene.occupancy.present == 0


async def test_an_error_of_ours_leaves_no_request_behind() -> None:
    metered = MeteredProvider(ListedProvider(RuntimeError("ours")), FakeClock(), occupancy := Occupancy())

    with pytest.raises(RuntimeError):
        await metered.chat(call())
    with pytest.raises(RuntimeError):
        [item async for item in metered.chat_stream(call())]
    assert occupancy.present == 0


async def test_a_whole_answer_never_costs_more_than_the_time_it_was_given() -> None:
    scene = Scene()
    asked = await scene.chat(timeout_s=2.0)
    scene.clock.advance(2.25)  # the loop was busy, and nobody noticed that its time was up
    scene.machine.done[0].set()
    answer = await asked

    assert isinstance(answer, Answer)
    assert answer.machine_ms == 2000


@pytest.mark.parametrize(("rate", "is_metered"), [(4.0, True), (0.0, False), (None, False)])
def test_a_provider_is_metered_where_its_hour_costs_something(rate: float | None, is_metered: bool) -> None:
    config = ProviderConfig(id="own", type="scripted", hourly_rate=rate)

    assert isinstance(build_provider(config, {}, FakeClock()), MeteredProvider) is is_metered
