"""
What a gateway makes of an upstream that misbehaves: every fault, in a chat, a stream and an embedding, at the
first target and at the last, over the wire, through LiteLLM, and of the engine of a local model.

The gateway is whole but for HTTP and Ray: two real providers speak to two scripted upstreams over real HTTP.
Where the first target has the fault the last one is well; where the last has it the first is overloaded.
"""

import asyncio
import json
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import pairwise, product
from typing import Any, NamedTuple

import pytest

from serve_app.clock import SystemClock
from serve_app.config.settings import Settings
from serve_app.errors import UpstreamError
from serve_app.formats.openai_chat.request import read_chat
from serve_app.formats.openai_embeddings import read_embedding
from serve_app.providers.base import Provider, StreamEnd
from serve_app.providers.factory import build_provider
from serve_app.providers.vllm_engine import LocalProvider
from tests.support.engine import HttpEngine
from tests.support.harness import Harness
from tests.support.upstream import ScriptedUpstream

pytestmark = [
    pytest.mark.anyio,
    # LiteLLM's types are loaded when they are first used, and pydantic has something to say about them.
    pytest.mark.filterwarnings("ignore:Item .* on TypedDict class:UserWarning"),
]

TEXT = "tell me a story about a gateway"
ENOUGH_S = 20.0
LITTLE_S = 2.0  # for the one thing that ends only with the request's time
POLICY = {"retry": {"max_retries": 2, "first_delay_s": 0.01, "retry_after_max_s": 3}, "max_answer_mb": 0.1}
# For faults that are silence; where it is not silence that is tried, a slow machine must not look like it.
LIMITS = {
    "timeout": 1,
    "first_byte_timeout_s": 0.8,
    "first_token_timeout_s": 0.8,
    "stream_idle_timeout_s": 0.8,
}


class End(NamedTuple):
    """How a request ends, and how many requests have reached the first and the last upstream by then."""

    how: str
    first: int
    last: int


class Course(NamedTuple):
    """What a fault leads to, where the first target has it and where the last one has it."""

    at_first: End
    at_last: End


# `{}` is the last word: a status and a code. An overloaded first target is always asked three times.
HARMLESS = Course(End("first answers", 1, 0), End("last answers", 3, 1))
PASSES = Course(End("first answers", 2, 0), End("last answers", 3, 2))  # a retry later
RETRIED = Course(End("last answers", 3, 1), End("{} of last", 3, 3))
LEFT = Course(End("last answers", 1, 1), End("{} of last", 3, 1))  # for the next target, at once
BREAKS_OFF = Course(End("first breaks off", 1, 0), End("last breaks off", 3, 1))
# What a stand-in refuses is only its own refusal: the caller hears why it was asked at all.
FINAL = Course(End("{} of first", 1, 0), End("503 upstream_overloaded of first", 3, 1))
TOO_LONG = Course(End("last answers", 1, 1), End("503 upstream_overloaded of first", 3, 1))

CHAT, STREAM, EMBEDDING = "chat", "stream", "embedding"
ALL = (CHAT, STREAM, EMBEDDING)
WHOLE = (CHAT, EMBEDDING)
WIRE, LITELLM, LOCAL = "wire", "litellm", "local"
REMOTE = (WIRE, LITELLM)
OURS = (WIRE, LOCAL)  # who have frames and usage read by us
TYPES = {
    WIRE: {CHAT: "openai", STREAM: "openai", EMBEDDING: "openai"},
    LITELLM: {CHAT: "anthropic", STREAM: "anthropic", EMBEDDING: "hosted_vllm"},
    LOCAL: {CHAT: "vllm", STREAM: "vllm", EMBEDDING: "vllm"},
}


