"""
An embedded gateway: the same calls as to a running one, served in this process, without Ray.

Connections and tasks belong to one event loop, and every `asyncio.run` makes a new one: the gateway is
started in each loop, at its first call there. The control plane's state outlives them.
"""

import asyncio
from asyncio import AbstractEventLoop
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field
from random import Random
from typing import Any
from uuid import uuid4

import orjson

from serve_app.clients.bodies import Messages, chat_body, embedding_body
from serve_app.clock import Clock
from serve_app.config.provider import ProviderConfig
from serve_app.config.settings import Settings
from serve_app.deployments.embedded import Authority, LocalGateway, local_gateway
from serve_app.errors import GatewayError
from serve_app.events import Listener
from serve_app.formats.chat_request import ChatRequest
from serve_app.formats.openai_chat.chunks import chunks_in
from serve_app.formats.openai_chat.format import OPENAI_CHAT
from serve_app.formats.openai_chat.request import read_chat
from serve_app.formats.openai_embeddings import OPENAI_EMBEDDINGS, read_embedding
from serve_app.formats.task_request import TaskRequest
from serve_app.gateway.request import GatewayRequest, Operation
from serve_app.gateway.response import Response
from serve_app.gateway.routing_info import METADATA, metadata
from serve_app.providers.address_policy import EndpointPolicy
from serve_app.providers.base import Health, Provider
from serve_app.providers.factory import build_provider


@dataclass(slots=True, eq=False)
class _Started:
    """A gateway of one configuration, and the number of its calls in progress."""

    local: LocalGateway
    settings: Settings
    calls: int = 0


@dataclass(slots=True)
class _Loop:
    """
    The state of one event loop; providers are kept until its end, because a later configuration may use them.
    """

    changing: asyncio.Lock = field(default_factory=asyncio.Lock)
    providers: dict[tuple[ProviderConfig, EndpointPolicy], Provider] = field(default_factory=dict)
    started: _Started | None = None


class EmbeddedGateway:
    """
    A gateway in this process, with the methods of `GatewayClient`; refusals are raised as GatewayError.

    Args:
        environ: contains the keys, and whether there is a place for a ledger (see `deployments/embedded.py`).
    """

    def __init__(
        self,
        settings: Settings,
        environ: Mapping[str, str],
        clock: Clock,
        rng: Random,
        listeners: Sequence[Listener] = (),
    ) -> None:
        self.settings = settings
        self._environ = environ
        self._clock = clock
        self._rng = rng
        self._listeners = listeners
        self._authority = Authority(environ, clock)
        self._loops: dict[AbstractEventLoop, _Loop] = {}

    def configure(self, settings: Settings) -> None:
        """Replace the configuration; calls in progress keep theirs, the next one uses the new one."""
        self.settings = settings

    async def chat(self, messages: Messages, model: str | None = None, **fields: Any) -> dict[str, Any]:
        """Return a complete chat completion, in OpenAI's format."""
        request = read_chat(chat_body(messages, model, fields))
        async with self._in_use() as local:
            answer = await local.running.gateway.answer(_asking(Operation.CHAT, request))
        return _with_metadata(answer, local.running.settings)

    async def chat_stream(
        self, messages: Messages, model: str | None = None, **fields: Any
    ) -> AsyncGenerator[dict[str, Any], None]:
        """Yield the chunks of a chat completion; `aclose()` stops it early, and the model as well."""
        request = read_chat(chat_body(messages, model, {**fields, "stream": True}))
        async with (
            self._in_use() as local,
            aclosing(await local.running.gateway.stream(_asking(Operation.CHAT, request))) as stream,
        ):
            needs_metadata = local.running.settings.routing.metadata
            async for item in stream:
                if isinstance(item, GatewayError):
                    raise item
                if isinstance(item, bytes):
                    for chunk in chunks_in(item):
                        if needs_metadata and stream.routed:
                            chunk[METADATA] = metadata(stream.routed)
                            needs_metadata = False
                        yield chunk

    async def embed(
        self,
        input: str | Sequence[Any],  # noqa: A002 (OpenAI's name for it)
        model: str | None = None,
        **fields: Any,
    ) -> dict[str, Any]:
        """Return embeddings of one or several texts, as OpenAI's embedding list."""
        request = read_embedding(embedding_body(input, model, fields))
        async with self._in_use() as local:
            answer = await local.running.gateway.answer(_asking(Operation.EMBEDDINGS, request))
        return _with_metadata(answer, local.running.settings)

    async def health(self) -> Mapping[str, Health]:
        """Return the last health check of each provider by id; repeat those that are too old."""
        async with self._in_use() as local:
            return dict(await local.running.health_monitor.report())

    async def aclose(self) -> None:
        """Stop the gateway of this event loop; the next call starts it again."""
        here = self._loops.pop(asyncio.get_running_loop(), None)
        if here is None:
            return
        if here.started is not None:
            await here.started.local.stop()
        await asyncio.gather(*(provider.aclose() for provider in here.providers.values()))

    @asynccontextmanager
    async def _in_use(self) -> AsyncIterator[LocalGateway]:
        here = self._here()
        started = await self._started(here)
        started.calls += 1
        try:
            yield started.local
        finally:
            started.calls -= 1
            if not started.calls and started is not here.started:
                await started.local.stop()

    async def _started(self, here: _Loop) -> _Started:
        async with here.changing:
            last = here.started
            if last is not None and last.settings is self.settings:
                return last
            settings = self.settings
            local = await local_gateway(
                settings,
                self._providers(settings, here),
                self._clock,
                self._rng,
                self._listeners,
                self._environ,
                self._authority,
            )
            here.started = _Started(local, settings)
            if last is not None and not last.calls:
                await last.local.stop()
            return here.started

    def _providers(self, settings: Settings, here: _Loop) -> dict[str, Provider]:
        endpoint_policy = EndpointPolicy.of(settings)
        for config in settings.llm_providers:
            if (config, endpoint_policy) not in here.providers:
                here.providers[config, endpoint_policy] = build_provider(
                    config, self._environ, self._clock, endpoint_policy
                )
        return {config.id: here.providers[config, endpoint_policy] for config in settings.llm_providers}

    def _here(self) -> _Loop:
        """Return this event loop's state; gateways of closed loops are abandoned."""
        loop = asyncio.get_running_loop()
        if loop not in self._loops:
            for other in [other for other in self._loops if other.is_closed()]:
                if (started := self._loops.pop(other).started) is not None:
                    started.local.abandon()
            self._loops[loop] = _Loop()
        return self._loops[loop]


def _asking(operation: Operation, content: ChatRequest | TaskRequest) -> GatewayRequest:
    format_ = OPENAI_EMBEDDINGS if operation is Operation.EMBEDDINGS else OPENAI_CHAT
    return GatewayRequest(uuid4().hex, operation, content, format=format_)


def _with_metadata(answer: Response, settings: Settings) -> dict[str, Any]:
    """Return the answer's body with the routing metadata, as over HTTP."""
    body: dict[str, Any] = orjson.loads(answer.body)
    if settings.routing.metadata:
        body[METADATA] = metadata(answer.routed)
    return body
