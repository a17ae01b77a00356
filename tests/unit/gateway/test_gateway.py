"""The trip of a request: fallback, breakers, costs and events, without HTTP or Ray."""

from collections.abc import AsyncGenerator
from typing import Any

import orjson
import pytest

from serve_app.config.model import ModelTask
from serve_app.config.policy import BreakerPolicy
from serve_app.config.routing import RoutingConfig
from serve_app.config.settings import Settings
from serve_app.errors import (
    FailureKind,
    GatewayError,
    ModelNotFound,
    ReplicaLost,
    UpstreamError,
    upstream_error,
)
from serve_app.events import AttemptFailed, RequestAbandoned, RequestFailed, RequestServed
from serve_app.formats.chat_request import ChatRequest
from serve_app.formats.openai_chat.request import read_chat
from serve_app.formats.openai_embeddings import read_embedding
from serve_app.pricing.usage import Usage
from serve_app.providers.base import Answer, Call, StreamEnd, StreamHead, StreamItem
from serve_app.routing.requirements import Requirements
from tests.support.clock import FakeClock
from tests.support.harness import Harness, ListedProvider
from tests.support.settings import HYBRID, settings, two_providers

pytestmark = pytest.mark.anyio

ANSWER = Answer(b'{"id":"1"}', Usage(1000, 500), upstream_s=0.2)
STREAM = (StreamHead(0.1), b"data: 1\n\n", b"data: 2\n\n", StreamEnd(Usage(10, 2), 0.3, 8))


def failure(kind: FailureKind, provider_id: str = "first") -> UpstreamError:
    return upstream_error(f"it is {kind}", provider_id, kind)


def request(**fields: object) -> ChatRequest:
    return read_chat(orjson.dumps({"messages": [{"role": "user", "content": "hi"}], **fields}))


async def harness(first: ListedProvider, second: ListedProvider | None = None, **more: object) -> Harness:
    providers = {"first": first, "second": second or ListedProvider(ANSWER)}
    return await Harness(two_providers(**more), providers, FakeClock()).open()


def events(harness: Harness, kind: type) -> list[object]:
    return [event for event in harness.events if isinstance(event, kind)]


async def test_the_first_target_answers_and_the_second_is_left_alone() -> None:
    made = await harness(ListedProvider(ANSWER))

    reply = await made.chat(request(), "r1")

    assert reply.body == ANSWER.body
    assert reply.routed.target.name == "first/first-chat"
    assert made.providers["second"].calls == []
    assert [e.attempts for e in events(made, RequestServed)] == [1]


@pytest.mark.parametrize(
    "kind",
    [
        FailureKind.TIMEOUT,
        FailureKind.RATE_LIMITED,
        FailureKind.OVERLOADED,
        FailureKind.UNREACHABLE,
        FailureKind.BROKEN,
        FailureKind.AUTH,
    ],
)
async def test_falls_back_when_the_first_target_fails(kind: FailureKind) -> None:
    made = await harness(ListedProvider(failure(kind)))

    reply = await made.chat(request(), "r1")

    assert reply.routed.target.provider_id == "second"
    assert made.control.breakers.of("first").failure_count == 1
    assert made.control.breakers.of("second").success_count == 1
    assert [e.error.failure for e in events(made, AttemptFailed)] == [kind]


@pytest.mark.parametrize("kind", [FailureKind.REJECTED, FailureKind.CONTENT_FILTER])
async def test_what_the_caller_got_wrong_is_not_tried_elsewhere_and_no_breaker_counts_it(
    kind: FailureKind,
) -> None:
    made = await harness(ListedProvider(failure(kind)))

    with pytest.raises(UpstreamError):
        await made.chat(request(), "r1")

    assert made.providers["second"].calls == []
    assert made.control.breakers.of("first").failure_count == 0


async def test_the_last_providers_reason_is_what_the_caller_hears() -> None:
    made = await harness(
        ListedProvider(failure(FailureKind.TIMEOUT)),
        ListedProvider(failure(FailureKind.RATE_LIMITED, "second")),
    )

    with pytest.raises(UpstreamError) as caught:
        await made.chat(request(), "r1")

    assert caught.value.failure is FailureKind.RATE_LIMITED
    assert [e.status for e in events(made, RequestFailed)] == [429]


async def test_a_fallback_that_refuses_does_not_hide_the_first_real_reason() -> None:
    made = await harness(
        ListedProvider(failure(FailureKind.OVERLOADED)),
        ListedProvider(failure(FailureKind.REJECTED, "second")),
    )

    with pytest.raises(UpstreamError) as caught:
        await made.chat(request(), "r1")

    assert caught.value.failure is FailureKind.OVERLOADED