@dataclass(frozen=True)
class Fault:
    """
    `apart_s` is the least time between two requests to the upstream that has it.

    `unclear`: it refuses without a reason, which may be that a stream is asked to tell its usage; who is not
    known to take that is asked once more without.
    """

    name: str
    orders: Mapping[str, Any]
    course: Course
    last_word: str = ""
    asking: tuple[str, ...] = ALL
    through: tuple[str, ...] = (*REMOTE, LOCAL)
    within_s: float = ENOUGH_S
    apart_s: float = 0.0
    unclear: bool = False

    @property
    def limits(self) -> dict[str, float]:
        return LIMITS if self.orders.keys() & {"stall", "stall_headers", "stall_after"} else {}

    def expected(self, place: str, asked: str, adapter: str) -> End:
        end = self.course.at_first if place == "first" else self.course.at_last
        again = int(self.unclear and asked == STREAM and adapter == WIRE)
        counts = {place: getattr(end, place) + again}
        return end._replace(how=end.how.format(self.last_word), **counts)


LIMITED = {"status": 429}
SOON = {**LIMITED, "retry_after": 0.2, "times": 1}
DATED = {**LIMITED, "retry_after_date": 1, "times": 1}
MUCH_LATER = {**LIMITED, "retry_after": 60}
OVERSIZE = {"oversize": 300_000}

FAULTS = [
    Fault("429 with a short wait", SOON, PASSES, through=REMOTE, apart_s=0.2),
    Fault("429 until a date", DATED, PASSES, asking=(CHAT,), through=REMOTE, apart_s=1.0),
    Fault("429 with a long wait", MUCH_LATER, LEFT, "429 upstream_rate_limited", through=REMOTE),
    Fault("429 always", LIMITED, RETRIED, "429 upstream_rate_limited"),
    Fault("500 once", {"status": 500, "times": 1}, PASSES),
    Fault("500 always", {"status": 500}, RETRIED, "502 upstream_broken"),
    Fault("502 always", {"status": 502}, RETRIED, "502 upstream_broken"),
    Fault("503 always", {"status": 503}, RETRIED, "503 upstream_overloaded"),
    Fault("504 always", {"status": 504}, RETRIED, "504 upstream_timeout"),
    Fault("529 always", {"status": 529}, RETRIED, "503 upstream_overloaded"),
    Fault("a reset", {"reset": True, "times": 1}, PASSES),
    Fault("resets", {"reset": True}, RETRIED, "502 upstream_unreachable", through=REMOTE),
    Fault("a dead engine", {"reset": True}, RETRIED, "502 upstream_broken", through=(LOCAL,)),
    Fault("silence", {"stall": True}, LEFT, "504 upstream_timeout", within_s=LITTLE_S),
    Fault("a head and nothing", {"stall_headers": True}, LEFT, "504 upstream_timeout", within_s=LITTLE_S),
    Fault(
        "a role and nothing",
        {"stall_after": 0},
        LEFT,
        "504 upstream_timeout",
        asking=(STREAM,),
        within_s=LITTLE_S,
    ),
    Fault("half an answer", {"cut_after": 2}, RETRIED, "502 upstream_broken", WHOLE),
    Fault("half an answer, silence", {"stall_after": 2}, LEFT, "504 upstream_timeout", WHOLE),
    Fault("half a stream", {"cut_after": 2}, BREAKS_OFF, asking=(STREAM,)),
    Fault("half a stream, silence", {"stall_after": 2}, BREAKS_OFF, asking=(STREAM,)),
    Fault("half a stream, an error", {"error_after": 2}, BREAKS_OFF, asking=(STREAM,)),
    Fault("a stream of nothing", {"cut_after": 0}, RETRIED, "502 upstream_broken", (STREAM,)),
    Fault("a stream of an error", {"error_after": 0}, RETRIED, "502 upstream_broken", (STREAM,), OURS),
    Fault("an overload", {"error_after": 0}, RETRIED, "503 upstream_overloaded", (STREAM,), (LITELLM,)),
    # What comes behind it arrives, but what it said is lost: such an answer has no end.
    Fault("a broken event", {"malformed": True}, BREAKS_OFF, asking=(STREAM,)),
    Fault("no [DONE]", {"no_done": True}, HARMLESS, asking=(STREAM,), through=OURS),
    Fault("no usage", {"no_usage": True}, HARMLESS, asking=(CHAT, STREAM), through=OURS),
    Fault("broken JSON", {"malformed": True}, RETRIED, "502 upstream_broken", (CHAT,)),
    Fault("a web page", {"html": True}, RETRIED, "502 upstream_broken"),
    Fault("an empty body", {"empty": True}, RETRIED, "502 upstream_broken"),
    Fault("another type", {"content_type": "text/plain"}, HARMLESS, through=REMOTE),
    Fault("too much", OVERSIZE, RETRIED, "502 upstream_broken", WHOLE),
    Fault("too much of a stream", OVERSIZE, BREAKS_OFF, asking=(STREAM,)),
    Fault("401 of our key", {"status": 401}, LEFT, "502 upstream_auth"),
    Fault("403 of our key", {"status": 403}, LEFT, "502 upstream_auth"),
    Fault("no such model", {"status": 404}, LEFT, "502 upstream_not_found"),
    Fault("too long a prompt", {"refuse": "context_length"}, TOO_LONG),
    Fault(
        "a content filter",
        {"refuse": "content_filter"},
        FINAL,
        "400 content_policy_violation",
        through=REMOTE,
    ),
    Fault("no prefill here", {"refuse": "prefill"}, FINAL, "400 upstream_rejected", unclear=True),
    Fault("400", {"status": 400}, FINAL, "400 upstream_rejected", unclear=True),
    Fault("422", {"status": 422}, FINAL, "422 upstream_rejected", unclear=True),
]

