"""
The trip of a request: plan, try one target after the other, settle.

Nobody here knows about HTTP or Ray. What is decided is decided by `routing` and `resilience`; what routers
must agree on is read from the control replica, and told to it.
"""

import asyncio
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from random import Random
from typing import TypeVar

from serve_app.accounting.money import nano_dollars
from serve_app.clock import Clock
from serve_app.conditions import Conditions
from serve_app.config.model import ModelTask
from serve_app.config.settings import Settings
from serve_app.control.replica import Replica
from serve_app.errors import FailureKind, GatewayError, UpstreamError, upstream_error
from serve_app.events import Event, Listener, RequestFailed
from serve_app.providers.base import Answer, Call, Health, Provider, StreamEnd, StreamHead, StreamItem
from serve_app.routing.candidate import Candidate
from serve_app.routing.intent import ModelNames
from serve_app.routing.plan import Plan, make_plan
from serve_app.routing.requirements import Requirements
from serve_app.routing.strategy import load_strategy
from serve_app.routing.target import Target, defaults_by_task, targets_of
from serve_app.schemas.chat import ChatRequest
from serve_app.schemas.embeddings import EmbeddingRequest
from serve_app.trip import Attempt, Trip

A = TypeVar("A")

LOOK_FOR_S = 2.0
LOOK_AGAIN_AFTER_S = 30.0

log = logging.getLogger("sekha.gateway")


@dataclass(frozen=True, slots=True)
class Routed:
    """
    Which target answered, and why that one.

    Costs are in nano-dollars, None when nobody knows the price; `actual_cost` also until the answer is whole.
    """

    target: Target
    task: ModelTask
    reason: str
    estimated_cost: int | None
    actual_cost: int | None = None
    images: int = 0


@dataclass(frozen=True, slots=True)
class Reply:
    """A whole answer, as bytes in OpenAI's words."""

    body: bytes
    routed: Routed


class ChatStream:
    """
    A stream that has begun: falling back is over.

    It gives blocks of whole SSE frames, then the StreamEnd, or an UpstreamError if the answer was cut short.
    Close it in any case: what lies behind it is let go then, also when nothing was read yet.
    """

    def __init__(
        self,
        routed: Routed,
        items: AsyncGenerator[bytes | StreamEnd | UpstreamError, None],
        leave: Callable[[], Awaitable[None]],
    ) -> None:
        self.routed = routed
        self._items = items
        self._leave = leave
        self._begun = False

    def __aiter__(self) -> AsyncGenerator[bytes | StreamEnd | UpstreamError, None]:
        self._begun = True
        return self._items

    async def aclose(self) -> None:
        """Let go of the stream; a generator that was never started would not clean up by itself."""
        if not self._begun:
            self._begun = True
            await self._leave()
        await self._items.aclose()


