"""
What the callers of a soak ask for: ordinary things, large ones, wrong ones, and what makes a provider fail.

A fault is an order for the upstream and says for which model, so that the fallback does not share it.
"""

import base64
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from random import Random
from typing import Any

from tests.soak.gateway import CLAUDE, FIRST, VECTORS, WITHIN
from tests.support.api import user
from tests.support.leaving import CHAT, EMBEDDINGS

Body = dict[str, Any]

TOOL = {
    "type": "function",
    "function": {
        "name": "weather",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
    },
}
IMAGE_BYTES = 750_000  # a megabyte as base64
SOME_CHUNKS = {"chunks": 25, "chunk_delay_s": 0.02}


@dataclass(frozen=True)
class Kind:
    """A kind of request, `weight` times as frequent as one of weight 1; `good`: there should be an answer."""

    name: str
    weight: float
    body: Callable[[Random], Body]
    path: str = CHAT
    good: bool = True
    leaves: bool = False
    headers: Mapping[str, str] = field(default_factory=dict)


def words(rng: Random) -> str:
    """Something to ask, never twice the same."""
    return " ".join(f"pebble-{rng.randrange(10**6)}" for _ in range(rng.randrange(3, 60)))


def chat(model: str, orders: Mapping[str, Any] | None = None, **fields: Any) -> Callable[[Random], Body]:
    """Chats with one model; the orders are made unique, for `times` counts those that are alike."""

    def body(rng: Random) -> Body:
        told = f"[[{json.dumps({**orders, 'n': rng.randrange(10**9)})}]] " if orders else ""
        return {"model": model, "messages": [user(told + words(rng))], **fields}

    return body


def fault(name: str, weight: float = 1, stream: bool = False, **orders: Any) -> Kind:
    return Kind(name, weight, chat(FIRST, {"only_for": FIRST, **orders}, stream=stream))


def with_image(rng: Random) -> Body:
    data = base64.b64encode(rng.randbytes(IMAGE_BYTES)).decode()
    parts = [
        {"type": "text", "text": words(rng)},
        {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{data}"}},
    ]
    return {"model": FIRST, "messages": [user(parts)]}


def vectors(rng: Random) -> Body:
    return {"model": VECTORS, "input": [words(rng) for _ in range(rng.randrange(1, 20))]}


KINDS = (
    Kind("whole answers", 20, chat(FIRST)),
    Kind("whole answers, inline", 10, chat(WITHIN)),
    Kind("whole answers, litellm", 6, chat(CLAUDE)),
    Kind("streams", 10, chat(FIRST, SOME_CHUNKS, stream=True)),
    Kind("streams, inline", 5, chat(WITHIN, SOME_CHUNKS, stream=True)),
    Kind("streams, litellm", 4, chat(CLAUDE, SOME_CHUNKS, stream=True)),
    Kind("embeddings", 8, vectors, EMBEDDINGS),
    Kind("tool calls", 4, chat(FIRST, tools=[TOOL], tool_choice="required")),
    Kind("an image of a megabyte", 2, with_image),
    Kind("no such model", 2, chat("nobody-has-it"), good=False),
    Kind("no messages", 2, lambda rng: {"model": FIRST, "n": rng.randrange(9)}, good=False),
    Kind("callers who leave", 8, chat(FIRST, SOME_CHUNKS, stream=True), leaves=True),
    Kind("callers who leave, inline", 3, chat(WITHIN, {"stall": True}), leaves=True),
    Kind("callers who leave, litellm", 3, chat(CLAUDE, SOME_CHUNKS, stream=True), leaves=True),
    fault("429 with Retry-After", status=429, retry_after=1, times=1),
    fault("500 once", status=500, times=1),
    fault("reset", reset=True),
    fault("a web page", html=True),
    fault("silence", 0.5, stall=True),
    fault("silence, streamed", 0.5, stream=True, stall=True),
    fault("a cut stream", stream=True, chunks=20, cut_after=10),
    Kind(
        "a cut stream, resumed",
        1,
        chat(FIRST, {"only_for": FIRST, "chunks": 20, "cut_after": 10}, stream=True),
        headers={"x-sekha-on-stream-failure": "resume"},
    ),
    Kind(
        "a cut stream, held back",
        1,
        chat(FIRST, {"only_for": FIRST, "chunks": 20, "cut_after": 10}, stream=True),
        headers={"x-sekha-on-stream-failure": "hold"},
    ),
    fault("a slow stream", 1, stream=True, chunks=20, chunk_delay_s=0.3),
    Kind("a silence in a stream, litellm", 0.5, chat(CLAUDE, {"chunks": 9, "stall_after": 3}, stream=True)),
)