ROWS = [pytest.param(fault, asked, id=f"{fault.name}-{asked}") for fault in FAULTS for asked in fault.asking]


@dataclass
class Scene:
    """A gateway with two providers, and the upstreams they speak to."""

    first: ScriptedUpstream
    last: ScriptedUpstream
    harness: Harness
    providers: dict[str, Provider]

    async def ending(self, asked: str, within_s: float) -> End:
        """Ask: who answers or breaks off, or what the caller hears instead."""
        try:
            how = await ASK[asked](self.harness, within_s)
        except UpstreamError as error:
            how = f"{error.status} {error.code} of {error.provider_id}"
        return End(how, len(self.first.asked), len(self.last.asked))


@pytest.fixture(scope="module")
def upstreams() -> Iterator[list[ScriptedUpstream]]:
    """A first and a last one for each of the six scenes of a row."""
    with ExitStack() as running:
        yield [running.enter_context(ScriptedUpstream()) for _ in range(12)]


@pytest.fixture(scope="module", autouse=True)
def _warmed_up(upstreams: list[ScriptedUpstream]) -> None:
    """LiteLLM loads its parts when they are first used, which takes longer than any limit here."""
    well = Fault("none", {}, HARMLESS)

    async def use() -> None:
        for asked in ALL:
            built = await scene(well, asked, "first", LITELLM, *upstreams[:2])
            await built.ending(asked, ENOUGH_S)

    asyncio.run(use())


@pytest.mark.parametrize(("fault", "asked"), ROWS)
async def test_a_fault_ends_as_the_table_says(
    fault: Fault, asked: str, upstreams: list[ScriptedUpstream]
) -> None:
    cells = list(product(("first", "last"), fault.through))
    scenes = [
        await scene(fault, asked, place, adapter, upstreams[2 * n], upstreams[2 * n + 1])
        for n, (place, adapter) in enumerate(cells)
    ]
    try:
        ends = await asyncio.gather(*(scene.ending(asked, fault.within_s) for scene in scenes))
    finally:
        for built in scenes:
            for provider in built.providers.values():
                await provider.aclose()

    assert dict(zip(cells, ends, strict=True)) == {
        (place, adapter): fault.expected(place, asked, adapter) for place, adapter in cells
    }
    for (place, _), built, end in zip(cells, scenes, ends, strict=True):
        arrived = getattr(built, place).arrived
        assert len(arrived) == (end.first if place == "first" else end.last) >= 1 + (fault.apart_s > 0)
        assert all(later - earlier >= fault.apart_s for earlier, later in pairwise(arrived))


