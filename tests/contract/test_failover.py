"""
What a provider may do, and what must follow: sixteen scenarios, by default, with both other policies, and
with a configuration that sets all the times itself.

A primary misbehaves, a fallback works. Upstreams, providers and the gateway with its HTTP face are real, and
speak over real connections; but all of them share one event loop whose clock jumps, so that no wait takes
time.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from random import Random
from typing import Any

import httpx
import pytest

from serve_app.api.app import build_api
from serve_app.config.routing import OnStreamFailure
from serve_app.config.settings import Settings
from serve_app.deployments.embedded import local_gateway
from serve_app.events import Event, RequestServed
from serve_app.observability.metrics import exposition
from serve_app.providers.factory import build_provider
from tests.support.jumping import JUMPING, LoopClock
from tests.support.keyrings import keyring
from tests.support.upstream import ScriptedUpstream

pytestmark = pytest.mark.anyio

PIECES = 8
TEXT = "".join(f"w{n} " for n in range(PIECES))
RESUME, HOLD = OnStreamFailure.RESUME, OnStreamFailure.HOLD
SOON_S = 3.0  # what a caller notices of a provider that refuses in a word
SILENT_S = 20.0  # … of one that says nothing


@pytest.fixture
def anyio_backend() -> object:
    return JUMPING


@dataclass(frozen=True)
class Heard:
    """What a caller got: the text, the end, how long it took, and the headers of the answer."""

    status: int
    body: bytes
    headers: httpx.Headers
    took_s: float

    @property
    def chunks(self) -> list[dict[str, Any]]:
        frames = self.body.split(b"\n\n")
        return [json.loads(frame[6:]) for frame in frames if frame.startswith(b"data: {")]

    @property
    def text(self) -> str:
        choices = [choice for chunk in self.chunks for choice in chunk.get("choices", ())]
        return "".join(choice["delta"].get("content") or "" for choice in choices)

    @property
    def is_whole(self) -> bool:
        return self.status == 200 and self.text == TEXT and self.body.endswith(b"data: [DONE]\n\n")

    @property
    def is_honest(self) -> bool:
        """Cut short, and said so: an error event, and no end mark."""
        return "error" in self.chunks[-1] and b"[DONE]" not in self.body

    def serves(self, policy: OnStreamFailure | None) -> bool:
        """Whether it is what the policy promises of a stream that has broken off."""
        return self.is_honest if policy is None else self.is_whole


@dataclass(frozen=True)
class Play:
    """
    What is configured: the policy for broken streams, what each provider says of patience, and the rest.

    None and nothing: what a configuration that is silent about all of it means.
    """

    name: str
    policy: OnStreamFailure | None = None
    provider: Mapping[str, Any] = field(default_factory=dict)
    more: Mapping[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        return self.name


PLAYS = (
    Play("default"),
    Play("hold", HOLD),
    Play("resume", RESUME),
    Play(
        "tuned",
        RESUME,
        {
            "retry": {"max_retries": 2, "first_delay_s": 0.5},
            "first_token_timeout_s": 10,
            "stream_idle_timeout_s": 10,
        },
        {"circuit_breaker": {"reset_timeout": 20}},
    ),
)

Scenario = Callable[[Play], Awaitable[None]]


class Stage:
    """Two upstreams and a caller of the gateway in front of them."""

    def __init__(
        self,
        primary: ScriptedUpstream,
        fallback: ScriptedUpstream,
        api: httpx.AsyncClient,
        events: list[Event],
    ) -> None:
        self.primary = primary
        self.fallback = fallback
        self.events = events
        self._api = api

    async def ask(self) -> Heard:
        """One streamed chat."""
        body = {
            "messages": [{"role": "user", "content": "hi"}],
            "stream": True,
            "stream_options": {"include_usage": True},
        }
        began = asyncio.get_running_loop().time()
        answer = await self._api.post("/v1/chat/completions", json=body)
        took_s = asyncio.get_running_loop().time() - began
        return Heard(answer.status_code, answer.content, answer.headers, took_s)


def provider(name: str, place: int, upstream: ScriptedUpstream, **model: Any) -> dict[str, Any]:
    return {
        "id": name,
        "type": "openai",
        "base_url": upstream.url,
        "api_key": "sk-test",
        "priority": place,
        "transport": "inline",
        "models": [{"model_id": "gpt-4o-mini", "task": "chat_smart", **model}],
    }


@asynccontextmanager
async def stage(
    play: Play, primary: dict[str, Any], fallback: dict[str, Any] | None = None, **model: Any
) -> AsyncIterator[Stage]:
    """A gateway that is configured as the play has it; `model` is for the fallback's."""
    async with AsyncExitStack() as stack:
        first = await stack.enter_async_context(ScriptedUpstream())
        second = await stack.enter_async_context(ScriptedUpstream())
        first.mode = {"chunks": PIECES, **primary}
        second.mode = {"chunks": PIECES, **(fallback or {})}
        settings = Settings.model_validate(
            {
                "llm_providers": [
                    {**provider("primary", 1, first), **play.provider},
                    {**provider("fallback", 2, second, **model), **play.provider},
                ],
                "default_models": {},
                "routing": {} if play.policy is None else {"on_stream_failure": play.policy},
                **play.more,
            }
        )
        clock, events = LoopClock(), list[Event]()
        providers = {config.id: build_provider(config, {}, clock) for config in settings.llm_providers}
        local = await local_gateway(settings, providers, clock, Random(7), [events.append], environ={})
        stack.push_async_callback(local.aclose)
        app = build_api(local.running, keyring(), exposition)
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)  # type: ignore[arg-type]
        api = httpx.AsyncClient(transport=transport, base_url="http://localhost", timeout=600)
        yield Stage(first, second, await stack.enter_async_context(api), events)


