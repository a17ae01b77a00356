"""Attempts: who is asked again, after what wait, who comes next, and what the caller hears in the end."""

import asyncio
from collections.abc import Sequence
from functools import partial

import orjson
import pytest

from serve_app.config.routing import RoutingConfig
from serve_app.control.capacity import Presence
from serve_app.control.protocol import Observation
from serve_app.errors import (
    FailureKind,
    NoSuitableProviders,
    ProviderRateLimitError,
    ProviderTimeoutError,
    RateLimitExceeded,
    UpstreamError,
    upstream_error,
)
from serve_app.events import AttemptFailed, RequestAbandoned, RequestServed
from serve_app.formats.chat_request import ChatRequest
from serve_app.formats.openai_chat.request import read_chat
from serve_app.pricing.usage import Usage
from serve_app.providers.base import Answer, Call, StreamEnd, StreamHead, StreamItem
from serve_app.resilience.outcome import Outcome
from tests.support.clock import FakeClock
from tests.support.harness import Harness, ListedProvider
from tests.support.settings import settings, two_providers

pytestmark = pytest.mark.anyio

ANSWER = Answer(b'{"id":"1"}', Usage(1000, 500), upstream_s=0.2)
RETRY = {"max_retries": 3, "first_delay_s": 1, "factor": 2, "retry_after_max_s": 10}


def failure(
    kind: FailureKind,
    provider_id: str = "first",
    retry_after_s: float | None = None,
    status: int | None = None,
) -> UpstreamError:
    return upstream_error(f"it is {kind}", provider_id, kind, status, retry_after_s)


def request(**fields: object) -> ChatRequest:
    return read_chat(orjson.dumps({"messages": [{"role": "user", "content": "hi"}], **fields}))


class TimedProvider(ListedProvider):
    """Notes when it was called, on the test's clock."""

    def __init__(
        self, clock: FakeClock, *answers: Answer | UpstreamError | Sequence[StreamItem] | BaseException
    ) -> None:
        super().__init__(*answers)
        self._clock = clock
        self.called_at: list[float] = []
        self.works_s = 0.0

    def _next(self, call: Call) -> Answer | UpstreamError | Sequence[StreamItem]:
        self.called_at.append(self._clock.monotonic())
        self._clock.advance(self.works_s)
        return super()._next(call)

    @property
    def waits(self) -> list[float]:
        """Seconds between the calls."""
        return [b - a for a, b in zip(self.called_at, self.called_at[1:], strict=False)]


class Made:
    """Two providers that note when they are called, and the gateway in front of them."""

    def __init__(self, first: Sequence[object], second: Sequence[object] = (ANSWER,), **more: object) -> None:
        self.clock = FakeClock()
        self.first = TimedProvider(self.clock, *first)
        self.second = TimedProvider(self.clock, *second)
        provider = {"retry": RETRY, **more.pop("provider", {})}
        config = two_providers(provider, **more)
        self.harness = Harness(config, {"first": self.first, "second": self.second}, self.clock)
        self.gateway = self.harness.gateway

    async def chat(self, timeout_s: float | None = None) -> str:
        """Who answered."""
        await self.harness.open()
        return (await self.harness.chat(request(), "r1", timeout_s)).routed.target.provider_id

    def events(self, kind: type) -> list[object]:
        return [event for event in self.harness.events if isinstance(event, kind)]


@pytest.mark.parametrize("kind", [FailureKind.BROKEN, FailureKind.OVERLOADED, FailureKind.RATE_LIMITED])
async def test_one_failure_is_made_good_by_a_retry_at_the_same_target(kind: FailureKind) -> None:
    made = Made([failure(kind), ANSWER])

    assert await made.chat() == "first"
    assert made.first.waits[0] >= 1
    assert made.second.calls == []


async def test_retries_are_bounded_and_their_waits_grow() -> None:
    made = Made([failure(FailureKind.OVERLOADED)])

    assert await made.chat() == "second"
    first, second, third = made.first.waits
    assert 1 <= first <= 1.25
    assert 2 <= second <= 2.5
    assert 4 <= third <= 5


