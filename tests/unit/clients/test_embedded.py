"""A gateway of one's own: started at the first call, changed without a break, gone when it is closed."""

import asyncio
from random import Random

import pytest

from serve_app.clients.embedded import EmbeddedGateway
from serve_app.clock import SystemClock
from serve_app.config.settings import Settings
from serve_app.errors import ModelNotFound, UpstreamError
from serve_app.events import Event, RequestServed
from serve_app.formats.openai_chat.chunks import text_in
from tests.support.settings import two_providers

pytestmark = pytest.mark.anyio

SLOW = {"script": {"chunk_delay_s": 0.01, "answer": "one two three four five six"}}


def own(settings: Settings, heard: list[Event] | None = None) -> EmbeddedGateway:
    listeners = [] if heard is None else [heard.append]
    return EmbeddedGateway(settings, {}, SystemClock(), Random(7), listeners)


def others() -> set[asyncio.Task[object]]:
    return asyncio.all_tasks() - {asyncio.current_task()}


async def test_it_answers_whole_in_pieces_and_with_vectors() -> None:
    heard: list[Event] = []
    gateway = own(two_providers(), heard)

    whole = await gateway.chat("Hello!", model="second-chat")
    pieces = [text_in(chunk) async for chunk in gateway.chat_stream("Hello!", model="second-chat")]
    vectors = await gateway.embed(["one", "two"])

    assert whole["choices"][0]["message"]["content"] == "".join(pieces)
    assert len(vectors["data"]) == 2
    assert [e.provider_id for e in heard if isinstance(e, RequestServed)] == ["second", "second", "first"]
    await gateway.aclose()


async def test_every_answer_says_who_gave_it_and_what_it_cost() -> None:
    gateway = own(two_providers())

    whole = await gateway.chat("Hello!", model="second-chat")
    chunks = [chunk async for chunk in gateway.chat_stream("Hello!", model="second-chat")]
    vectors = await gateway.embed("one")

    for answer in (whole, chunks[0]):
        routing = answer["sekha_metadata"]["routing"]
        assert (routing["provider_id"], routing["model_id"]) == ("second", "second-chat")
        assert routing["reason"] == "Matched preferred model"
    assert whole["sekha_metadata"]["routing"]["actual_cost"] == 0.0
    assert vectors["sekha_metadata"]["routing"]["provider_id"] == "first"
    assert not any("sekha_metadata" in chunk for chunk in chunks[1:])
    await gateway.aclose()


async def test_the_word_about_who_answered_can_be_switched_off() -> None:
    gateway = own(two_providers(routing={"metadata": False}))

    assert "sekha_metadata" not in await gateway.chat("Hello!")
    assert "sekha_metadata" not in await anext(gateway.chat_stream("Hello!"))
    await gateway.aclose()


async def test_nothing_runs_before_the_first_call_or_after_the_end() -> None:
    before = others()
    gateway = own(two_providers())
    assert others() == before

    await asyncio.gather(*(gateway.chat("hi") for _ in range(10)))
    assert others() != before

    await gateway.aclose()
    assert others() == before


async def test_a_call_that_is_under_way_ends_as_it_began_and_the_next_goes_by_the_new_configuration() -> None:
    before = others()
    gateway = own(two_providers(SLOW))
    stream = gateway.chat_stream("hi", model="first-chat")
    begun = text_in(await anext(stream))

    gateway.configure(two_providers({"script": {"answer": "new"}}))
    after = await gateway.chat("hi")
    rest = "".join([text_in(chunk) async for chunk in stream])

    assert after["choices"][0]["message"]["content"] == "new"
    assert begun + rest == "one two three four five six"
    await gateway.aclose()
    assert others() == before, "the gateway before must have ended as well"


async def test_what_is_known_of_a_provider_outlives_an_event_loop_and_a_configuration() -> None:
    gateway = own(two_providers({"script": {"fail_with": 503}}, circuit_breaker={"failure_threshold": 1}))
    with pytest.raises(UpstreamError):
        await gateway.chat("hi")
    await gateway.aclose()

    with pytest.raises(Exception, match="No suitable providers"):
        await gateway.chat("hi")
    await gateway.aclose()


async def test_what_the_gateway_refuses_is_raised() -> None:
    gateway = own(two_providers())

    with pytest.raises(ModelNotFound):
        await gateway.chat("hi", model="nope")
    with pytest.raises(ModelNotFound):
        await anext(gateway.chat_stream("hi", model="nope"))
    await gateway.aclose()


async def test_the_providers_are_looked_at_when_somebody_asks() -> None:
    gateway = own(two_providers())

    assert {name: look.status for name, look in (await gateway.health()).items()} == {
        "first": "healthy",
        "second": "healthy",
    }
    await gateway.aclose()