def gaps(upstream: ScriptedUpstream) -> list[float]:
    return [later - earlier for earlier, later in pairwise(upstream.arrived)]


async def waits_as_long_as_a_429_says(play: Play) -> None:
    async with stage(play, {"status": 429, "retry_after": 2, "times": 1}) as made:
        heard = await made.ask()

        assert heard.is_whole
        [gap] = gaps(made.primary)
        assert 2 <= gap <= SOON_S
        assert made.fallback.asked == []


async def leaves_who_always_says_429(play: Play) -> None:
    await leaves_soon({"status": 429}, play)


async def retries_a_single_500(play: Play) -> None:
    await answers_at_the_second_attempt({"status": 500, "times": 1}, play)


async def leaves_who_always_says_503(play: Play) -> None:
    await leaves_soon({"status": 503}, play)


async def retries_a_connection_that_was_reset(play: Play) -> None:
    await answers_at_the_second_attempt({"reset": True, "times": 1}, play)


async def leaves_who_accepts_and_says_nothing(play: Play) -> None:
    await falls_back_from_silence({"stall": True}, play)


async def leaves_who_says_nothing_after_the_head(play: Play) -> None:
    await falls_back_from_silence({"late_s": 20}, play)


async def keeps_the_promise_for_a_stream_that_is_cut(play: Play) -> None:
    async with stage(play, {"cut_after": 4}) as made:
        heard = await made.ask()

        assert heard.serves(play.policy)
        assert heard.took_s < SOON_S
        assert len(made.primary.asked) == 1


async def keeps_the_promise_for_a_stream_that_falls_silent(play: Play) -> None:
    async with stage(play, {"stall_after": 4, "stall_s": 30}) as made:
        heard = await made.ask()

        assert heard.serves(play.policy)
        assert heard.took_s < 30 + SOON_S
        assert len(made.primary.asked) == 1


async def loses_no_event_in_silence(play: Play) -> None:
    async with stage(play, {"malformed": True}) as made:
        heard = await made.ask()

        told = [event.dropped_frames for event in made.events if isinstance(event, RequestServed)]
        went_on = heard.is_whole and (told == [1] or len(made.fallback.asked) == 1)
        assert went_on or heard.is_honest


async def needs_no_end_mark_after_a_finish_reason(play: Play) -> None:
    async with stage(play, {"no_done": True}) as made:
        heard = await made.ask()

        assert heard.is_whole
        assert heard.chunks[-1]["usage"]["completion_tokens"] > 0
        assert made.fallback.asked == []