async def test_by_default_patience_is_for_the_last_target() -> None:
    failing = [[failure(FailureKind.OVERLOADED, name)] for name in ("first", "second")]
    made = Made(*failing, provider={"retry": {}})

    with pytest.raises(UpstreamError):
        await made.chat()

    [quick] = made.first.waits
    assert quick <= 0.5 * 1.25
    first, second, third = made.second.waits
    assert (1 <= first <= 1.25, 2 <= second <= 2.5, 4 <= third <= 5) == (True, True, True)


async def test_by_default_a_target_whom_nobody_can_stand_in_for_gets_all_of_it() -> None:
    made = Made([failure(FailureKind.OVERLOADED)], provider={"retry": {}}, routing={"auto_fallback": False})

    with pytest.raises(UpstreamError):
        await made.chat()

    assert len(made.first.calls) == 4
    assert sum(made.first.waits) >= 1 + 2 + 4


async def test_a_target_behind_an_open_breaker_is_nobody_else_to_ask() -> None:
    made = Made([failure(FailureKind.OVERLOADED), ANSWER], provider={"retry": {}})
    for _ in range(5):
        seen = Observation("second", "second/second-chat", Outcome.FAILURE, made.clock.now())
        made.harness.control.breakers.observe(seen)

    assert await made.chat() == "first"
    assert made.first.waits[0] >= 1


async def test_an_attempt_that_took_long_before_it_broke_is_not_made_again() -> None:
    made = Made([ANSWER], provider={"retry": {}})

    class Slow(TimedProvider):
        def _next(self, call: Call) -> Answer | UpstreamError | Sequence[StreamItem]:
            answer = super()._next(call)
            self._clock.advance(8)
            return answer

    slow = made.harness.providers["first"] = Slow(made.clock, failure(FailureKind.UNREACHABLE))

    assert await made.chat() == "second"
    assert len(slow.calls) == 1


async def test_a_connection_that_broke_is_tried_again_at_once() -> None:
    made = Made([failure(FailureKind.UNREACHABLE), ANSWER])

    assert await made.chat() == "first"
    assert made.first.waits == [0]


async def test_a_target_that_fell_silent_is_not_asked_again() -> None:
    made = Made([failure(FailureKind.TIMEOUT)])

    assert await made.chat() == "second"
    assert len(made.first.calls) == 1


async def test_an_upstream_that_says_504_itself_is_asked_again() -> None:
    made = Made([failure(FailureKind.TIMEOUT, status=504), ANSWER])

    assert await made.chat() == "first"


@pytest.mark.parametrize(
    "kind",
    [
        FailureKind.AUTH,
        FailureKind.OUT_OF_CREDIT,
        FailureKind.NOT_FOUND,
        FailureKind.REFUSED_ADDRESS,
        FailureKind.SATURATED,
    ],
)
async def test_what_no_retry_can_mend_goes_to_the_next_target(kind: FailureKind) -> None:
    made = Made([failure(kind)])

    assert await made.chat() == "second"
    assert len(made.first.calls) == 1


async def test_an_exception_of_our_own_ends_the_request_and_is_counted_against_nobody() -> None:
    made = Made([RecursionError("too deep")])

    with pytest.raises(UpstreamError, match="r1") as raised:
        await made.chat()

    assert raised.value.status == 500
    assert (len(made.first.calls), len(made.second.calls)) == (1, 0)
    assert made.harness.control.breakers.of("first").failure_count == 0


async def test_the_announced_wait_is_kept() -> None:
    made = Made([failure(FailureKind.RATE_LIMITED, retry_after_s=7), ANSWER])

    assert await made.chat() == "first"
    assert made.first.waits[0] >= 7


async def test_a_longer_wait_than_configured_is_left_to_the_next_target() -> None:
    made = Made([failure(FailureKind.RATE_LIMITED, retry_after_s=11)])

    assert await made.chat() == "second"
    assert len(made.first.calls) == 1


