"""
The provider of a model in this process: its engine uses OpenAI's API, without a network.

The engine's answers are checked like those of any upstream: completeness, usage, failures.
"""

import logging
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing, contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

from serve_app.clock import Clock
from serve_app.config.provider import ProviderConfig
from serve_app.errors import FailureKind, UpstreamError, upstream_error
from serve_app.formats.openai_chat.chunks import says_something
from serve_app.pricing.usage import CHARS_PER_TOKEN
from serve_app.providers.base import Answer, Call, Health, HealthStatus, StreamEnd, StreamHead, StreamItem
from serve_app.providers.bodies import (
    ask_for_stream,
    ask_for_whole,
    chars_in,
    choices_in,
    dialects_of,
    fitted,
    inputs_in,
    usage_in,
)
from serve_app.providers.frames import ChatFrames
from serve_app.providers.openai_compatible.failures import broken, too_much, too_much_of_nothing
from serve_app.providers.timeouts import USAGE_S, OutOfTime, Timeout, out_of_time, within
from serve_app.providers.whole_answer import checked

Said = AsyncGenerator[bytes, None]

log = logging.getLogger("sekha.provider")


class ModelEngine(Protocol):
    """
    The engine that runs a model.

    A request has OpenAI's fields. The answer is one JSON object, or frames of server-sent events for a
    stream; an error is OpenAI's error object. Closing the generator ends the work.
    """

    def chat(self, fields: dict[str, Any], request_id: str) -> Said:
        """Yield a chat completion."""

    def embed(self, fields: dict[str, Any], request_id: str) -> Said:
        """Yield embeddings, as OpenAI's embedding list."""

    async def check(self) -> None:
        """Raise if the engine is dead."""


@dataclass(slots=True)
class _Opened:
    """A stream of which the first token has arrived."""

    frames: ChatFrames
    first: bytes