async def test_without_auto_fallback_the_first_failure_is_the_end() -> None:
    made = await harness(
        ListedProvider(failure(FailureKind.OVERLOADED)), routing=RoutingConfig(auto_fallback=False)
    )

    with pytest.raises(UpstreamError):
        await made.chat(request(), "r1")

    assert made.providers["second"].calls == []


async def test_a_provider_that_keeps_failing_is_left_alone_until_its_time_is_up() -> None:
    clock = FakeClock()
    first = ListedProvider(*[failure(FailureKind.BROKEN)] * 2, ANSWER)
    providers = {"first": first, "second": ListedProvider(ANSWER)}
    config = two_providers(circuit_breaker=BreakerPolicy(failure_threshold=2, reset_timeout=60))
    made = await Harness(config, providers, clock).open()

    for _ in range(5):
        await made.chat(request(), "r")
    await made.control.flush()
    assert len(first.calls) == 2

    clock.advance(60)
    for _ in range(3):
        reply = await made.chat(request(), "r")
        await made.control.flush()
    assert reply.routed.target.provider_id == "first"
    assert made.control.breakers.of("first").state == "closed"


async def test_one_replica_that_dies_with_many_requests_closes_no_door_and_many_replicas_do() -> None:
    taken = [ReplicaLost("gone", "first", "a")] * 4 + [ReplicaLost("gone", "first", name) for name in "bc"]
    first = ListedProvider(*taken, ANSWER)
    providers = {"first": first, "second": ListedProvider(ANSWER)}
    config = two_providers(circuit_breaker=BreakerPolicy(failure_threshold=3, reset_timeout=60))
    made = await Harness(config, providers, FakeClock()).open()

    seen = []
    for _ in range(6):
        await made.chat(request(), "r")
        await made.control.flush()
        seen.append((made.control.breakers.of("first").state.value, len(first.calls)))

    assert seen[3] == ("closed", 4)
    assert seen[5] == ("open", 6)


KEPT = [{"type": "text", "text": "hi", "cache_control": {"type": "ephemeral"}}]


@pytest.mark.parametrize(
    ("model", "fields", "read", "written"),
    [
        ("gpt-5.4", {"service_tier": "priority"}, 5_000, 30_000),
        ("gpt-5.4", {"service_tier": "flex"}, 2_500, 15_000),  # it may not be given
        ("claude-3-opus", {"messages": [{"role": "user", "content": KEPT}]}, 30_000, 75_000),
    ],
)
async def test_who_is_lost_with_a_replica_pays_what_was_set_aside(
    model: str, fields: dict[str, object], read: int, written: int
) -> None:
    """In nano-dollars a token: what was done nobody knows, and it may have been all of it."""
    first = ListedProvider(ReplicaLost("gone", "first", "a"))
    offers = {"type": "openai", "api_key": "k", "models": [{"model_id": model, "task": "chat_smart"}]}
    config = settings({"llm_providers": [{"id": "first", **offers}], "default_models": {}})
    made = await Harness(config, {"first": first}, FakeClock()).open()

    with pytest.raises(UpstreamError):
        await made.chat(request(max_tokens=100, **fields), "r1")
    [failed, *_] = events(made, AttemptFailed)

    assert failed.usage.output_tokens == 100
    assert failed.cost == failed.usage.input_tokens * read + 100 * written


async def test_the_cost_is_that_of_the_usage_the_provider_reported() -> None:
    providers = {"ollama_local": ListedProvider(ANSWER), "openai_cloud": ListedProvider(ANSWER)}
    made = await Harness(settings(HYBRID), providers, FakeClock()).open()

    reply = await made.chat(request(model="gpt-4o"), "r1")

    assert reply.routed.actual_cost == 7_500_000
    assert [e.cost for e in events(made, RequestServed)] == [7_500_000]


async def test_an_answer_without_usage_is_reckoned_from_its_length_and_marked() -> None:
    made = await harness(ListedProvider(Answer(b"{}", None, 0.1, output_chars=400)))

    await made.chat(request(), "r1")

    [served] = events(made, RequestServed)
    assert served.usage == Usage(1, 100, estimated=True)


async def test_the_provider_gets_the_bytes_of_the_caller_and_the_model_of_the_target() -> None:
    made = await harness(ListedProvider(ANSWER))
    asked = request(anything={"nobody": "has heard of"})

    await made.chat(asked, "r1")

    [call] = made.providers["first"].calls
    assert call.body == asked.raw
    assert call.model == "first-chat"