async def test_nobody_is_asked_within_the_time_announced_to_somebody_else() -> None:
    made = Made([failure(FailureKind.RATE_LIMITED, retry_after_s=30), ANSWER])
    assert await made.chat() == "second"

    made.clock.advance(29)
    assert await made.chat() == "second"
    made.clock.advance(2)
    assert await made.chat() == "first"
    assert made.first.waits[0] >= 30


async def test_a_shorter_wait_does_not_end_a_longer_one() -> None:
    made = Made([ANSWER])
    now = made.clock.now()
    for until in (now + 30, now + 1):
        seen = Observation("first", "first/first-chat", Outcome.IGNORED, now, cool_until=until)
        made.harness.control.breakers.observe(seen)

    assert made.harness.control.breakers.cooling_s("first/first-chat") == 30


async def test_the_only_target_is_waited_for_and_else_the_caller_is_told_when_to_come_back() -> None:
    made = Made(
        [failure(FailureKind.RATE_LIMITED, retry_after_s=20), ANSWER],
        routing=RoutingConfig(auto_fallback=False),
    )
    with pytest.raises(ProviderRateLimitError):
        await made.chat()

    with pytest.raises(ProviderRateLimitError) as caught:
        await made.chat()
    assert caught.value.retry_after_s == 20
    assert len(made.first.calls) == 1

    made.clock.advance(15)
    assert await made.chat() == "first"
    assert made.first.waits[0] >= 20


async def test_no_wait_is_begun_that_the_deadline_would_end() -> None:
    made = Made([failure(FailureKind.OVERLOADED)], [failure(FailureKind.OVERLOADED, "second")])
    started = made.clock.monotonic()

    with pytest.raises(UpstreamError):
        await made.chat(timeout_s=2.5)

    assert made.clock.monotonic() - started < 2.5
    assert len(made.first.calls) == 2


async def test_every_attempt_is_given_no_more_than_the_deadline_leaves() -> None:
    made = Made([failure(FailureKind.OVERLOADED), ANSWER])

    await made.chat(timeout_s=10)

    first, second = (call.timeout_s for call in made.first.calls)
    assert first == 10
    assert second == pytest.approx(10 - made.first.waits[0])


async def test_a_request_is_one_voice_at_the_breaker_however_often_it_tried() -> None:
    made = Made([failure(FailureKind.OVERLOADED)])

    await made.chat()

    assert made.harness.control.breakers.of("first").failure_count == 1


async def test_failed_attempts_are_told_one_by_one_and_the_last_says_that_the_target_was_given_up() -> None:
    made = Made([failure(FailureKind.OVERLOADED)])

    await made.chat()

    told = made.events(AttemptFailed)
    assert [event.retries for event in told] == [0, 1, 2, 3]
    assert [event.retry_in_s is None for event in told] == [False, False, False, True]
    assert {event.cost for event in told} == {None}
    assert [event.fell_back for event in made.events(RequestServed)] == [True]


WINDOWS = [("small", 4_000), ("small-too", 4_000), ("large", 100_000)]


def with_windows() -> dict[str, object]:
    return {"models": [{"model_id": m, "task": "chat_smart", "context_window": w} for m, w in WINDOWS]}


async def test_what_is_too_long_for_a_model_goes_to_one_with_a_larger_window_and_to_no_other() -> None:
    too_long = failure(FailureKind.CONTEXT_LENGTH)
    clock = FakeClock()
    first, second = TimedProvider(clock, too_long, ANSWER), TimedProvider(clock, ANSWER)
    config = two_providers(with_windows(), default_models={})
    made = await Harness(config, {"first": first, "second": second}, clock).open()

    reply = await made.chat(request(), "r1")

    assert reply.routed.target.name == "first/large"
    assert [call.model for call in first.calls] == ["small", "large"]


async def test_what_is_too_long_for_all_is_the_callers_400_with_its_code() -> None:
    error = upstream_error(
        "too long", "first", FailureKind.CONTEXT_LENGTH, 400, code="context_length_exceeded"
    )
    made = Made([error])

    with pytest.raises(UpstreamError) as caught:
        await made.chat()

    assert (caught.value.status, caught.value.code) == (400, "context_length_exceeded")
    assert made.second.calls == []