async def seeks_a_larger_window(play: Play) -> None:
    async with stage(play, {"refuse": "context_length"}, model_id="gpt-4o", context_window=128_000) as made:
        assert (await made.ask()).is_whole
    async with stage(play, {"refuse": "context_length"}) as made:
        heard = await made.ask()
        assert (heard.status, made.fallback.asked) == (400, [])


async def tells_what_a_content_filter_says(play: Play) -> None:
    async with stage(play, {"refuse": "content_filter"}) as made:
        heard = await made.ask()

        assert (heard.status, made.fallback.asked) == (400, [])


async def asks_anew_where_nobody_takes_a_prefill(play: Play) -> None:
    async with stage(play, {"cut_after": 4}, {"no_prefill": True}) as made:
        heard = await made.ask()

        assert heard.serves(play.policy)
        assert heard.took_s < SOON_S


async def comes_back_to_who_has_recovered(play: Play) -> None:
    for list_is_well in (True, False):
        async with stage(play, {"status": 503}) as made:
            made.primary.models_mode = {} if list_is_well else {"status": 503}
            began = asyncio.get_running_loop().time()
            asyncio.get_running_loop().call_later(60, made.primary.recover)
            asking = []
            for _ in range(24):
                asking.append(asyncio.create_task(made.ask()))
                await asyncio.sleep(4)
            heard = await asyncio.gather(*asking)

            assert all(answer.status == 200 and b"[DONE]" in answer.body for answer in heard)
            assert max(answer.took_s for answer in heard) < SOON_S
            attempts = [at - began for at in made.primary.arrived]
            assert len([at for at in attempts if at < 60]) <= 20
            assert 60 <= min(at for at in attempts if at >= 60) <= 90


async def names_who_answered(play: Play) -> None:
    async with stage(
        play, {"status": 503}, model_id="gpt-4o", cost_per_1k_input=1, cost_per_1k_output=1
    ) as made:
        heard = await made.ask()

        told = [chunk["sekha_metadata"]["routing"] for chunk in heard.chunks if "sekha_metadata" in chunk]
        assert {chunk["model"] for chunk in heard.chunks} == {"gpt-4o"}
        assert [(routing["provider_id"], routing["model_id"]) for routing in told] == [("fallback", "gpt-4o")]
        assert (heard.headers["x-sekha-provider"], heard.headers["x-sekha-model"]) == ("fallback", "gpt-4o")
        assert float(heard.headers["x-sekha-cost-usd"]) > 0
        assert heard.chunks[-1]["usage"]["total_tokens"] > 0


async def leaves_soon(primary: dict[str, Any], play: Play) -> None:
    async with stage(play, primary) as made:
        heard = await made.ask()

        assert heard.is_whole
        assert heard.took_s < SOON_S
        assert 2 <= len(made.primary.asked) <= 3


async def answers_at_the_second_attempt(primary: dict[str, Any], play: Play) -> None:
    async with stage(play, primary) as made:
        heard = await made.ask()

        assert heard.is_whole
        assert len(made.primary.asked) == 2
        assert made.fallback.asked == []


async def falls_back_from_silence(primary: dict[str, Any], play: Play) -> None:
    async with stage(play, primary) as made:
        heard = await made.ask()

        assert heard.is_whole
        assert heard.took_s < SILENT_S
        assert len(made.primary.asked) == 1


SCENARIOS: list[Scenario] = [
    waits_as_long_as_a_429_says,
    leaves_who_always_says_429,
    retries_a_single_500,
    leaves_who_always_says_503,
    retries_a_connection_that_was_reset,
    leaves_who_accepts_and_says_nothing,
    leaves_who_says_nothing_after_the_head,
    keeps_the_promise_for_a_stream_that_is_cut,
    keeps_the_promise_for_a_stream_that_falls_silent,
    loses_no_event_in_silence,
    needs_no_end_mark_after_a_finish_reason,
    seeks_a_larger_window,
    tells_what_a_content_filter_says,
    asks_anew_where_nobody_takes_a_prefill,
    comes_back_to_who_has_recovered,
    names_who_answered,
]


@pytest.mark.parametrize("play", PLAYS, ids=str)
@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.__name__)
async def test_the_gateway(scenario: Scenario, play: Play) -> None:
    await scenario(play)