class LocalProvider:
    """The provider of an engine; `running` is the number of its requests, running or waiting."""

    def __init__(self, config: ProviderConfig, engine: ModelEngine, clock: Clock) -> None:
        self._config = config
        self._engine = engine
        self._clock = clock
        self._answer_limit = config.max_answer_mb * 1024**2
        self._dialect = dialects_of(config)
        self.running = 0

    async def chat(self, call: Call) -> Answer | UpstreamError:
        fields, dropped = fitted(call, self._dialect(call.model))
        ask_for_whole(fields)
        return await self._whole(call, self._engine.chat(fields, call.request_id), "choices", dropped)

    async def embed(self, call: Call) -> Answer | UpstreamError:
        fields, dropped = fitted(call, self._dialect(call.model))
        answer = self._engine.embed(fields, call.request_id)
        return await self._whole(call, answer, "data", dropped, rows=inputs_in(fields))

    async def chat_stream(self, call: Call) -> AsyncGenerator[StreamItem, None]:
        """Yield a chat completion in blocks of whole frames; closing the generator frees the engine."""
        started = self._clock.monotonic()
        fields, dropped = fitted(call, self._dialect(call.model))
        ask_for_stream(fields)
        frames = ChatFrames(
            self._config.id, call.wants_usage, choices_in(fields), frame_limit=self._answer_limit
        )
        with self._at_work():
            async with aclosing(self._engine.chat(fields, call.request_id)) as said:
                first = await self._first(call, said, frames)
                if isinstance(first, UpstreamError):
                    yield first
                    return
                yield StreamHead(self._since(started), dropped)
                yield first
                while block := await self._next(call.idle_s, said, frames):
                    yield block
                yield self._last_item(frames, started)

    async def health(self) -> Health:
        """Return the health of the engine, which has already started."""
        started = self._clock.monotonic()
        models = tuple(dict.fromkeys(model.model_id for model in self._config.models))
        try:
            await self._engine.check()
        except Exception as error:  # noqa: BLE001 - whatever it is, the engine cannot be used
            failure = self._failed(error)
            return Health(HealthStatus.UNHEALTHY, None, failure.message, (), self._clock.now())
        latency_ms = round(self._since(started) * 1000, 1)
        return Health(HealthStatus.HEALTHY, latency_ms, None, models, self._clock.now())

    async def aclose(self) -> None:
        """Do nothing: the engine belongs to the deployment."""

    async def _whole(
        self,
        call: Call,
        said: Said,
        must_have: str,
        dropped: tuple[str, ...],
        rows: int | None = None,
    ) -> Answer | UpstreamError:
        started = self._clock.monotonic()
        with self._at_work():
            async with aclosing(said):
                try:
                    answering = within(call.first_byte_s, Timeout.FIRST_BYTE, anext(said, b""))
                    body = await within(call.timeout_s, Timeout.WHOLE, answering)
                except Exception as error:  # noqa: BLE001 - see _failed
                    return self._failed(error)
        if len(body) > self._answer_limit:
            return too_much(self._config.id, self._answer_limit)
        whole = checked(body, self._config.id, must_have, rows)
        if isinstance(whole, UpstreamError):
            return whole
        usage = usage_in(whole.answer)
        chars = chars_in(whole.answer) if usage is None else 0
        return Answer(whole.body, usage, self._since(started), chars, dropped=dropped)

    async def _first(self, call: Call, said: Said, frames: ChatFrames) -> bytes | UpstreamError:
        """Return the frames up to the first token; until then the request can still go to another target."""
        try:
            return await within(
                call.timeout_s, Timeout.FIRST_TOKEN, self._until_it_speaks(call, said, frames)
            )
        except Exception as error:  # noqa: BLE001
            return self._failed(error)

    async def _until_it_speaks(self, call: Call, said: Said, frames: ChatFrames) -> bytes | UpstreamError:
        first = bytearray()
        piece = await within(call.first_byte_s, Timeout.FIRST_BYTE, anext(said, b""))
        if piece and not piece.startswith(b"data:"):  # not a stream: an error, or a whole answer
            refusal = checked(piece, self._config.id, "choices")
            if isinstance(refusal, UpstreamError):
                return refusal
            return broken(self._config.id, "sent a whole answer instead of a stream", 200)
        while piece:
            block = frames.feed(piece)
            first += block
            if says_something(block):
                return bytes(first)
            if len(first) > self._answer_limit:
                return too_much_of_nothing(self._config.id, self._answer_limit)
            if frames.is_done or frames.failure:
                break
            piece = await anext(said, b"")
        if first and frames.is_complete and frames.failure is None:
            return bytes(first)
        return frames.failure or broken(self._config.id, "ended its stream before the first token", 200)

    async def _next(self, idle_s: float, said: Said, frames: ChatFrames) -> bytes:
        """Return the next frames; empty at the end, which `frames` has recorded."""
        while not (frames.is_done or frames.failure):
            limit_s = min(idle_s, USAGE_S) if frames.is_complete else idle_s
            try:
                piece = await within(limit_s, Timeout.IDLE, anext(said, b""))
            except Exception as error:  # noqa: BLE001
                failure = self._failed(error)
                if not frames.is_complete:  # else it is whole, and only its usage is missing
                    frames.failure = failure
                return b""
            if not piece:
                return frames.end()
            if block := frames.feed(piece):
                return block
        return b""

    def _last_item(self, frames: ChatFrames, started: float) -> StreamEnd | UpstreamError:
        if (failure := frames.shortfall) is not None:
            return failure
        return StreamEnd(frames.usage, self._since(started), frames.count * CHARS_PER_TOKEN, frames.dropped)

    @contextmanager
    def _at_work(self) -> Iterator[None]:
        self.running += 1
        try:
            yield
        finally:
            self.running -= 1

    def _failed(self, error: Exception) -> UpstreamError:
        """Log the exception of an engine, and return the failure; another target may answer."""
        if isinstance(error, OutOfTime):
            return out_of_time(self._config.id, error.limit, error.limit_s)
        log.error("provider '%s': the vLLM engine failed", self._config.id, exc_info=error)
        message = f"The engine of provider '{self._config.id}' failed: {type(error).__name__}"
        return upstream_error(message, self._config.id, FailureKind.BROKEN)

    def _since(self, started: float) -> float:
        return self._clock.monotonic() - started
