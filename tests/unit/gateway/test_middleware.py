"""What stands around a request: in which order, what it may change, and what it cannot get round."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest

from serve_app.api.app import build_api
from serve_app.caller import Caller
from serve_app.config.model import ModelTask
from serve_app.config.settings import Settings
from serve_app.errors import GatewayError, InvalidRequest, LimitReached, ModelNotAllowed
from serve_app.events import AttemptFailed, RequestFailed, RequestServed
from serve_app.formats.chat_request import ChatRequest
from serve_app.formats.openai_chat.request import read_chat
from serve_app.gateway.middleware import CallNext, Middleware
from serve_app.gateway.request import GatewayRequest
from serve_app.gateway.response import Items, Response, ResponseStream
from serve_app.gateway.routing_info import answered_by
from serve_app.observability.metrics import exposition
from serve_app.pricing.usage import Usage
from serve_app.providers.base import Answer, StreamEnd, StreamHead
from serve_app.storage.sql import SqlStore
from tests.support.clock import FakeClock
from tests.support.harness import Harness, ListedProvider
from tests.support.keyrings import keyring
from tests.support.settings import two_providers

pytestmark = pytest.mark.anyio

ANSWER = Answer(b'{"id":"1"}', Usage(10, 5), 0.1)
FRAMES = [StreamHead(0.1), b'data: {"id":"1","choices":[]}\n\n', StreamEnd(Usage(10, 5), 0.1, 8)]
FROM_CACHE = answered_by("cache", ModelTask.CHAT_SMART, "the same was asked before")
HI = {"messages": [{"role": "user", "content": "hi"}]}

Start = Callable[..., Awaitable[Harness]]


class StillClock(FakeClock):
    """Time that stands still; who sleeps waits."""

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


@pytest.fixture
async def start() -> AsyncIterator[Start]:
    """Starts gateways with these middlewares; stops what it started."""
    started: list[Harness] = []

    async def make(*middlewares: Middleware, answer: Any = ANSWER, **more: Any) -> Harness:
        models = [{"model_id": name, "task": "chat_smart"} for name in ("plain", "other")]
        settings: Settings = two_providers({"models": models}, default_models={}, **more)
        providers = {name: ListedProvider(answer) for name in ("first", "second")}
        harness = Harness(settings, providers, StillClock(1_000_050.5), middlewares=middlewares)
        await harness.control.start()
        started.append(harness)
        return harness

    yield make
    for harness in started:
        await harness.control.stop()


def asked(**fields: Any) -> ChatRequest:
    return read_chat(orjson.dumps({**HI, **fields}))


async def cache(request: GatewayRequest, call_next: CallNext) -> Response | ResponseStream:
    """Always has the answer."""
    if not request.streams:
        return Response(b'{"id":"cached","choices":[]}', FROM_CACHE)

    async def items() -> Items:
        yield b'data: {"id":"cached","choices":[]}\n\n'
        yield StreamEnd(None, 0.0, 0)

    async def leave() -> None:
        """Nothing lies behind it."""

    return ResponseStream(FROM_CACHE, items(), leave)


def client_of(harness: Harness, *keys: str) -> httpx.AsyncClient:
    app = build_api(harness.running, keyring(*keys), exposition)
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)  # type: ignore[arg-type]
    return httpx.AsyncClient(transport=transport, base_url="http://localhost")


def calls_of(harness: Harness) -> int:
    return sum(len(provider.calls) for provider in harness.providers.values())


def events_of(harness: Harness, kind: type) -> list[Any]:
    return [event for event in harness.events if isinstance(event, kind)]


async def test_the_first_one_is_outermost(start: Start) -> None:
    seen: list[str] = []

    def named(name: str) -> Middleware:
        async def middleware(request: GatewayRequest, call_next: CallNext) -> Response | ResponseStream:
            seen.append(f"{name} before")
            answer = await call_next(request)
            seen.append(f"{name} after")
            return answer

        return middleware

    harness = await start(named("a"), named("b"))
    await harness.chat(asked())

    assert seen == ["a before", "b before", "b after", "a after"]
    assert calls_of(harness) == 1


async def test_what_it_changes_reaches_the_provider(start: Start) -> None:
    async def other_words(request: GatewayRequest, call_next: CallNext) -> Response | ResponseStream:
        return await call_next(request._replace(content=asked(user="somebody")))

    harness = await start(other_words)
    await harness.chat(asked())

    assert orjson.loads(harness.providers["first"].calls[0].body)["user"] == "somebody"


async def test_an_answer_of_its_own_costs_nothing_and_is_told_as_such(start: Start) -> None:
    harness = await start(cache)
    async with client_of(harness) as client:
        answer = await client.post("/v1/chat/completions", json=HI)

    assert answer.status_code == 200
    assert answer.json()["id"] == "cached"
    routing = answer.json()["sekha_metadata"]["routing"]
    assert routing["answered_by"] == "cache"
    assert routing["provider_id"] is None
    assert routing["actual_cost"] == 0
    assert answer.headers["x-sekha-answered-by"] == "cache"
    assert answer.headers["x-sekha-cost-usd"] == "0"
    assert "x-sekha-provider" not in answer.headers
    [served] = events_of(harness, RequestServed)
    assert (served.provider_id, served.model_id, served.cost, served.attempts) == ("", "", 0, 0)
    assert calls_of(harness) == 0


async def test_a_stream_of_its_own_is_whole_and_counted_once(start: Start) -> None:
    harness = await start(cache)
    async with client_of(harness) as client:
        answer = await client.post("/v1/chat/completions", json={**HI, "stream": True})

    assert answer.text.endswith("data: [DONE]\n\n")
    assert "cached" in answer.text
    assert len(events_of(harness, RequestServed)) == 1


async def test_an_answer_of_its_own_is_an_entry_of_the_ledger(tmp_path: Path) -> None:
    store = SqlStore(f"sqlite:///{tmp_path}/ledger.db")
    providers = {name: ListedProvider(ANSWER) for name in ("first", "second")}
    harness = Harness(two_providers(), providers, FakeClock(), store, middlewares=[cache])
    await harness.authority._restore(store)
    await harness.open()

    await harness.chat(asked(), "r1")

    await harness.control.flush()
    await harness.authority._write(store)
    [entry] = await store.entries()
    assert (entry.request_id, entry.provider_id, entry.cost, entry.outcome) == ("r1", "", 0, "served")
    await store.close()


async def test_it_does_not_stand_before_the_key(start: Start) -> None:
    harness = await start(cache)
    async with client_of(harness, "a-key-of-somebody-else") as client:
        answer = await client.post("/v1/chat/completions", json=HI, headers={"authorization": "Bearer no"})

    assert answer.status_code == 401


async def test_it_does_not_stand_before_the_permission(start: Start) -> None:
    harness = await start(cache)

    with pytest.raises(ModelNotAllowed):
        await harness.chat(asked(model="plain"), caller=Caller(models=frozenset({"other"})))


@pytest.mark.parametrize("streams", [False, True])
async def test_it_does_not_stand_before_a_rate(start: Start, streams: bool) -> None:
    harness = await start(cache, rates={"requests_per_minute": 1})
    async with client_of(harness) as client:
        body = {**HI, "stream": streams}
        answers = [await client.post("/v1/chat/completions", json=body) for _ in range(2)]

    assert [answer.status_code for answer in answers] == [200, 429]


@pytest.mark.parametrize("middlewares", [(), (cache,)], ids=["none", "its own answer"])
async def test_a_request_that_is_over_makes_room_for_the_next(
    start: Start, middlewares: tuple[Middleware, ...]
) -> None:
    harness = await start(*middlewares, answer=FRAMES, rates={"concurrent_requests": 1})

    first = await harness.chat_stream(asked())
    with pytest.raises(LimitReached):
        await harness.chat_stream(asked())
    assert [item async for item in first]
    left = await harness.chat_stream(asked())
    await left.aclose()  # nobody has read it

    assert [item async for item in await harness.chat_stream(asked())]


async def test_the_permission_is_checked_again_where_it_changes_the_model(start: Start) -> None:
    async def another_model(request: GatewayRequest, call_next: CallNext) -> Response | ResponseStream:
        return await call_next(request._replace(content=asked(model="plain")))

    harness = await start(another_model)

    with pytest.raises(ModelNotAllowed):
        await harness.chat(asked(model="other"), caller=Caller(models=frozenset({"other"})))
    assert calls_of(harness) == 0


async def test_a_refusal_of_its_own_is_what_the_caller_hears(start: Start) -> None:
    async def guardrail(request: GatewayRequest, call_next: CallNext) -> Response | ResponseStream:
        raise InvalidRequest("No names of persons, please", code="guardrail")

    harness = await start(guardrail)
    async with client_of(harness) as client:
        answer = await client.post("/v1/chat/completions", json=HI)

    assert answer.status_code == 400
    assert answer.json()["error"]["code"] == "guardrail"
    [failed] = events_of(harness, RequestFailed)
    assert failed.code == "guardrail"


async def test_one_that_breaks_is_our_mistake_and_no_providers(start: Start) -> None:
    async def broken(request: GatewayRequest, call_next: CallNext) -> Response | ResponseStream:
        raise RuntimeError("secret words")

    harness = await start(broken)

    with pytest.raises(GatewayError) as caught:
        await harness.chat(asked())
    assert caught.value.status == 500
    assert "secret" not in caught.value.message
    assert not events_of(harness, AttemptFailed)
    assert harness.control.breakers.of("first").failure_count == 0


async def test_a_whole_answer_where_a_stream_was_asked_for_is_its_mistake(start: Start) -> None:
    async def confused(request: GatewayRequest, call_next: CallNext) -> Response | ResponseStream:
        return Response(b"{}", FROM_CACHE)

    harness = await start(confused)

    with pytest.raises(GatewayError) as caught:
        await harness.chat_stream(asked())
    assert caught.value.status == 500


async def test_who_asks_twice_pays_twice_and_is_counted_once(start: Start) -> None:
    async def twice(request: GatewayRequest, call_next: CallNext) -> Response | ResponseStream:
        await call_next(request)
        return await call_next(request)

    harness = await start(twice, rates={"requests_per_minute": 2})
    await harness.chat(asked())
    await harness.chat(asked())

    assert calls_of(harness) == 4
    with pytest.raises(LimitReached):
        await harness.chat(asked())