class Gateway:
    """The one engine behind chat, streams, embeddings, `/route` and calls through handles."""

    def __init__(
        self,
        settings: Settings,
        providers: Mapping[str, Provider],
        control: Replica,
        clock: Clock,
        rng: Random,
        listeners: Sequence[Listener] = (),
    ) -> None:
        self.settings = settings
        self.control = control
        self.targets = targets_of(settings)
        self.names = ModelNames(self.targets)
        self._providers = providers
        self._timeouts = {p.id: p.timeout for p in settings.llm_providers}
        self._defaults = defaults_by_task(settings.default_models)
        self._strategy = load_strategy(settings.routing.strategy)
        self._conditions = Conditions(control.price, control.is_open, control.latency_s)
        self._clock = clock
        self._rng = rng
        self._listeners = listeners
        self._health: dict[str, Health] = {}
        self._looked_until = 0.0
        limit = settings.routing.max_cost_per_request
        self._max_cost = None if limit is None else nano_dollars(limit)

    # --- deciding -------------------------------------------------------------------------------------

    def plan(self, wanted: Requirements) -> Plan:
        """Who may serve this, best first, and why the others may not."""
        return make_plan(wanted, self.targets, self._conditions, self._strategy, self._rng, self._defaults)

    def route(self, wanted: Requirements) -> tuple[Plan, Candidate]:
        """The plan and its first choice; raises the refusal that a caller should hear."""
        plan = self.plan(wanted)
        if not plan.ordered:
            raise plan.refusal()
        return plan, plan.ordered[0]

    def limit(self, max_cost: int | None) -> int | None:
        """The stricter of the caller's limit and the configured one, in nano-dollars."""
        return min((limit for limit in (max_cost, self._max_cost) if limit is not None), default=None)

    def chat_requirements(self, request: ChatRequest) -> Requirements:
        """What a chat request asks for; ModelNotFound when it names what is not there."""
        intent = self.names.chat(request.model)
        shows_images = request.images > 0 and self.settings.routing.require_vision_for_images
        return Requirements(
            task=ModelTask.VISION if shows_images else intent.task,
            preferred_model=request.preferred_model or intent.preferred_model,
            require_vision=request.require_vision or shows_images,
            require_audio=request.require_audio,
            max_cost=self.limit(request.max_cost),
            context_size=request.context_size,
            images=request.images,
            input_tokens=request.input_tokens,
            output_tokens=request.output_tokens,
        )

    def embedding_requirements(self, request: EmbeddingRequest) -> Requirements:
        """What an embeddings request asks for. A named model is never swapped for another (contract 3.2)."""
        intent = self.names.embedding(request.model)
        return Requirements(
            task=ModelTask.EMBEDDING,
            preferred_model=intent.preferred_model or request.preferred_model,
            max_cost=self.limit(request.max_cost),
            only_preferred=intent.preferred_model is not None,
            input_tokens=request.input_tokens,
        )

    def tell(self, event: Event) -> None:
        """Let the listeners know of something that happened around the gateway."""
        for listener in self._listeners:
            listener(event)

    async def look_at_providers(self) -> dict[str, Health]:
        """
        What each provider's upstream says of itself, by provider id; no paid token is spent.

        All are asked at once and given two seconds; an answer is good for half a minute.
        """
        if self._clock.monotonic() >= self._looked_until:
            names = list(self._providers)
            found = await asyncio.gather(*(self._look_at(name) for name in names))
            self._health = dict(zip(names, found, strict=True))
            self._looked_until = self._clock.monotonic() + LOOK_AGAIN_AFTER_S
        return self._health

    async def _look_at(self, provider_id: str) -> Health:
        try:
            async with asyncio.timeout(LOOK_FOR_S):
                return await self._providers[provider_id].health()
        except TimeoutError:
            silence = f"no answer within {LOOK_FOR_S:g} s"
            return Health("unhealthy", None, silence, (), self._clock.now())

    # --- serving --------------------------------------------------------------------------------------

    async def chat(self, request: ChatRequest, request_id: str, timeout_s: float | None = None) -> Reply:
        """A whole chat completion; raises GatewayError with what the caller should hear."""
        with self._understanding(request_id, "chat"):
            wanted = self.chat_requirements(request)
        trip = self._trip("chat", wanted, request.raw, request_id, timeout_s)
        return await self._whole_answer(trip, lambda provider, call: provider.chat(call))

    async def embed(
        self, request: EmbeddingRequest, request_id: str, timeout_s: float | None = None
    ) -> Reply:
        """Vectors; raises GatewayError likewise."""
        with self._understanding(request_id, "embeddings"):
            wanted = self.embedding_requirements(request)
        trip = self._trip("embeddings", wanted, request.raw, request_id, timeout_s)
        return await self._whole_answer(trip, lambda provider, call: provider.embed(call))

    async def chat_stream(
        self, request: ChatRequest, request_id: str, timeout_s: float | None = None
    ) -> ChatStream:
        """A chat completion in pieces, once a target has begun to answer; raises GatewayError likewise."""
        with self._understanding(request_id, "chat"):
            wanted = self.chat_requirements(request)
        trip = self._trip("chat", wanted, request.raw, request_id, timeout_s, request.wants_usage)
        with trip.under_way():
            attempt, (head, stream) = await self._first_answer(trip, _open_stream)

        async def leave() -> None:
            await stream.aclose()
            trip.abandoned(attempt)

        items = self._pipe(trip, attempt, head, stream)
        return ChatStream(self._routed(trip, attempt), items, leave)

    async def _whole_answer(
        self, trip: Trip, ask: Callable[[Provider, Call], Awaitable[Answer | UpstreamError]]
    ) -> Reply:
        with trip.under_way():
            attempt, answer = await self._first_answer(trip, ask)
        usage = answer.usage or trip.guessed_usage(answer.output_chars)
        cost = trip.served(attempt, usage, answer.upstream_s)
        return Reply(answer.body, self._routed(trip, attempt, cost))

    async def _first_answer(
        self, trip: Trip, ask: Callable[[Provider, Call], Awaitable[A | UpstreamError]]
    ) -> tuple[Attempt, A]:
        """Try the plan's targets in turn until one answers."""
        if not trip.plan.ordered:
            raise trip.plan.refusal()
        for candidate in trip.plan.ordered:
            if trip.remaining_s == 0.0:
                break
            target = candidate.target
            attempt = await trip.admit(candidate, self._timeouts[target.provider_id])
            if attempt is None:
                continue
            call = Call(target.model_id, trip.raw, attempt.timeout_s, trip.request_id, trip.wants_usage)
            provider = self._providers[attempt.provider_id]
            with trip.asking(attempt):
                answer = await _asked(ask, provider, call, attempt.provider_id)
            if not isinstance(answer, UpstreamError):
                return attempt, answer
            trip.failed(attempt, answer)
            if answer.callers_fault or not self.settings.routing.auto_fallback:
                break
        raise trip.last_word()

    async def _pipe(
        self, trip: Trip, attempt: Attempt, head: StreamHead, stream: AsyncGenerator[StreamItem, None]
    ) -> AsyncGenerator[bytes | StreamEnd | UpstreamError, None]:
        """Hand on what comes, and settle when it ends, however it ends."""
        first_token_s = trip.elapsed_s
        settled = False
        with trip.in_flight(attempt):
            try:
                async for item in _guarded(stream, attempt.provider_id):
                    if isinstance(item, StreamEnd):
                        # The end's own span would hold how slowly the caller read; the head's does not.
                        usage = item.usage or trip.guessed_usage(item.output_chars)
                        trip.served(attempt, usage, head.upstream_s, first_token_s)
                        settled = True
                    elif isinstance(item, UpstreamError):
                        trip.cut_short(attempt, item)
                        settled = True
                    if not isinstance(item, StreamHead):
                        yield item
                if not settled:
                    silence = _no_ending(attempt.provider_id)
                    trip.cut_short(attempt, silence)
                    settled = True
                    yield silence
            finally:
                await stream.aclose()
                if not settled:
                    trip.abandoned(attempt)

    @contextmanager
    def _understanding(self, request_id: str, operation: str) -> Iterator[None]:
        """A request that names what is not there ends before its trip begins, and is counted all the same."""
        try:
            yield
        except GatewayError as error:
            self.tell(RequestFailed(request_id, operation, "unknown", error.code, error.status, 0, 0.0))
            raise

    def _trip(
        self,
        operation: str,
        wanted: Requirements,
        raw: bytes,
        request_id: str,
        timeout_s: float | None,
        wants_usage: bool = False,
    ) -> Trip:
        limit = self.settings.routing.request_timeout
        return Trip(
            request_id=request_id,
            operation=operation,
            plan=self.plan(wanted),
            raw=raw,
            timeout_s=min(timeout_s or limit, limit),
            control=self.control,
            clock=self._clock,
            listeners=self._listeners,
            wants_usage=wants_usage,
        )

    def _routed(self, trip: Trip, attempt: Attempt, cost: int | None = None) -> Routed:
        chosen = attempt.candidate
        wanted = trip.plan.wanted
        reason = trip.plan.reason(chosen)
        return Routed(chosen.target, wanted.task, reason, chosen.cost, cost, wanted.images)