@pytest.mark.parametrize(("allowed", "asked"), [(False, 0), (True, 1)])
async def test_what_a_content_filter_refuses_goes_on_only_where_that_is_wanted(
    allowed: bool, asked: int
) -> None:
    routing = RoutingConfig(fallback_on_content_filter=allowed)
    made = Made(
        [failure(FailureKind.CONTENT_FILTER)],
        [failure(FailureKind.CONTENT_FILTER, "second")],
        routing=routing,
    )

    with pytest.raises(UpstreamError) as caught:
        await made.chat()

    assert caught.value.provider_id == "first"
    assert len(made.second.calls) == asked


async def test_a_stand_in_that_refuses_is_not_the_end_of_the_plan() -> None:
    """The second target takes no prefill, say; a third may, and if not, the outage is the reason."""
    made = Made([failure(FailureKind.OVERLOADED)], [failure(FailureKind.REJECTED, "second")])

    with pytest.raises(UpstreamError) as caught:
        await made.chat()

    assert caught.value.failure is FailureKind.OVERLOADED


async def test_without_fallback_the_one_target_is_still_asked_again() -> None:
    made = Made([failure(FailureKind.OVERLOADED), ANSWER], routing=RoutingConfig(auto_fallback=False))

    assert await made.chat() == "first"


async def test_a_caller_is_told_when_the_first_breaker_lets_somebody_through() -> None:
    made = Made([failure(FailureKind.AUTH)], [failure(FailureKind.AUTH, "second")])
    for _ in range(5):
        with pytest.raises(UpstreamError):
            await made.chat()
    made.clock.advance(8)

    with pytest.raises(NoSuitableProviders) as caught:
        await made.chat()

    assert caught.value.retry_after_s == 12


async def test_a_deadline_that_is_over_is_a_timeout() -> None:
    made = Made([failure(FailureKind.TIMEOUT)])

    made.first.works_s = 5
    await made.harness.open()
    with pytest.raises(ProviderTimeoutError):
        await made.harness.chat(request(), "r1", 1.0)
    assert len(made.first.calls) == 1


async def test_the_last_target_of_a_stream_may_use_what_the_deadline_leaves() -> None:
    silent, stream = failure(FailureKind.TIMEOUT), (StreamHead(0.1), b"data: {}\n\n", StreamEnd(None, 0.1, 4))
    made = Made([silent], [stream], provider={"first_token_timeout_s": 7})
    await made.harness.open()

    got = await made.harness.chat_stream(request(stream=True), "r1", 100)
    _ = [item async for item in got]

    assert [call.timeout_s for call in made.first.calls] == [7]
    assert [call.timeout_s for call in made.second.calls] == [100]


@pytest.mark.parametrize(
    ("fields", "provider", "limit_s"),
    [
        ({}, {}, 15),
        ({"reasoning_effort": "high"}, {}, 60),
        ({"messages": [{"role": "user", "content": "x" * 4 * 33_000}]}, {}, 60),
        ({}, {"models": [{"model_id": "o3-mini", "task": "chat_smart"}]}, 60),
        ({}, {"type": "ollama"}, 60),
        ({"reasoning_effort": "high"}, {"first_token_timeout_s": 7}, 7),
    ],
    ids=["usual", "asked to think", "long prompt", "thinks", "own machine", "configured"],
)
async def test_a_stream_has_as_long_to_its_first_token_as_its_model_may_need(
    fields: dict[str, object], provider: dict[str, object], limit_s: float
) -> None:
    silent, stream = failure(FailureKind.TIMEOUT), (StreamHead(0.1), b"data: {}\n\n", StreamEnd(None, 0.1, 4))
    made = Made([silent], [stream], provider=provider, default_models={})
    await made.harness.open()

    _ = [item async for item in await made.harness.chat_stream(request(stream=True, **fields), "r1")]

    assert [call.timeout_s for call in made.first.calls] == [limit_s]


