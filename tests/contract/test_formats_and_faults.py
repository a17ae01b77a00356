"""
Every fault of an upstream, in every format of a caller, as a whole answer and as a stream.

The upstreams speak OpenAI or Anthropic: what a caller hears does not depend on who speaks what.

Upstreams, providers and the gateway with its HTTP face are real, and speak over real connections; all of them
share one event loop whose clock jumps, so that no wait takes time.
"""

from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from itertools import product
from random import Random
from typing import Any, NamedTuple

import httpx
import pytest

from serve_app.api.app import build_api
from serve_app.config.routing import OnStreamFailure
from serve_app.config.settings import Settings
from serve_app.deployments.embedded import local_gateway
from serve_app.observability.metrics import exposition
from serve_app.providers.factory import build_provider
from tests.support.clients import CHAT, COMPLETIONS, MESSAGES, PATHS, RESPONSES, Heard, body_for
from tests.support.jumping import JUMPING, LoopClock
from tests.support.keyrings import keyring
from tests.support.upstream import ScriptedUpstream

pytestmark = pytest.mark.anyio

TEXT = "tell me a story about a gateway"
WIRES = (CHAT, COMPLETIONS, MESSAGES, RESPONSES)
OPENAI, ANTHROPIC = "openai", "anthropic"
UPSTREAMS: Mapping[str, Mapping[str, Any]] = {
    OPENAI: {"type": "openai", "formats": ["openai_chat", "openai_completions", "openai_responses"]},
    ANTHROPIC: {"type": "anthropic"},
}
WHOLE, STREAM = False, True
PASS, HOLD, RESUME = None, OnStreamFailure.HOLD, OnStreamFailure.RESUME
RETRIES = {"retry": {"max_retries": 1, "first_delay_s": 0.5, "retry_after_max_s": 3}}

# How it ends where another provider is there.
ANSWERS, FALLS_BACK, BREAKS_OFF, REFUSED = "first answers", "last answers", "first breaks off", "refused"

STATUS_OF_TYPE = {
    400: "invalid_request_error",
    429: "rate_limit_error",
    500: "api_error",
    502: "api_error",
    503: "overloaded_error",
    504: "timeout_error",
}


@pytest.fixture
def anyio_backend() -> object:
    return JUMPING


class Fault(NamedTuple):
    """
    What an upstream does, and what follows.

    Fields:
        name: names the test.
        orders: for `ScriptedUpstream`.
        course: how it ends for a caller where another provider is there.
        asked: how often the first is asked.
        votes: what the breaker counts of it: a request that is tried again there is one.
        status, code: what a caller hears where nobody else is there; of a stream that broke off, the code.
        asking: of whole answers, of streams or of both.
        retry_after: the header that a caller gets.
    """

    name: str
    orders: Mapping[str, Any]
    course: str
    asked: int
    votes: int
    status: int
    code: str
    asking: tuple[bool, ...] = (WHOLE, STREAM)
    retry_after: str | None = None


