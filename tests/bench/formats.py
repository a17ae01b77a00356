"""
What each format costs the router: CPU time within this process, without a network and without Ray.

Callers of chat completions, Messages and Responses ask providers that answer at once, in the caller's own
format or in another. The subjects take turns, so that a slow second of the machine hits all of them.
"""

import asyncio
import gc
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from time import process_time
from typing import Any, NamedTuple

import orjson

from serve_app.api.app import build_api
from serve_app.api.asgi import ASGIApp, Message
from serve_app.api.auth import Keyring
from serve_app.clock import SystemClock
from serve_app.config.settings import Settings
from serve_app.errors import UpstreamError
from serve_app.formats.sse import event
from serve_app.observability.metrics import exposition
from serve_app.pricing.usage import Usage
from serve_app.providers.base import Answer, Call, Health, HealthStatus, StreamEnd, StreamHead, StreamItem
from serve_app.providers.catalogue.wire_format import WireFormat
from tests.support.harness import Harness

CHAT, MESSAGES, RESPONSES = (
    WireFormat.OPENAI_CHAT,
    WireFormat.ANTHROPIC_MESSAGES,
    WireFormat.OPENAI_RESPONSES,
)
SUBJECTS = (
    (CHAT, CHAT),
    (MESSAGES, MESSAGES),
    (RESPONSES, RESPONSES),
    (MESSAGES, CHAT),
    (CHAT, MESSAGES),
    (RESPONSES, CHAT),
    (RESPONSES, MESSAGES),
)
ROUNDS, WHOLE, STREAMS, CHUNKS = 8, 300, 100, 40
WARM_UP = 100
KEY = "sk-bench"

Ask = Callable[[], Awaitable[None]]


class Cost(NamedTuple):
    """CPU time of one request in microseconds; of a stream of `CHUNKS` pieces, each of them."""

    whole_us: float
    chunk_us: float


PATHS = {CHAT: "/v1/chat/completions", MESSAGES: "/v1/messages", RESPONSES: "/v1/responses"}
QUESTION = "how are you?"
ASKED: Mapping[WireFormat, Mapping[str, Any]] = {
    CHAT: {"messages": [{"role": "user", "content": QUESTION}]},
    MESSAGES: {"max_tokens": 100, "messages": [{"role": "user", "content": QUESTION}]},
    RESPONSES: {"input": QUESTION, "store": False},
}
TEXT = {"type": "output_text", "text": "hi there", "annotations": []}
RESPONSE = {
    "id": "resp_1",
    "object": "response",
    "created_at": 1,
    "status": "completed",
    "model": "m",
    "output": [
        {"type": "message", "id": "msg_1", "role": "assistant", "status": "completed", "content": [TEXT]}
    ],
    "usage": {"input_tokens": 10, "output_tokens": 3, "total_tokens": 13},
}
WHOLES: Mapping[WireFormat, bytes] = {
    CHAT: orjson.dumps({
        "id": "c",
        "object": "chat.completion",
        "created": 1,
        "model": "m",
        "choices": [
            {"index": 0, "message": {"role": "assistant", "content": "hi there"}, "finish_reason": "stop"}
        ],
        "usage": {"prompt_tokens": 10, "completion_tokens": 3, "total_tokens": 13},
    }),
    MESSAGES: orjson.dumps({
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "m",
        "content": [{"type": "text", "text": "hi there"}],
        "stop_reason": "end_turn",
        "stop_sequence": None,
        "usage": {"input_tokens": 10, "output_tokens": 3},
    }),
    RESPONSES: orjson.dumps(RESPONSE),
}  # fmt: skip


def _named(name: str, **payload: Any) -> bytes:
    return event(orjson.dumps({"type": name, **payload}), name.encode())


def _chunk(delta: Mapping[str, Any], finish: str | None) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    head = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m"}
    return event(orjson.dumps({**head, "choices": [choice]}))


class Blocks(NamedTuple):
    """A stream: its first block, one of the pieces, its last block."""

    first: bytes
    piece: bytes
    last: bytes


_ITEM = {"item_id": "msg_1", "output_index": 0, "content_index": 0}
STREAMED: Mapping[WireFormat, Blocks] = {
    CHAT: Blocks(
        _chunk({"role": "assistant", "content": ""}, None),
        _chunk({"content": " word"}, None),
        _chunk({}, "stop"),
    ),
    MESSAGES: Blocks(
        _named(
            "message_start",
            message={
                **orjson.loads(WHOLES[MESSAGES]),
                "content": [],
                "stop_reason": None,
                "usage": {"input_tokens": 9, "output_tokens": 1},
            },
        )
        + _named("content_block_start", index=0, content_block={"type": "text", "text": ""}),
        _named("content_block_delta", index=0, delta={"type": "text_delta", "text": " word"}),
        _named("content_block_stop", index=0)
        + _named("message_delta", delta={"stop_reason": "end_turn"}, usage={"output_tokens": 40})
        + _named("message_stop"),
    ),
    RESPONSES: Blocks(
        _named("response.created", sequence_number=0, response={**RESPONSE, "output": []})
        + _named(
            "response.output_item.added",
            sequence_number=1,
            output_index=0,
            item={"type": "message", "id": "msg_1", "role": "assistant", "content": []},
        ),
        _named("response.output_text.delta", sequence_number=2, delta=" word", logprobs=[], **_ITEM),
        _named("response.completed", sequence_number=50, response=RESPONSE),
    ),
}