async def test_a_named_embedding_model_has_no_stand_in() -> None:
    made = await harness(ListedProvider(failure(FailureKind.OVERLOADED)))

    with pytest.raises(UpstreamError):
        await made.embed(read_embedding(b'{"input":"hi","model":"first-embed"}'), "r1")

    assert made.providers["second"].calls == []


async def test_an_embedding_without_a_name_may_come_from_anywhere() -> None:
    made = await harness(ListedProvider(failure(FailureKind.OVERLOADED)))

    reply = await made.embed(read_embedding(b'{"input":"hi"}'), "r1")

    assert reply.routed.target.name == "second/second-embed"


async def test_an_unknown_model_is_said_before_anyone_is_asked() -> None:
    made = await harness(ListedProvider(ANSWER))

    with pytest.raises(ModelNotFound):
        await made.chat(request(model="gpt-9"), "r1")

    assert [e.code for e in events(made, RequestFailed)] == ["model_not_found"]


async def test_a_stream_falls_back_until_its_first_word() -> None:
    made = await harness(ListedProvider(failure(FailureKind.BROKEN)), ListedProvider(STREAM))

    stream = await made.chat_stream(request(stream=True), "r1")
    items = [item async for item in stream]

    assert stream.routed.target.provider_id == "second"
    assert items[:2] == [b"data: 1\n\n", b"data: 2\n\n"]
    assert isinstance(items[2], StreamEnd)
    [served] = events(made, RequestServed)
    assert served.usage == Usage(10, 2)
    assert served.attempts == 2


async def test_a_stream_that_breaks_off_ends_with_its_error_and_counts_against_the_provider() -> None:
    cut = (StreamHead(0.1), b"data: 1\n\n", failure(FailureKind.BROKEN))
    made = await harness(ListedProvider(cut))

    stream = await made.chat_stream(request(stream=True), "r1")
    items = [item async for item in stream]

    assert isinstance(items[-1], UpstreamError)
    assert made.control.breakers.of("first").failure_count == 1
    assert events(made, RequestServed) == []
    assert len(events(made, RequestFailed)) == 1


async def test_a_stream_that_just_stops_is_a_failure_too() -> None:
    made = await harness(ListedProvider((StreamHead(0.1), b"data: 1\n\n")))

    stream = await made.chat_stream(request(stream=True), "r1")
    items = [item async for item in stream]

    assert isinstance(items[-1], UpstreamError)


async def test_a_caller_who_leaves_closes_the_stream_behind_it() -> None:
    made = await harness(ListedProvider(STREAM))

    stream = await made.chat_stream(request(stream=True), "r1")
    await anext(aiter(stream))
    await stream.aclose()

    assert made.providers["first"].closed_streams == 1
    assert len(events(made, RequestAbandoned)) == 1
    assert set(made.control.gauges.values()) == {0}


@pytest.mark.parametrize("bug", [ZeroDivisionError("a bug"), TypeError("a bug"), RecursionError("a bug")])
async def test_an_exception_of_our_own_is_nobodys_failure_and_nobody_else_is_asked(bug: Exception) -> None:
    first, second = ListedProvider(bug), ListedProvider(ANSWER)
    made = await harness(first, second)

    with pytest.raises(UpstreamError, match=r"\(request r1\)") as raised:
        await made.chat(request(), "r1")

    assert (raised.value.status, raised.value.code) == (500, "internal_error")
    assert "a bug" not in raised.value.message
    assert (len(first.calls), len(second.calls)) == (1, 0)
    assert made.control.breakers.of("first").failure_count == 0
    assert set(made.control.gauges.values()) == {0}


async def test_a_model_the_provider_does_not_have_is_tried_elsewhere_and_no_breaker_counts_it() -> None:
    made = await harness(ListedProvider(failure(FailureKind.NOT_FOUND)))

    reply = await made.chat(request(), "r1")

    assert reply.routed.target.provider_id == "second"
    assert made.control.breakers.of("first").failure_count == 0


@pytest.mark.parametrize("model", [None, "auto", "chat_small"])
async def test_an_image_finds_a_model_that_sees_where_none_is_named(model: str | None) -> None:
    providers = {"ollama_local": ListedProvider(ANSWER), "openai_cloud": ListedProvider(ANSWER)}
    made = await Harness(settings(HYBRID), providers, FakeClock()).open()
    image = {"type": "image_url", "image_url": {"url": "https://a.example/cat.png"}}

    reply = await made.chat(request(messages=[{"role": "user", "content": [image]}], model=model), "r1")

    assert reply.routed.target.model_id == "gpt-4o"