async def test_a_whole_answer_may_take_its_timeout_and_has_no_first_byte_to_wait_for() -> None:
    made = Made([ANSWER])

    await made.chat()

    [call] = made.first.calls
    assert (call.timeout_s, call.first_byte_s) == (120, 120)


async def test_a_provider_within_the_router_has_a_bound_as_well() -> None:
    made = Made([ANSWER], provider={"transport": "inline", "max_ongoing_requests": 1})
    gate = asyncio.Event()

    class Slow(ListedProvider):
        async def chat(self, call: Call) -> Answer | UpstreamError:
            await gate.wait()
            return ANSWER

    made.harness.providers["first"] = Slow(ANSWER)
    waiting = asyncio.create_task(made.chat())
    await asyncio.sleep(0)
    await asyncio.sleep(0)

    assert await made.chat() == "second"
    gate.set()
    assert await waiting == "first"
    assert made.harness.control.breakers.of("first").failure_count == 0


async def test_a_caller_who_leaves_while_a_whole_answer_is_made_is_reckoned_for_what_was_read() -> None:
    made = Made([ANSWER])
    asked = asyncio.Event()

    class Slow(ListedProvider):
        async def chat(self, call: Call) -> Answer | UpstreamError:
            asked.set()
            await asyncio.Event().wait()
            return ANSWER

    made.harness.providers["first"] = Slow(ANSWER)
    await made.harness.open()
    waiting = asyncio.create_task(made.harness.chat(request(), "r1"))
    await asked.wait()
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting

    [gone] = made.events(RequestAbandoned)
    assert gone.provider_id == "first"
    assert gone.usage == Usage(1, 0, estimated=True)
    assert set(made.harness.control.gauges.values()) == {0}


class Silent(ListedProvider):
    """Says nothing for as long as it is given, or for `after_s`, and is given up then."""

    def __init__(self, clock: FakeClock, after_s: float | None = None, status: int | None = None) -> None:
        super().__init__(ANSWER)
        self._clock = clock
        self._after_s = after_s
        self._status = status

    async def chat(self, call: Call) -> Answer | UpstreamError:
        self.calls.append(call)
        self._clock.advance(call.timeout_s if self._after_s is None else self._after_s)
        return failure(FailureKind.TIMEOUT, status=self._status)


@pytest.mark.parametrize(
    ("asked_s", "request_timeout", "after_s", "status", "counts"),
    [
        (None, 300, None, None, True),  # its own 120 s were up
        (0.5, 300, None, None, False),  # the caller's half a second was
        (60, 300, 5, None, True),  # a shorter limit of its own, with time left
        (60, 300, 5, 504, True),  # it says so itself
        (None, 60, None, None, True),  # all the time there ever is
        (20, 60, None, None, False),
    ],
)
async def test_only_a_time_limit_that_the_caller_has_shortened_says_nothing_about_the_provider(
    asked_s: float | None, request_timeout: float, after_s: float | None, status: int | None, counts: bool
) -> None:
    made = Made(
        [ANSWER],
        provider={"retry": {"max_retries": 0}},
        routing=RoutingConfig(request_timeout=request_timeout, auto_fallback=False),
    )
    made.harness.providers["first"] = Silent(made.clock, after_s, status)

    with pytest.raises(UpstreamError):
        await made.chat(asked_s)

    assert made.harness.control.breakers.of("first").failure_count == int(counts)


async def test_a_refusal_by_a_stand_in_leads_back_to_the_target_that_asked_for_patience() -> None:
    made = Made(
        [failure(FailureKind.RATE_LIMITED, retry_after_s=3), ANSWER],
        [ANSWER, failure(FailureKind.REJECTED, "second")],
        provider={"retry": {"max_retries": 0}},
    )
    assert await made.chat() == "second"

    assert await made.chat() == "first"
    assert made.first.waits[0] >= 3


async def test_when_only_the_stand_in_could_be_asked_and_refused_the_caller_is_told_to_wait() -> None:
    made = Made(
        [failure(FailureKind.RATE_LIMITED, retry_after_s=30)],
        [ANSWER, failure(FailureKind.REJECTED, "second")],
    )
    assert await made.chat() == "second"

    with pytest.raises(ProviderRateLimitError) as caught:
        await made.chat()
    assert caught.value.retry_after_s == 30