class Instant:
    """A provider that answers at once, in the format it is asked in."""

    async def chat(self, call: Call) -> Answer | UpstreamError:
        return Answer(WHOLES[call.format], Usage(10, 3), 0.001)

    async def chat_stream(self, call: Call) -> AsyncGenerator[StreamItem, None]:
        first, piece, last = STREAMED[call.format]
        yield StreamHead(0.001)
        yield first
        for _ in range(CHUNKS):
            yield piece
        yield last
        yield StreamEnd(Usage(10, CHUNKS), 0.1, 4 * CHUNKS)

    async def embed(self, call: Call) -> Answer | UpstreamError:
        return await self.chat(call)

    async def health(self) -> Health:
        return Health(HealthStatus.UNKNOWN, None, None, (), 0.0)

    async def aclose(self) -> None:
        """There is nothing to close."""


def settings(upstream: WireFormat) -> Settings:
    """Return a gateway with one provider that speaks this format alone."""
    model = {"model_id": "m", "task": "chat_smart", "context_window": 128_000}
    provider = {
        "id": "p",
        "type": "openai_compatible",
        "base_url": "http://127.0.0.1:9/v1",
        "formats": [upstream],
        "models": [model],
    }
    return Settings.model_validate({
        "llm_providers": [provider],
        "auth": {"api_keys": [KEY]},
        "default_models": {"chat_smart": "m"},
    })  # fmt: skip


async def _application(upstream: WireFormat) -> ASGIApp:
    configured, clock = settings(upstream), SystemClock()
    providers: dict[str, Any] = {"p": Instant()}
    harness = await Harness(configured, providers, clock).open()
    keys = Keyring.of(configured, {}, clock)
    keys.take(harness.control.runtime_config)
    return build_api(harness.running, keys, exposition)


def _asking(app: ASGIApp, callers: WireFormat, streams: bool) -> Ask:
    fields = {"model": "m", **ASKED[callers], **({"stream": True} if streams else {})}
    body, path = orjson.dumps(fields), PATHS[callers]
    head = {
        "type": "http", "method": "POST", "path": path, "raw_path": path.encode(), "root_path": "",
        "query_string": b"", "scheme": "http", "client": ("127.0.0.1", 1), "server": ("localhost", 80),
        "http_version": "1.1", "asgi": {"version": "3.0"},
        "headers": [
            (b"host", b"localhost"), (b"authorization", f"Bearer {KEY}".encode()), (b"x-request-id", b"r"),
        ],
    }  # fmt: skip

    async def ask() -> None:
        given = [{"type": "http.request", "body": body, "more_body": False}]

        async def receive() -> Message:
            return given.pop() if given else await asyncio.get_running_loop().create_future()

        async def send(message: Message) -> None:
            assert message.get("status", 200) == 200, message

        await app({**head}, receive, send)

    return ask


async def _measured() -> dict[tuple[WireFormat, WireFormat], Cost]:
    apps = {upstream: await _application(upstream) for upstream in (CHAT, MESSAGES, RESPONSES)}
    asks = {
        (callers, upstream, streams): _asking(apps[upstream], callers, streams)
        for callers, upstream in SUBJECTS
        for streams in (False, True)
    }
    for ask in asks.values():
        for _ in range(WARM_UP):
            await ask()
    best = dict.fromkeys(asks, float("inf"))
    gc.collect()
    gc.disable()
    try:
        for _ in range(ROUNDS):
            for subject, ask in asks.items():
                times = STREAMS if subject[2] else WHOLE
                started = process_time()
                for _ in range(times):
                    await ask()
                best[subject] = min(best[subject], (process_time() - started) / times * 1e6)
    finally:
        gc.enable()
    return {
        (callers, upstream): Cost(
            best[callers, upstream, False],
            (best[callers, upstream, True] - best[callers, upstream, False]) / (CHUNKS + 2),
        )
        for callers, upstream in SUBJECTS
    }


def costs() -> dict[tuple[WireFormat, WireFormat], Cost]:
    """Return what each pair of formats costs, the caller's first."""
    return asyncio.run(_measured())


def table(found: Mapping[tuple[WireFormat, WireFormat], Cost]) -> str:
    """Return the figures as lines of text."""
    lines = ["The formats, in the router alone (CPU):", f"  {'caller':20} {'upstream':20} request  chunk"]
    for (callers, upstream), cost in found.items():
        lines.append(f"  {callers:20} {upstream:20} {cost.whole_us:4.0f} µs {cost.chunk_us:4.1f} µs")
    return "\n".join(lines)
