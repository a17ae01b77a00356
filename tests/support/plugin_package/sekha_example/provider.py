"""A provider: it says what it was told, and needs no upstream."""

import json
from collections.abc import AsyncGenerator

from serve_app.clock import Clock
from serve_app.config.provider import ProviderConfig
from serve_app.errors import FailureKind, UpstreamError, upstream_error
from serve_app.pricing.usage import Usage
from serve_app.providers.base import Answer, Call, Health, HealthStatus, StreamEnd, StreamHead, StreamItem


class Parrot:
    """`options.greeting` comes before what it repeats."""

    def __init__(self, config: ProviderConfig, api_key: str | None, clock: Clock) -> None:
        self._id = config.id
        self._greeting = config.options.get("greeting", "")
        self._clock = clock

    async def chat(self, call: Call) -> Answer | UpstreamError:
        text = self._text(call)
        choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
        body = {"id": "chatcmpl-1", "object": "chat.completion", "model": call.model, "choices": [choice]}
        return Answer(json.dumps(body).encode(), Usage(1, 1), 0.0, len(text))

    async def chat_stream(self, call: Call) -> AsyncGenerator[StreamItem, None]:
        text = self._text(call)
        choice = {"index": 0, "delta": {"role": "assistant", "content": text}, "finish_reason": "stop"}
        chunk = {
            "id": "chatcmpl-1",
            "object": "chat.completion.chunk",
            "model": call.model,
            "choices": [choice],
        }
        yield StreamHead(0.0)
        yield b"data: " + json.dumps(chunk).encode() + b"\n\n"
        yield StreamEnd(Usage(1, 1), 0.0, len(text))

    async def embed(self, call: Call) -> Answer | UpstreamError:
        return upstream_error("A parrot makes no vectors", self._id, FailureKind.REJECTED)

    async def health(self) -> Health:
        return Health(HealthStatus.HEALTHY, 0.0, None, (), self._clock.now())

    async def aclose(self) -> None:
        """Nothing is open."""

    def _text(self, call: Call) -> str:
        return f"{self._greeting}{json.loads(call.body)['messages'][-1]['content']}"