ONLY_WHOLE, ONLY_STREAM = (WHOLE,), (STREAM,)
BROKEN, TIMEOUT = "upstream_broken", "upstream_timeout"
LIMITED, LONG = {"status": 429, "retry_after": 60}, {"refuse": "context_length"}
FAULTS = (
    Fault("none", {}, ANSWERS, 1, 0, 200, ""),
    Fault("a 429", LIMITED, FALLS_BACK, 1, 1, 429, "upstream_rate_limited", retry_after="60"),
    Fault("a 500", {"status": 500}, FALLS_BACK, 2, 1, 502, BROKEN),
    Fault("a reset", {"reset": True}, FALLS_BACK, 2, 1, 502, "upstream_unreachable"),
    Fault("silence", {"stall": True}, FALLS_BACK, 1, 1, 504, TIMEOUT),
    Fault("a beginning and silence", {"stall_after": 0}, FALLS_BACK, 1, 1, 504, TIMEOUT, ONLY_STREAM),
    Fault("half an answer", {"cut_after": 2}, FALLS_BACK, 2, 1, 502, BROKEN, ONLY_WHOLE),
    Fault("half an answer, silence", {"stall_after": 2}, FALLS_BACK, 1, 1, 504, TIMEOUT, ONLY_WHOLE),
    Fault("broken JSON", {"malformed": True}, FALLS_BACK, 2, 1, 502, BROKEN, ONLY_WHOLE),
    Fault("half a stream", {"cut_after": 2}, BREAKS_OFF, 1, 1, 200, BROKEN, ONLY_STREAM),
    Fault("half a stream, silence", {"stall_after": 2}, BREAKS_OFF, 1, 1, 200, TIMEOUT, ONLY_STREAM),
    Fault("half a stream, an error", {"error_after": 2}, BREAKS_OFF, 1, 1, 200, "*", ONLY_STREAM),
    Fault("a broken event", {"malformed": True}, BREAKS_OFF, 1, 1, 200, BROKEN, ONLY_STREAM),
    Fault("too long a prompt", LONG, FALLS_BACK, 1, 0, 400, "context_length_exceeded"),
    Fault("a filter", {"refuse": "content_filter"}, REFUSED, 1, 0, 400, "content_policy_violation"),
)
CELLS = [
    pytest.param(fault, streams, wire, upstream, id=f"{fault.name}-{wire}-{upstream}-{streams=}")
    for fault in FAULTS
    for streams, wire, upstream in product(fault.asking, WIRES, UPSTREAMS)
]
BROKEN_OFF = [fault for fault in FAULTS if fault.course == BREAKS_OFF]


@dataclass
class Scene:
    """A gateway, and the upstreams behind it."""

    upstreams: list[ScriptedUpstream]
    api: httpx.AsyncClient

    @property
    def asked(self) -> list[int]:
        return [len(upstream.asked) for upstream in self.upstreams]

    async def ask(self, wire: str, streams: bool) -> Heard:
        body = body_for(wire, TEXT, streams)
        answer = await self.api.post(PATHS[wire], json=body, headers={"x-request-id": "r-1"})
        return Heard(wire, answer.status_code, answer.headers, answer.content)

    async def votes(self) -> int:
        """How many failures of the first provider its breaker counts."""
        told = (await self.api.get("/api/v1/health/providers")).json()
        return int(told["providers"]["first"]["circuit_breaker"]["failure_count"])


@asynccontextmanager
async def scene(
    upstream: str, orders: Mapping[str, Any], is_alone: bool = False, policy: OnStreamFailure | None = None
) -> AsyncIterator[Scene]:
    async with AsyncExitStack() as stack:
        servers = [await stack.enter_async_context(ScriptedUpstream()) for _ in range(1 if is_alone else 2)]
        servers[0].mode = dict(orders)
        names, models = ("first", "last"), ("same", LARGER if orders == LONG else "same")
        settings = Settings.model_validate({
            "llm_providers": [
                {
                    **UPSTREAMS[upstream], **RETRIES,
                    "id": name, "base_url": server.url, "api_key": "sk-test", "priority": place,
                    "transport": "inline",
                    "models": [{"model_id": model, "task": "chat_smart", "context_window": 8192 * place}],
                }
                for place, (name, model, server) in enumerate(zip(names, models, servers, strict=False), 1)
            ],
            "default_models": {},
            "routing": {} if policy is None else {"on_stream_failure": policy},
        })  # fmt: skip
        clock = LoopClock()
        providers = {config.id: build_provider(config, {}, clock) for config in settings.llm_providers}
        local = await local_gateway(settings, providers, clock, Random(7), environ={})
        stack.push_async_callback(local.aclose)
        app = build_api(local.running, keyring(), exposition)
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)  # type: ignore[arg-type]
        api = httpx.AsyncClient(transport=transport, base_url="http://localhost", timeout=600)
        yield Scene(servers, await stack.enter_async_context(api))


SAID = f"Hello from same: {TEXT}"
LARGER = "larger"


def answered_by(heard: Heard) -> str:
    return str(heard.headers["x-sekha-provider"])


def model_of(heard: Heard) -> str:
    return str(heard.headers.get("x-sekha-model", "same"))


def check_whole(heard: Heard, streams: bool) -> None:
    assert heard.status == 200
    assert heard.is_stream is streams
    assert heard.error is None
    assert heard.shows_an_end
    assert heard.text == SAID.replace("same", model_of(heard))