@pytest.mark.parametrize(("kind", "most_s"), [(FailureKind.RATE_LIMITED, 3600), (FailureKind.OVERLOADED, 60)])
async def test_a_retry_after_beyond_reason_does_not_take_a_target_away_for_ever(
    kind: FailureKind, most_s: float
) -> None:
    made = Made([failure(kind, retry_after_s=1.8e9), ANSWER])
    assert await made.chat() == "second"

    made.clock.advance(most_s - 1)
    await made.chat()
    assert len(made.first.calls) == 1
    made.clock.advance(2)
    assert await made.chat() == "first"


async def test_a_request_that_waits_between_two_attempts_is_under_way_and_not_in_flight() -> None:
    made = Made([failure(FailureKind.OVERLOADED), ANSWER])
    seen: list[dict[str, float]] = []

    async def look(seconds: float) -> None:
        seen.append({name: value for (name, _), value in made.harness.control.gauges.items()})
        made.clock.advance(seconds)

    made.clock.sleep = look
    await made.chat()

    assert seen == [{"sekha_requests_under_way": 1, "sekha_requests_in_flight": 0}]
    assert set(made.harness.control.gauges.values()) == {0}


# Models that we host ourselves


class Hosting:
    """A cloud, and two models of our own on machines that may have to be waited for; all of them answer."""

    def __init__(
        self, places: dict[str, int], retry: dict[str, object] | None = None, **more: object
    ) -> None:
        self.providers = {name: ListedProvider(ANSWER) for name in places}
        self.woken: list[str] = []
        for name in places:
            if name != "cloud":
                self.providers[name].wake = partial(self.woken.append, name)  # type: ignore[attr-defined]
        configured = [
            {
                "id": name,
                "type": "scripted" if name == "cloud" else "vllm",
                "priority": place,
                "models": [{"model_id": name, "task": "chat_smart"}],
                "retry": {"max_retries": 0} if retry is None else retry,
                **({} if name == "cloud" else {"local": {"max_running": 1, "burst_queue": 0}}),
            }
            for name, place in places.items()
        ]
        config = settings({"llm_providers": configured, "default_models": {}}, **more)
        self.harness = Harness(config, self.providers, FakeClock())

    async def asked(self, ready: str = "", **fields: object) -> str:
        """Who answers, when the models of these names are warm."""
        for name in ready.split():
            await self.harness.authority.heartbeat(Presence(f"{name}#1", name, is_ready=True))
        await self.harness.open()
        reply = await self.harness.chat(request(**fields), "r1")
        return reply.routed.target.provider_id


async def test_while_a_machine_starts_the_next_target_answers_and_then_it_comes_back() -> None:
    made = Hosting({"own": 1, "cloud": 2})

    assert await made.asked() == "cloud"
    assert made.woken == ["own"]
    assert await made.asked(ready="own") == "own"
    assert made.woken == ["own"]


async def test_a_model_that_would_not_be_asked_anyway_is_left_to_sleep() -> None:
    made = Hosting({"cloud": 1, "own": 2})

    assert await made.asked() == "cloud"
    assert made.woken == []


async def test_a_model_that_the_caller_prefers_is_woken() -> None:
    made = Hosting({"cloud": 1, "own": 2})

    assert await made.asked(preferred_model="own") == "cloud"
    assert made.woken == ["own"]


async def test_who_has_only_sleepers_wakes_them_and_waits_for_the_first() -> None:
    made = Hosting({"small": 2, "large": 1})

    assert await made.asked() == "large"
    assert made.woken == ["large", "small"]


async def test_only_those_before_the_first_that_is_ready_are_woken() -> None:
    made = Hosting({"small": 1, "cloud": 2, "large": 3})

    assert await made.asked() == "cloud"
    assert made.woken == ["small"]


async def test_without_fallback_too_a_request_goes_to_who_is_ready() -> None:
    made = Hosting({"own": 1, "cloud": 2}, routing=RoutingConfig(auto_fallback=False))

    assert await made.asked() == "cloud"


