"""Whatever providers do: attempts end with the deadline, are bounded, and keep announced waits."""

import asyncio
from contextlib import suppress
from dataclasses import dataclass

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from serve_app.config.policy import BreakerPolicy
from serve_app.errors import FailureKind, GatewayError, UpstreamError, upstream_error
from serve_app.events import AttemptFailed, RequestFailed, RequestServed
from serve_app.formats.openai_chat.request import read_chat
from serve_app.pricing.usage import Usage
from serve_app.providers.base import Answer, Call
from tests.support.clock import FakeClock
from tests.support.harness import Harness, ListedProvider
from tests.support.settings import two_providers

REQUEST = read_chat(orjson.dumps({"messages": [{"role": "user", "content": "hi"}]}))
ANSWER = Answer(b"{}", Usage(1, 1), 0.1)
MAX_RETRIES = 3
LAST_WORDS = {
    FailureKind.TIMEOUT: 504,
    FailureKind.RATE_LIMITED: 429,
    FailureKind.OVERLOADED: 503,
    FailureKind.SATURATED: 429,
    FailureKind.UNREACHABLE: 502,
    FailureKind.BROKEN: 502,
    FailureKind.AUTH: 502,
    FailureKind.OUT_OF_CREDIT: 502,
    FailureKind.NOT_FOUND: 502,
    FailureKind.CONTEXT_LENGTH: 400,
    FailureKind.CONTENT_FILTER: 400,
    FailureKind.REJECTED: 400,
    FailureKind.UNSUPPORTED: 400,
    FailureKind.REFUSED_ADDRESS: 502,
    FailureKind.INTERNAL: 500,
}
FINAL = (
    FailureKind.CONTEXT_LENGTH,  # of a model that holds no less than the other one
    FailureKind.CONTENT_FILTER,
    FailureKind.REJECTED,
    FailureKind.INTERNAL,
)


@dataclass(frozen=True)
class Behaviour:
    """What a provider does to one call: how long it takes, and how it ends; kind None: with an answer."""

    takes_s: float
    kind: FailureKind | None
    retry_after_s: float | None


behaviours = st.lists(
    st.builds(
        Behaviour,
        st.floats(0, 30),
        st.none() | st.sampled_from(FailureKind),
        st.none() | st.floats(0, 30),
    ),
    min_size=1,
    max_size=12,
)


class Scripted(ListedProvider):
    """Does what a list says, within the limits it is given."""

    def __init__(self, name: str, clock: FakeClock, script: list[Behaviour]) -> None:
        super().__init__(ANSWER)
        self._name = name
        self._clock = clock
        self._script = script
        self.asked: list[tuple[float, Call]] = []
        self.told: list[tuple[float, float]] = []

    async def chat(self, call: Call) -> Answer | UpstreamError:
        self.asked.append((self._clock.monotonic(), call))
        done = self._script[(len(self.asked) - 1) % len(self._script)]
        if done.takes_s > call.timeout_s:
            self._clock.advance(call.timeout_s)
            return upstream_error("too late", self._name, FailureKind.TIMEOUT)
        self._clock.advance(done.takes_s)
        if done.kind is None:
            return ANSWER
        if done.retry_after_s and done.kind is not FailureKind.SATURATED:
            self.told.append((self._clock.monotonic(), done.retry_after_s))
        return upstream_error("no", self._name, done.kind, retry_after_s=done.retry_after_s)


@given(behaviours, behaviours, st.lists(st.floats(0.1, 60), min_size=1, max_size=4), st.booleans())
def test_attempts_end_with_the_deadline_are_bounded_and_keep_announced_waits(
    first: list[Behaviour], second: list[Behaviour], timeouts: list[float], falls_back: bool
) -> None:
    clock = FakeClock()
    scripted = {"first": Scripted("first", clock, first), "second": Scripted("second", clock, second)}
    config = two_providers(
        {"retry": {"max_retries": MAX_RETRIES, "retry_after_max_s": 20}},
        circuit_breaker=BreakerPolicy(failure_threshold=3, reset_timeout=5),
        routing={"auto_fallback": falls_back},
    )

    async def run() -> None:
        made = await Harness(config, dict(scripted), clock).open()
        for timeout_s in timeouts:
            before = {name: len(provider.asked) for name, provider in scripted.items()}
            started, told = clock.monotonic(), len(made.events)
            with suppress(GatewayError):
                await made.chat(REQUEST, "r", timeout_s)
            assert clock.monotonic() - started <= timeout_s + 1e-6
            news = made.events[told:]
            assert sum(isinstance(event, RequestServed | RequestFailed) for event in news) == 1
            calls = [call for name, p in scripted.items() for call in p.asked[before[name] :]]
            served = sum(isinstance(event, RequestServed) for event in news)
            assert len(calls) == served + sum(isinstance(event, AttemptFailed) for event in news)
            for name, provider in scripted.items():
                assert len(provider.asked) - before[name] <= 1 + MAX_RETRIES

    asyncio.run(run())

    for provider in scripted.values():
        for at, wait_s in provider.told:
            assert not any(at < asked < at + wait_s - 1e-6 for asked, _ in provider.asked)
    if not falls_back and scripted["second"].asked:
        assert scripted["first"].asked  # only where a breaker keeps the first choice away


@pytest.mark.parametrize("kind", FailureKind)
def test_every_kind_of_failure_ends_a_request_that_nobody_can_serve(kind: FailureKind) -> None:
    """The last word is that of the last target that was asked; a caller's fault, or ours, is told at once."""
    clock = FakeClock()
    failing = {name: Scripted(name, clock, [Behaviour(0, kind, None)]) for name in ("first", "second")}

    async def run() -> None:
        made = await Harness(two_providers(), dict(failing), clock).open()
        with pytest.raises(UpstreamError) as caught:
            await made.chat(REQUEST, "r")
        told, status = caught.value, LAST_WORDS[kind]
        asked = ["first"] if kind in FINAL else ["first", "second"]
        # What only one target cannot carry is no reason to have left the one that was asked before.
        speaks = "first" if kind is FailureKind.UNSUPPORTED else asked[-1]
        assert (told.failure, told.status, told.provider_id) == (kind, status, speaks)
        assert [name for name, provider in failing.items() if provider.asked] == asked

    asyncio.run(run())