def check_honest(heard: Heard, code: str) -> None:
    """Cut short, and said so: an error event at the end, and nothing that looks like one."""
    assert heard.status == 200
    assert SAID.startswith(heard.text)
    assert not heard.shows_an_end
    assert heard.error is not None
    assert code in ("*", heard.error["code"])


def check_refused(heard: Heard, fault: Fault) -> None:
    assert heard.error is not None
    assert (heard.status, heard.error["code"]) == (fault.status, fault.code)
    assert heard.headers.get("retry-after") == fault.retry_after
    assert answered_by(heard) == "first"
    if heard.wire == MESSAGES:
        assert heard.error["type"] == STATUS_OF_TYPE[fault.status]
        assert ("prompt is too long" in heard.error["message"]) is (fault.code == "context_length_exceeded")


@pytest.mark.parametrize(("fault", "streams", "wire", "upstream"), CELLS)
async def test_a_fault_is_the_same_to_callers_of_every_format(
    fault: Fault, streams: bool, wire: str, upstream: str
) -> None:
    async with scene(upstream, fault.orders) as made:
        heard = await made.ask(wire, streams)

        match fault.course:
            case "first answers" | "last answers" as course:
                check_whole(heard, streams)
                assert answered_by(heard) == course.split()[0]
            case "first breaks off":
                check_honest(heard, fault.code)
            case _:
                check_refused(heard, fault)
        assert made.asked == [fault.asked, int(fault.course == FALLS_BACK)]
        assert await made.votes() == fault.votes


@pytest.mark.parametrize(
    ("fault", "streams", "wire", "upstream"),
    [cell for cell in CELLS if cell.values[0].course == FALLS_BACK],
)
async def test_where_nobody_else_is_there_a_caller_hears_why_in_its_own_format(
    fault: Fault, streams: bool, wire: str, upstream: str
) -> None:
    async with scene(upstream, fault.orders, is_alone=True) as made:
        check_refused(await made.ask(wire, streams), fault)
        assert made.asked == [fault.asked]


@pytest.mark.parametrize("upstream", UPSTREAMS)
@pytest.mark.parametrize("wire", WIRES)
@pytest.mark.parametrize("fault", BROKEN_OFF, ids=lambda fault: fault.name)
async def test_a_stream_that_is_held_back_comes_whole_from_another_provider(
    fault: Fault, wire: str, upstream: str
) -> None:
    async with scene(upstream, fault.orders, policy=HOLD) as made:
        check_whole(await made.ask(wire, STREAM), STREAM)
        assert made.asked[-1] == 1


@pytest.mark.parametrize("upstream", UPSTREAMS)
@pytest.mark.parametrize("wire", [CHAT, MESSAGES])
@pytest.mark.parametrize("fault", BROKEN_OFF, ids=lambda fault: fault.name)
async def test_a_stream_of_text_that_broke_off_goes_on_at_another_provider(
    fault: Fault, wire: str, upstream: str
) -> None:
    async with scene(upstream, fault.orders, policy=RESUME) as made:
        heard = await made.ask(wire, STREAM)

        if fault.orders == {"malformed": True} and (wire, upstream) == (MESSAGES, ANTHROPIC):
            check_honest(heard, BROKEN)  # the block of text was closed: nothing can follow in it
        else:
            check_whole(heard, STREAM)
            assert made.asked == [1, 1]


@pytest.mark.parametrize("upstream", UPSTREAMS)
async def test_a_response_that_broke_off_cannot_go_on_elsewhere_and_says_so(upstream: str) -> None:
    async with scene(upstream, {"cut_after": 2}, policy=RESUME) as made:
        check_honest(await made.ask(RESPONSES, STREAM), BROKEN)
        assert made.asked == [1, 0]


@pytest.mark.parametrize(
    ("wire", "upstream"), [*product(WIRES, [ANTHROPIC]), (CHAT, OPENAI), (MESSAGES, OPENAI)]
)
async def test_an_end_mark_that_is_missing_after_the_end_is_added(wire: str, upstream: str) -> None:
    async with scene(upstream, {"no_stop": True} if upstream == ANTHROPIC else {"no_done": True}) as made:
        check_whole(await made.ask(wire, STREAM), STREAM)
        assert made.asked == [1, 0]