@pytest.mark.parametrize(("ready", "failures"), [("", 0), ("own", 1)])
async def test_a_wait_for_a_machine_that_was_in_vain_is_no_sign_of_illness(ready: str, failures: int) -> None:
    made = Hosting({"own": 1})
    made.providers["own"].answers_with(failure(FailureKind.TIMEOUT, "own"))

    with pytest.raises(ProviderTimeoutError):
        await made.asked(ready)

    assert made.harness.control.breakers.of("own").failure_count == failures


async def test_a_wait_for_a_machine_that_left_after_the_choice_was_no_sign_of_illness_either() -> None:
    made = Hosting({"own": 1})
    await made.harness.authority.heartbeat(Presence("own#1", "own", is_ready=True))
    await made.harness.open()

    class Leaving(ListedProvider):
        async def chat(self, call: Call) -> Answer | UpstreamError:
            await made.harness.authority.heartbeat(Presence("own#1", "own", is_leaving=True))
            made.harness.control.take(await made.harness.authority.watch("", 0, 1))
            return await super().chat(call)

    made.providers["own"] = Leaving(failure(FailureKind.TIMEOUT, "own"))
    with pytest.raises(ProviderTimeoutError):
        await made.harness.chat(request(), "r1")

    assert made.harness.control.breakers.of("own").failure_count == 0


async def test_who_is_refused_wakes_nobody() -> None:
    made = Hosting({"own": 1}, rates={"concurrent_requests": 1})
    made.providers["own"].answers_with([StreamHead(0.1), b"data: 1\n\n"])
    await made.harness.control.start()
    async with asyncio.timeout(10):
        stream = await made.harness.chat_stream(request(), "r1")
        made.woken.clear()
        with pytest.raises(RateLimitExceeded):
            await made.harness.chat(request(), "r2")
        await stream.aclose()
    await made.harness.control.stop()

    assert made.woken == []


async def test_a_sleeper_stands_in_for_a_cloud_that_fails() -> None:
    made = Hosting({"cloud": 1, "own": 2})
    made.providers["cloud"].answers_with(failure(FailureKind.BROKEN))

    assert await made.asked() == "own"


async def test_a_sleeper_is_no_reason_to_leave_a_cloud_that_refuses_once_or_twice() -> None:
    made = Hosting({"cloud": 1, "own": 2}, retry={})
    made.providers["cloud"].answers_with(*[failure(FailureKind.OVERLOADED, "cloud")] * 2, ANSWER)

    assert await made.asked() == "cloud"
    assert made.providers["own"].calls == []


class Deserted(ListedProvider):
    """A provider whose machine died: calls wait, and nobody answers."""

    def __init__(self) -> None:
        super().__init__(ANSWER)
        self.asked = asyncio.Event()
        self.left = 0

    async def chat(self, call: Call) -> Answer | UpstreamError:
        self.asked.set()
        try:
            await asyncio.Event().wait()
        finally:
            self.left += 1
        return ANSWER


async def test_nobody_waits_for_a_machine_that_is_gone_while_another_could_be_asked() -> None:
    made = Hosting({"own": 1, "cloud": 2})
    made.providers["own"] = deserted = Deserted()
    asking = asyncio.create_task(made.asked(ready="own"))
    await deserted.asked.wait()

    await made.harness.authority.heartbeat(Presence("own#1", "own", is_leaving=True))
    await made.harness.control.flush()

    assert await asking == "cloud"
    assert deserted.left == 1
    assert made.harness.control.breakers.of("own").failure_count == 0


async def test_an_answer_that_takes_long_is_waited_for_while_its_machine_is_there() -> None:
    made = Hosting({"own": 1, "cloud": 2})
    made.providers["own"] = deserted = Deserted()
    asking = asyncio.create_task(made.asked(ready="own"))
    await deserted.asked.wait()

    for _ in range(100):  # looks
        await asyncio.sleep(0)

    assert not asking.done()
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    assert deserted.left == 1