async def test_the_limit_of_the_configuration_holds_without_one_from_the_caller() -> None:
    providers = {"ollama_local": ListedProvider(ANSWER), "openai_cloud": ListedProvider(ANSWER)}
    config = settings(HYBRID, routing=RoutingConfig(max_cost_per_request=0.000001))
    made = await Harness(config, providers, FakeClock()).open()

    with pytest.raises(GatewayError, match="No suitable providers"):
        await made.chat(request(), "r1")

    assert providers["openai_cloud"].calls == []


async def test_a_stream_that_nobody_began_to_read_is_let_go_as_well() -> None:
    made = await harness(ListedProvider(STREAM))

    stream = await made.chat_stream(request(stream=True), "r1")
    await stream.aclose()
    await stream.aclose()

    assert made.providers["first"].closed_streams == 1
    assert len(events(made, RequestAbandoned)) == 1


async def test_a_bug_in_the_middle_of_a_stream_ends_it_with_an_error() -> None:
    class Buggy(ListedProvider):
        async def chat_stream(self, call: Call) -> AsyncGenerator[StreamItem, None]:
            yield StreamHead(0.1)
            yield b"data: 1\n\n"
            raise ZeroDivisionError("a bug")

    made = await harness(Buggy(ANSWER))

    stream = await made.chat_stream(request(stream=True), "r1")
    items = [item async for item in stream]

    assert isinstance(items[-1], UpstreamError)
    assert len(events(made, RequestFailed)) == 1


async def test_the_latency_of_a_stream_is_the_providers_and_not_the_readers() -> None:
    made = await harness(ListedProvider(STREAM))

    stream = await made.chat_stream(request(stream=True), "r1")
    _ = [item async for item in stream]
    await made.control.flush()

    assert made.control.latency_s("first/first-chat") == 0.1


async def test_prices_are_known_before_the_authority_has_spoken() -> None:
    made = Harness(settings(HYBRID), {"ollama_local": ListedProvider(ANSWER)}, FakeClock())

    reply = await made.chat(request(model="chat_small", max_cost=0.001), "r1")

    assert reply.routed.estimated_cost == 0


async def test_several_answers_and_tools_are_part_of_the_estimate() -> None:
    plain = request(max_tokens=10)
    many = request(max_tokens=10, n=4, tools=[{"type": "function", "function": {"name": "x" * 4000}}])

    assert many.output_tokens == 4 * plain.output_tokens
    assert many.input_tokens > plain.input_tokens + 1000


SEES = {"models": [{"model_id": "eyes", "task": "chat_smart", "supports_vision": True}]}
LINK = "what is in http://x.org/a.png"


def asked_of_it(content: str, settings: Settings, **fields: Any) -> Requirements:
    body = orjson.dumps({"messages": [{"role": "user", "content": content}], **fields})
    made = Harness(settings, {}, FakeClock())
    return made.requirements(read_chat(body))


def test_a_link_to_an_image_in_a_text_is_a_question_for_a_model_that_sees() -> None:
    wanted = asked_of_it(LINK, two_providers(SEES, default_models={}))

    assert (wanted.task, wanted.require_vision, wanted.images) == (ModelTask.VISION, True, 0)
    assert wanted.written_images == 1


@pytest.mark.parametrize(
    ("content", "fields", "sees"),
    [
        (LINK, {"model": "eyes"}, SEES),  # it is for the named model to say what it makes of a link
        (LINK, {}, {}),  # nobody sees: the text is still a question
        ("what is in http://x.org/a.html", {}, SEES),
    ],
)
def test_elsewhere_a_link_in_a_text_is_text(
    content: str, fields: dict[str, Any], sees: dict[str, Any]
) -> None:
    wanted = asked_of_it(content, two_providers(sees, default_models={}), **fields)

    assert (wanted.task, wanted.require_vision, wanted.written_images) == (ModelTask.CHAT_SMART, False, 0)


async def test_a_strategy_that_breaks_keeps_no_place_among_the_requests_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Broken:
        name = "broken"

        def order(self, *_: object) -> object:
            raise RuntimeError("a plugin's mistake")

    config = two_providers(rates={"concurrent_requests": 1})
    harness = Harness(
        config, {"first": ListedProvider(ANSWER), "second": ListedProvider(ANSWER)}, FakeClock()
    )
    await harness.control.start()
    with monkeypatch.context() as patched:
        patched.setattr(harness.gateway._planner._strategies, "_for_all", Broken())
        for _ in range(2):
            with pytest.raises(RuntimeError):
                await harness.chat(request())

    assert (await harness.chat(request())).body
    await harness.control.stop()
