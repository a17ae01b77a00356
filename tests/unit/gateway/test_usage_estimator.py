"""What is charged when the provider has said nothing, or something that cannot be."""

import asyncio
import logging
from collections.abc import AsyncGenerator
from typing import Any

import orjson
import pytest

from serve_app.events import RequestAbandoned, RequestServed
from serve_app.formats.chat_request import ChatRequest
from serve_app.formats.openai_chat.request import read_chat
from serve_app.pricing.usage import Usage
from serve_app.providers.base import Answer, Call, StreamEnd, StreamHead, StreamItem
from tests.support.clock import FakeClock
from tests.support.harness import Harness, ListedProvider
from tests.support.settings import settings

pytestmark = pytest.mark.anyio

PRICED = {"cost_per_1k_input": 0.001, "cost_per_1k_output": 0.01, "context_window": 8000}
INPUT = 50  # tokens of 200 characters


class SlowProvider(ListedProvider):
    """Takes so many seconds of its clock for an answer, which nobody hears where `is_silent`."""

    def __init__(self, clock: FakeClock, seconds: float, answer: Answer, is_silent: bool = False) -> None:
        super().__init__(answer)
        self._clock, self._seconds, self.is_silent = clock, seconds, is_silent
        self.has_waited = asyncio.Event()

    async def chat(self, call: Call) -> Any:
        await self._wait()
        return await super().chat(call)

    async def chat_stream(self, call: Call) -> AsyncGenerator[StreamItem, None]:
        yield StreamHead(0.1)
        await self._wait()
        yield StreamEnd(Usage(1, 1), 0.1, 1)

    async def _wait(self) -> None:
        self._clock.advance(self._seconds)
        self.has_waited.set()
        if self.is_silent:
            await asyncio.Event().wait()


def request(**fields: Any) -> ChatRequest:
    return read_chat(orjson.dumps({"messages": [{"role": "user", "content": "x" * 200}], **fields}))


async def house_of(
    seconds: float, answer: Answer | None = None, is_silent: bool = False, **limits: Any
) -> tuple[Harness, SlowProvider]:
    clock = FakeClock()
    models = [{"model_id": "chat", "task": "chat_smart", **PRICED}]
    one = {"id": "one", "type": "openai", "api_key": "k", "models": models}
    made = SlowProvider(clock, seconds, answer or Answer(b"{}", Usage(10, 10), seconds), is_silent)
    harness = Harness(
        settings({"llm_providers": [one], "default_models": {}}, **limits), {"one": made}, clock
    )
    return await harness.open(), made


async def abandoned(
    harness: Harness, provider: SlowProvider, stream: bool, **fields: Any
) -> RequestAbandoned:
    """The request of a caller who leaves once the provider has had its time."""
    asked = request(stream=stream, **fields)
    asking = asyncio.ensure_future(harness.chat_stream(asked, "r") if stream else harness.chat(asked, "r"))
    if not stream:
        await provider.has_waited.wait()
    else:
        reading = asyncio.ensure_future(anext(aiter(await asking)))
        await provider.has_waited.wait()
        asking = reading
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    await asyncio.sleep(0)
    [event] = [event for event in harness.events if isinstance(event, RequestAbandoned)]
    return event


@pytest.mark.parametrize("stream", [False, True])
async def test_who_leaves_before_the_first_token_pays_for_what_was_written_in_that_time(stream: bool) -> None:
    harness, provider = await house_of(0.5, is_silent=True)

    left = await abandoned(harness, provider, stream, max_tokens=4000)

    written = round(0.5 * 200)
    assert left.usage == Usage(INPUT, written, estimated=True)
    assert left.cost == INPUT * 1_000 + written * 10_000


async def test_who_leaves_pays_for_no_more_than_was_set_aside() -> None:
    harness, provider = await house_of(60.0, is_silent=True)

    assert (await abandoned(harness, provider, False, max_tokens=100, n=2)).usage.output_tokens == 200


async def test_the_speed_is_that_of_the_targets_own_answers() -> None:
    harness, provider = await house_of(10.0, Answer(b"{}", Usage(10, 400), 10.0))
    await harness.chat(request(), "r")
    await harness.control.flush()
    assert 40.0 <= harness.control.tokens_per_s("one/chat") <= 50.0

    provider.is_silent = True
    provider.has_waited.clear()
    left = await abandoned(harness, provider, False)

    assert 400 <= left.usage.output_tokens <= 500


@pytest.mark.parametrize(
    "told",
    [
        Usage(10, 10**12),
        Usage(10, -5),
        Usage(-1, 10),
        Usage(10**9, 10),
        Usage(10, 8000 + 100 + 1),
        Usage(2**60, 2**60),
        Usage(10, 10, searches=10**6),
    ],
)
async def test_a_usage_that_cannot_be_is_charged_by_time_and_told_to_operators(
    told: Usage, caplog: pytest.LogCaptureFixture
) -> None:
    budget = {"limit": 1, "window": "total"}
    harness, _ = await house_of(0.25, Answer(b"{}", told, 0.25), budgets=budget)
    await harness.control.start()

    with caplog.at_level(logging.ERROR):
        reply = await harness.chat(request(max_tokens=100), "r")
    again = await harness.chat(request(max_tokens=100), "r")  # the budget is not dead
    await harness.control.stop()

    served = [event for event in harness.events if isinstance(event, RequestServed)]
    assert served[0].usage == Usage(INPUT, 50, estimated=True)
    assert reply.routed.actual_cost == served[0].cost == INPUT * 1_000 + 50 * 10_000
    assert again.routed.actual_cost == reply.routed.actual_cost
    spent = harness.plane.totals(FakeClock().now()).limit_statuses[0].used
    assert spent == 2 * served[0].cost, "the ledger and the header agree"
    [line, *_] = [record.getMessage() for record in caplog.records if record.levelno == logging.ERROR]
    for figure in ("'one'", "'chat'", str(told.input_tokens), str(told.output_tokens)):
        assert figure in line


@pytest.mark.parametrize("told", [Usage(8000, 100), Usage(10, 8000), Usage(0, 0, reasoning=4000)])
async def test_what_may_be_is_charged_as_it_is_told(told: Usage) -> None:
    harness, _ = await house_of(0.25, Answer(b"{}", told, 0.25))

    await harness.chat(request(max_tokens=100), "r")

    assert [event.usage for event in harness.events if isinstance(event, RequestServed)] == [told]