async def scene(
    fault: Fault, asked: str, place: str, adapter: str, first: ScriptedUpstream, last: ScriptedUpstream
) -> Scene:
    """Ready to be asked; the fault is at `place`."""
    for upstream in (first, last):
        upstream.recover()
        upstream.requests.clear()
    first.mode = {"status": 503}
    (first if place == "first" else last).mode = dict(fault.orders)
    type_ = TYPES[adapter][asked]
    configured = [
        configuration(name, priority, type_, asked, upstream.url) | hosted(adapter) | fault.limits
        for priority, (name, upstream) in enumerate({"first": first, "last": last}.items(), start=1)
    ]
    settings = Settings.model_validate({"llm_providers": configured, "default_models": {}})
    clock = SystemClock()
    providers = {
        config.id: LocalProvider(config, HttpEngine(upstream.url), clock)
        if config.local is not None
        else build_provider(config, {}, clock)
        for config, upstream in zip(settings.llm_providers, (first, last), strict=True)
    }
    return Scene(first, last, await Harness(settings, providers, clock).open(), providers)


def configuration(name: str, place: int, type_: str, asked: str, url: str) -> dict[str, Any]:
    """A provider with one model; the later its place, the more that takes."""
    task, window = ("embedding", 512) if asked == EMBEDDING else ("chat_smart", 8192)
    return {
        "id": name,
        "type": type_,
        "base_url": f"{url}/v1" if type_ == "hosted_vllm" else url,
        "api_key": "sk-test",
        "priority": place,
        "models": [{"model_id": f"{name}-model", "task": task, "context_window": window * place}],
        **POLICY,
    }


def hosted(adapter: str) -> dict[str, Any]:
    """What is configured otherwise where we host the model ourselves."""
    return {"base_url": None, "api_key": None, "local": {}} if adapter == LOCAL else {}


async def chat(harness: Harness, within_s: float) -> str:
    body = {"messages": [{"role": "user", "content": TEXT}]}
    reply = await harness.chat(read_chat(json.dumps(body).encode()), "r", within_s)
    who, told = reply.routed.target.provider_id, json.loads(reply.body)
    assert told["model"] == f"{who}-model"
    assert told["choices"][0]["message"]["content"] == f"Hello from {who}-model: {TEXT}"
    return f"{who} answers"


async def embedding(harness: Harness, within_s: float) -> str:
    asked = read_embedding(json.dumps({"input": TEXT}).encode())
    reply = await harness.embed(asked, "r", within_s)
    who, told = reply.routed.target.provider_id, json.loads(reply.body)
    assert told["model"].endswith(f"{who}-model")
    assert len(told["data"][0]["embedding"]) == 8
    return f"{who} answers"


async def stream(harness: Harness, within_s: float) -> str:
    body = {"messages": [{"role": "user", "content": TEXT}], "stream": True}
    begun = await harness.chat_stream(read_chat(json.dumps(body).encode()), "r", within_s)
    who, items = begun.routed.target.provider_id, [item async for item in begun]
    await begun.aclose()
    *blocks, end = items
    frames = b"".join(block for block in blocks if isinstance(block, bytes)).split(b"\n\n")
    chunks = [json.loads(frame.removeprefix(b"data: ")) for frame in frames if frame]
    assert {chunk["model"] for chunk in chunks} == {f"{who}-model"}
    text = "".join(c["delta"].get("content") or "" for chunk in chunks for c in chunk["choices"])
    if isinstance(end, StreamEnd):
        assert text == f"Hello from {who}-model: {TEXT}"
        return f"{who} answers"
    assert text.startswith("Hello")
    assert not any(c["finish_reason"] for chunk in chunks for c in chunk["choices"])
    return f"{who} breaks off"


ASK = {CHAT: chat, STREAM: stream, EMBEDDING: embedding}
