"""
An upstream over one pooled HTTP session, in each of the formats that it speaks.

Answers and streams are passed on as the bytes they came in; what is read on the way is whether they are
whole, and what they used. They are known by their first words, whatever they are called. An upstream that
does not tell its usage is counted after, where its tokenizer is known.
"""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, cast

import aiohttp
from aiohttp.abc import AbstractResolver

from serve_app.clock import Clock
from serve_app.config.provider import ProviderConfig
from serve_app.errors import FailureKind, UpstreamError, upstream_error
from serve_app.pricing.usage import CHARS_PER_TOKEN
from serve_app.providers.address_policy import DEFAULT_ENDPOINT_POLICY, EndpointPolicy
from serve_app.providers.base import (
    Answer,
    Call,
    Health,
    StreamEnd,
    StreamHead,
    StreamItem,
    counts_nothing,
)
from serve_app.providers.bodies import Fitted
from serve_app.providers.body_form import Form, form_of
from serve_app.providers.catalogue.vendor import Vendor
from serve_app.providers.catalogue.wire_format import WireFormat
from serve_app.providers.counted_usage import counted
from serve_app.providers.health_check import look
from serve_app.providers.http.connection import Connection, is_success
from serve_app.providers.http.endpoint import (
    Endpoint,
    SoundEndpoint,
    StreamingEndpoint,
    StreamReader,
    TextEndpoint,
    WholeAnswer,
)
from serve_app.providers.http.endpoints import counting_endpoint, endpoints_of
from serve_app.providers.http.sound_stream import sound_stream
from serve_app.providers.http.usage_asked import Place, UsageAsked
from serve_app.providers.openai_compatible.failures import (
    NETWORK,
    broken,
    failure_of_exception,
    too_much,
    too_much_of_nothing,
)
from serve_app.providers.reading import read_at_most
from serve_app.providers.timeouts import USAGE_S, OutOfTime, Timeout, within

LAST_WORDS_S = 0.05  # how long to wait for the end after [DONE], so that the connection can be used again


@dataclass(slots=True)
class _Opened:
    """A stream of which the first chunk has arrived."""

    response: aiohttp.ClientResponse
    frames: StreamReader
    first: bytes
    dropped: tuple[str, ...]