async def _asked(
    ask: Callable[[Provider, Call], Awaitable[A | UpstreamError]],
    provider: Provider,
    call: Call,
    provider_id: str,
) -> A | UpstreamError:
    """Ask; a mistake of ours in one provider's code is that provider's failure, not the request's end."""
    try:
        return await ask(provider, call)
    except Exception:
        log.exception("unexpected error at provider '%s'", provider_id)
        return upstream_error("The provider failed unexpectedly", provider_id, FailureKind.BROKEN)


async def _guarded(
    stream: AsyncGenerator[StreamItem, None], provider_id: str
) -> AsyncGenerator[StreamItem, None]:
    """The same stream, in which a mistake of ours in the provider's code is that provider's failure."""
    try:
        async for item in stream:
            yield item
    except Exception:
        log.exception("unexpected error in a stream of provider '%s'", provider_id)
        yield upstream_error("The provider failed unexpectedly", provider_id, FailureKind.BROKEN)


async def _open_stream(
    provider: Provider, call: Call
) -> tuple[StreamHead, AsyncGenerator[StreamItem, None]] | UpstreamError:
    """Start a stream and wait for its first word; until then falling back is still possible."""
    stream = provider.chat_stream(call)
    try:
        first = await anext(stream, None)
    except BaseException:
        await stream.aclose()
        raise
    if isinstance(first, StreamHead):
        return first, stream
    await stream.aclose()
    return first if isinstance(first, UpstreamError) else _no_ending("")


def _no_ending(provider_id: str) -> UpstreamError:
    return upstream_error("The stream stopped without an ending", provider_id, FailureKind.BROKEN)