class HttpProvider:
    """Speaks to one upstream; the session opens with the first call."""

    def __init__(
        self,
        config: ProviderConfig,
        vendor: Vendor,
        api_key: str | None,
        clock: Clock,
        endpoint_policy: EndpointPolicy = DEFAULT_ENDPOINT_POLICY,
        resolver: AbstractResolver | None = None,
    ) -> None:
        """
        Args:
            config: the provider as configured.
            vendor: its row of the catalogue.
            api_key: its key; None: it has none.
            clock: gives the time.
            endpoint_policy: which addresses may be called that an operator sets at run time.
            resolver: finds the addresses behind names; None: the system's.
        """
        self._config = config
        self._clock = clock
        self._endpoints = endpoints_of(config, vendor, api_key)
        self._counting = counting_endpoint(config, vendor, api_key)
        self._connection = Connection(config, vendor, api_key, clock, endpoint_policy, resolver)
        self._answer_limit = config.max_answer_mb * 1024**2
        self._usage_asked = UsageAsked()

    async def chat(self, call: Call) -> Answer | UpstreamError:
        return await self._whole(self._endpoints[call.format], call)

    perform = chat  # whatever the endpoint

    async def embed(self, call: Call) -> Answer | UpstreamError:
        endpoint = self._endpoints.get(WireFormat.OPENAI_EMBEDDINGS)
        if endpoint is None:
            message = f"Provider '{self._config.id}' has no embeddings"
            return upstream_error(message, self._config.id, FailureKind.NOT_FOUND)
        return await self._whole(endpoint, call)

    async def count_tokens(self, call: Call) -> Answer | UpstreamError:
        if self._counting is None:
            return counts_nothing(self._config.id)
        return await self._whole(self._counting, call)

    async def chat_stream(self, call: Call) -> AsyncGenerator[StreamItem, None]:
        """
        An answer in blocks of whole frames.

        Closing the generator closes the connection at once, and the upstream stops working.
        """
        endpoint = self._endpoints[call.format]
        if isinstance(endpoint, SoundEndpoint):
            async with aclosing(
                sound_stream(self._connection, endpoint, call, self._answer_limit, self._clock)
            ) as sound:
                async for item in sound:
                    yield item
            return
        started = self._clock.monotonic()
        opened = await self._open(cast(StreamingEndpoint, endpoint), call)
        if isinstance(opened, UpstreamError):
            yield opened
            return
        try:
            yield StreamHead(self._since(started), opened.dropped)
            yield opened.first
            while block := await self._next(opened, call.idle_s):
                yield block
            last = await self._last_item(call, opened, started)
            if isinstance(last, StreamEnd) and (closing := opened.frames.closing()):
                yield closing
            yield last
        finally:
            opened.response.close()

    async def health(self) -> Health:
        return await look(self._config, self._clock, self._connection.missing_key, self._connection.models)

    async def aclose(self) -> None:
        await self._connection.aclose()

    # One request, one whole answer

    async def _whole(self, endpoint: Endpoint, call: Call) -> Answer | UpstreamError:
        if self._connection.missing_key is not None:
            return self._connection.keyless()
        request = endpoint.fitted(call)
        endpoint.ask_for_whole(request.fields)
        started = self._clock.monotonic()
        try:
            body = await within(call.timeout_s, Timeout.WHOLE, self._body(endpoint, call, request.fields))
        except NETWORK as error:
            return failure_of_exception(error, self._config.id)
        if isinstance(body, UpstreamError):
            return body
        upstream_s = self._since(started)
        whole = body if isinstance(body, WholeAnswer) else endpoint.whole(body, request.fields)
        if isinstance(whole, UpstreamError):
            return whole
        usage = whole.usage or (await counted(call, whole.text) if whole.text is not None else None)
        chars = whole.chars if usage is None else 0
        return Answer(
            whole.body, usage, upstream_s, chars, dropped=request.dropped, content_type=whole.content_type
        )

    async def _body(
        self, endpoint: Endpoint, call: Call, fields: dict[str, Any]
    ) -> bytes | WholeAnswer | UpstreamError:
        response = await self._connection.post(endpoint, call, fields)
        try:
            if not is_success(response):
                return await self._connection.refusal(response)
            body = await read_at_most(self._answer_limit, response)
        except (aiohttp.ClientError, OSError):
            return broken(self._config.id, "was cut off in the middle of its answer", response.status)
        finally:
            response.close()
        if body is None:
            return too_much(self._config.id, self._answer_limit)
        if isinstance(endpoint, TextEndpoint) and endpoint.takes_text(fields):
            return endpoint.text(body, response.content_type)
        match form_of(body):
            case Form.JSON:
                return body
            case Form.EVENTS if isinstance(endpoint, StreamingEndpoint):
                return endpoint.gathered(call, body, fields)
        if response.content_type.endswith("json"):
            return broken(self._config.id, "sent an answer that is not JSON", response.status)
        return broken(
            self._config.id, f"sent '{self._connection.type_of(response)}' instead of JSON", response.status
        )

    # One request, many frames

    async def _open(self, endpoint: StreamingEndpoint, call: Call) -> _Opened | UpstreamError:
        """Wait for the first chunk: until it is there, the request can still go to another target."""
        if self._connection.missing_key is not None:
            return self._connection.keyless()
        request = endpoint.fitted(call)
        place = (call.api_base, call.model)
        asks = endpoint.asks_usage(call.model) and self._usage_asked.may_ask(place)
        endpoint.ask_for_stream(request.fields, asks)
        opening = self._asked(endpoint, call, request, place, asks)
        try:
            return await within(call.timeout_s, Timeout.FIRST_TOKEN, opening)
        except NETWORK as error:
            return failure_of_exception(error, self._config.id)

    async def _asked(
        self, endpoint: StreamingEndpoint, call: Call, request: Fitted, place: Place, asks_usage: bool
    ) -> _Opened | UpstreamError:
        """The stream; a refusal that may be for asking about usage is followed by one try without."""
        response = await self._connection.post(endpoint, call, request.fields)
        if is_success(response):
            if asks_usage:
                self._usage_asked.passed(place)
            return await self._first(endpoint, call, request, response)
        refusal = await self._connection.refused(response)
        if not (asks_usage and self._usage_asked.is_worth_a_try_without(place, refusal)):
            return refusal
        endpoint.ask_for_stream(request.fields, with_usage=False)
        response = await self._connection.post(endpoint, call, request.fields)
        if is_success(response):
            self._usage_asked.passed_without(place)
            return await self._first(endpoint, call, request, response)
        response.close()
        self._usage_asked.refused_without(place)
        return refusal

    async def _first(
        self, endpoint: StreamingEndpoint, call: Call, request: Fitted, response: aiohttp.ClientResponse
    ) -> _Opened | UpstreamError:
        opened: _Opened | None = None
        try:
            frames = endpoint.reader(call, request.fields, self._answer_limit)
            begun = await self._beginning(endpoint, request, response)
            if isinstance(begun, UpstreamError):
                return begun
            block = frames.feed(begun)
            first = bytearray(block)
            while not frames.has_begun(block):
                if len(first) > self._answer_limit:
                    return too_much_of_nothing(self._config.id, self._answer_limit)
                if not (block := await self._more(response, frames)):
                    break
                first += block
            if first and (block or (frames.is_complete and frames.failure is None)):
                opened = _Opened(response, frames, bytes(first), request.dropped)
                return opened
            return frames.failure or frames.none_at_all("ended its stream before the first token")
        finally:
            if opened is None:
                response.close()

    async def _beginning(
        self, endpoint: StreamingEndpoint, request: Fitted, response: aiohttp.ClientResponse
    ) -> bytes | UpstreamError:
        """The first bytes of a stream, whatever they are called; all of a whole answer, made into one."""
        begun = b""
        try:
            while form_of(begun) is Form.UNTOLD and (piece := await response.content.readany()):
                begun += piece
            match form_of(begun):
                case Form.JSON:
                    rest = await read_at_most(self._answer_limit - len(begun), response)
                    if rest is None:
                        return too_much(self._config.id, self._answer_limit)
                    return endpoint.spread(begun + rest, request.fields)
                case Form.OTHER if response.content_type != "text/event-stream":
                    what = f"sent '{self._connection.type_of(response)}' instead of a stream"
                    return broken(self._config.id, what, response.status)
        except (aiohttp.ClientError, OSError):
            pass  # cut off: what is there is not enough to be an answer, and the frames will say so
        return begun

    async def _next(self, opened: _Opened, idle_s: float) -> bytes:
        """As `_more`, but silence is waited out no longer than `idle_s`; comments are silence too."""
        if opened.frames.is_complete:
            idle_s = min(idle_s, USAGE_S)
        try:
            return await within(idle_s, Timeout.IDLE, self._more(opened.response, opened.frames))
        except OutOfTime as error:
            if not opened.frames.is_complete:
                opened.frames.failure = failure_of_exception(error, self._config.id)
            return b""

    async def _more(self, response: aiohttp.ClientResponse, frames: StreamReader) -> bytes:
        """Everything that has arrived since, once there is something to show; empty: that was all."""
        content = response.content
        try:
            while not (frames.is_done or frames.failure):
                data = await content.readany()
                if not data:
                    return frames.end()
                if block := frames.feed(data):
                    return block
            if frames.is_done:
                await _read_to_the_end(content)
        except (aiohttp.ClientError, OSError):
            pass  # cut off: whether the answer was whole by then, the frames know
        return b""

    async def _last_item(self, call: Call, opened: _Opened, started: float) -> StreamEnd | UpstreamError:
        frames = opened.frames
        if (failure := frames.shortfall) is not None:
            return failure
        upstream_s = self._since(started)
        usage = frames.usage or (await counted(call, frames.text) if frames.text is not None else None)
        return StreamEnd(usage, upstream_s, frames.count * CHARS_PER_TOKEN, frames.dropped)

    def _since(self, started: float) -> float:
        return self._clock.monotonic() - started


async def _read_to_the_end(content: aiohttp.StreamReader) -> None:
    """A connection goes back to the pool only when its answer has been read to the end."""
    try:
        async with asyncio.timeout(LAST_WORDS_S):
            while await content.readany():
                pass
    except TimeoutError:
        pass  # the upstream keeps it open; it will be closed instead
