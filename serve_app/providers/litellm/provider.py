"""
The provider for upstreams with APIs of their own, called through LiteLLM.

LiteLLM is used only as a translator: its retries, caches, callbacks and logging are off, the key is passed
with each call, and no field of a caller's request can steer it.
"""

import asyncio
import logging
import os
from collections.abc import AsyncGenerator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import orjson

from serve_app.clock import Clock
from serve_app.config.provider import ProviderConfig
from serve_app.errors import ConfigError, FailureKind, UpstreamError, upstream_error
from serve_app.formats.openai_chat.chunks import frame_of, speaks, text_in
from serve_app.formats.openai_chat.stream_conversion import chunks_of, whole_of
from serve_app.providers.address_policy import AddressPolicy
from serve_app.providers.base import Answer, Call, Health, StreamEnd, StreamHead, StreamItem
from serve_app.providers.bodies import (
    Fitted,
    ask_for_stream,
    ask_for_whole,
    chars_in,
    choices_in,
    usage_in,
)
from serve_app.providers.catalogue.vendor import NativeApi, Vendor
from serve_app.providers.connections import open_session
from serve_app.providers.counted_usage import counted, listener_for, said_in
from serve_app.providers.health_check import listed_models, look, paid_question
from serve_app.providers.keys import missing_key
from serve_app.providers.litellm.chunks import (
    ended_in,
    failure_heard,
    nothing_heard,
    openai_form,
    shortfall,
    shown,
)
from serve_app.providers.litellm.request import Address, LiteLlmRequests
from serve_app.providers.litellm_opened import Ended, Opened
from serve_app.providers.openai_compatible.failures import clean, too_much_of_nothing
from serve_app.providers.timeouts import USAGE_S, OutOfTime, Timeout, within

logger = logging.getLogger("sekha.providers")

THREADS = 64  # LiteLLM prepares every call in a thread; Serve's default of five would queue

# Read when LiteLLM is imported: without them it uses the network then, and reads `.env` files.
_QUIET = {
    "LITELLM_MODE": "PRODUCTION",
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",
    "LITELLM_LOCAL_ANTHROPIC_BETA_HEADERS": "True",
    "LITELLM_LOCAL_BLOG_POSTS": "True",
}


class LiteLlmProvider:
    """The client of one upstream through LiteLLM, which is imported when the first of these is built."""

    def __init__(self, config: ProviderConfig, vendor: Vendor, api_key: str | None, clock: Clock) -> None:
        self._config = config
        self._vendor = vendor
        self._api_key = api_key
        self._clock = clock
        self._missing_key = missing_key(config, vendor, api_key)
        self._litellm, self._http, self._failures = _load()
        self._has_threads = False
        self._address = Address(config, vendor, os.environ)
        self._address_policy = AddressPolicy.of_file(self._address.root)
        self._requests = LiteLlmRequests(self._litellm, config, vendor, api_key, self._address)
        prefix = vendor.model_string("").rstrip("/")
        if prefix and prefix not in self._litellm.provider_list:
            raise ConfigError(
                f"provider '{config.id}': '{config.type}' is not a vendor that LiteLLM supports"
            )

    async def chat(self, call: Call) -> Answer | UpstreamError:
        request = self._requests.of_chat(call)
        if isinstance(request, UpstreamError):
            return request
        ask_for_whole(request.fields)
        return await self._whole("acompletion", call, request)

    async def embed(self, call: Call) -> Answer | UpstreamError:
        return await self._whole("aembedding", call, self._requests.of_embedding(call))

    async def chat_stream(self, call: Call) -> AsyncGenerator[StreamItem, None]:
        """
        Yield a chat completion in frames, one for each of LiteLLM's chunks.

        Closing the generator closes the connection at once.
        """
        started = self._clock.monotonic()
        opened = await self._open(call)
        if isinstance(opened, UpstreamError):
            yield opened
            return
        first = iter(opened.first)
        chunk: dict[str, Any] | UpstreamError | None = next(first)
        usage, chars = None, 0
        said = listener_for(call)
        try:
            yield StreamHead(self._since(started), opened.dropped)
            while isinstance(chunk, dict):
                opened.finished |= ended_in(chunk)
                usage = usage_in(chunk) or usage
                chars += len(text_in(chunk))
                if said:
                    said.listen(chunk)
                if frame := shown(chunk, call.wants_usage):
                    yield frame
                chunk = next(first, None) or await self._later(opened, call.idle_s)
            if chunk is not None:
                yield chunk
            else:
                upstream_s = self._since(started)
                yield StreamEnd(usage or await counted(call, said), upstream_s, chars)
        finally:
            await opened.stream.aclose()

    async def health(self) -> Health:
        """Check by the free list of models; elsewhere by a paid question, if `paid_probes` allows it."""
        native = self._vendor.native
        question = partial(self._models, native) if native else paid_question(self._config, self)
        return await look(self._config, self._clock, self._missing_key, question)

    async def aclose(self) -> None:
        """Close the connections that LiteLLM keeps for this process."""
        await self._litellm.close_litellm_async_clients()

    # Calls

    async def _whole(self, verb: str, call: Call, request: Fitted) -> Answer | UpstreamError:
        if self._missing_key is not None:
            return self._keyless()
        started = self._clock.monotonic()
        exchange = self._exchange(call)
        self._give_threads()
        try:
            asking = self._answered(verb, request.fields, exchange)
            body = await within(call.timeout_s, Timeout.WHOLE, asking)
        except Exception as error:  # noqa: BLE001 - see _failure
            return self._failure(error, exchange)
        if isinstance(body, UpstreamError):
            return body
        upstream_s = self._since(started)
        usage = usage_in(body) or await counted(call, said_in(body))
        chars = chars_in(body) if usage is None else 0
        return Answer(orjson.dumps(body), usage, upstream_s, chars, dropped=request.dropped)

    async def _answered(
        self, verb: str, fields: dict[str, Any], exchange: Any
    ) -> dict[str, Any] | UpstreamError:
        """Return a whole answer; one that came as a stream is assembled."""
        try:
            body = openai_form(await getattr(self._litellm, verb)(**self._requests.arguments(fields)))
        except Exception:
            if not exchange.came_otherwise or verb != "acompletion":
                raise
        if exchange.came_otherwise and verb == "acompletion":
            return await self._gathered(fields, self._replay(exchange))
        if not (body.get("choices") or body.get("data")):
            return self._nothing("sent an answer with nothing in it", exchange)
        if "data" in body and exchange.heard is not None and exchange.heard.was_mended:
            return self._nothing("sent a vector with an invalid number", exchange)
        return self._shortfall(body.get("choices", ()), exchange) or body

    async def _gathered(self, fields: dict[str, Any], replay: Any) -> dict[str, Any] | UpstreamError:
        """Assemble the whole answer from a stream that was not asked for."""
        fields = dict(fields)
        ask_for_stream(fields)
        stream = await self._litellm.acompletion(**self._requests.arguments(fields))
        frames, has_ended = b"", False
        try:
            while isinstance(chunk := await self._next(stream, replay), dict):
                frames += frame_of(chunk)
                has_ended = has_ended or bool(ended_in(chunk))
        finally:
            await stream.aclose()
        if chunk is not None:
            return chunk
        whole = whole_of(frames)
        return whole if has_ended else self._nothing("was cut off in the middle of its answer", replay)

    async def _open(self, call: Call) -> Opened | UpstreamError:
        """Open a stream up to its first token; until then the request can still go to another target."""
        if self._missing_key is not None:
            return self._keyless()
        request = self._requests.of_chat(call)
        if isinstance(request, UpstreamError):
            return request
        ask_for_stream(request.fields)
        exchange = self._exchange(call, asks_stream=True)
        try:
            return await within(call.timeout_s, Timeout.FIRST_TOKEN, self._first(request, exchange))
        except Exception as error:  # noqa: BLE001 - see _failure
            return self._failure(error, exchange)

    async def _first(self, request: Fitted, exchange: Any) -> Opened | UpstreamError:
        """Return the stream, once it has begun; a whole answer in its place is converted to one."""
        self._give_threads()
        try:
            opened = await self._begun(request, exchange)
        except Exception:
            if not exchange.came_otherwise:
                raise
        if not exchange.came_otherwise:
            return opened
        fields, replay = dict(request.fields), self._replay(exchange)
        ask_for_whole(fields)
        body = await self._answered("acompletion", fields, replay)
        if isinstance(body, UpstreamError):
            return body
        return Opened(Ended(), replay, chunks_of(body), choices_in(fields), request.dropped)

    async def _begun(self, request: Fitted, exchange: Any) -> Opened | UpstreamError:
        stream = await self._litellm.acompletion(**self._requests.arguments(request.fields))
        opened: Opened | None = None
        first, size = [], 0
        try:
            while isinstance(chunk := await self._next(stream, exchange), dict):
                first.append(chunk)
                if speaks(chunk):
                    opened = Opened(stream, exchange, first, choices_in(request.fields), request.dropped)
                    return opened
                size += len(orjson.dumps(chunk))
                if size > exchange.answer_limit:
                    return too_much_of_nothing(self._config.id, exchange.answer_limit)
            return chunk or self._nothing("ended its stream before the first token", exchange)
        finally:
            if opened is None:
                await stream.aclose()

    async def _later(self, opened: Opened, idle_s: float) -> dict[str, Any] | UpstreamError | None:
        """
        Return the next chunk as `_next` does, within `idle_s`.

        After a whole answer the wait is shorter, and a pause is its end: then LiteLLM yields the chunks that
        it has held back.
        """
        is_whole = opened.is_whole
        limit_s = min(idle_s, USAGE_S) if is_whole else idle_s
        try:
            chunk = await within(limit_s, Timeout.IDLE, self._next(opened.stream, opened.exchange))
        except OutOfTime as error:
            if not is_whole:
                return self._failure(error, opened.exchange)
            if opened.is_over:
                return None
            opened.is_over = True
            return await self._later(opened, idle_s)
        return None if opened.is_over and isinstance(chunk, UpstreamError) else chunk

    async def _next(self, stream: Any, exchange: Any) -> dict[str, Any] | UpstreamError | None:
        """Return the next chunk; None if the answer is complete."""
        try:
            chunk = openai_form(await anext(stream))
        except StopAsyncIteration:
            return failure_heard(exchange.heard, self._config.id, self._api_key, exchange.status)
        except Exception as error:  # noqa: BLE001 - see _failure
            return self._failure(error, exchange)
        ended = [choice for choice in chunk["choices"] if choice.get("finish_reason")]
        # LiteLLM invents a "stop" for a stream that was cut; the wrapper has the real finish reason.
        really = stream.received_finish_reason or stream.intermittent_finish_reason
        if ended and really is None:
            return self._nothing("was cut off in the middle of its answer", exchange)
        return (self._shortfall(ended, exchange) if ended else None) or chunk

    def _nothing(self, what: str, exchange: Any) -> UpstreamError:
        return nothing_heard(exchange.heard, what, self._config.id, self._api_key, exchange.status)

    def _shortfall(self, ended: Sequence[dict[str, Any]], exchange: Any) -> UpstreamError | None:
        return shortfall(ended, exchange.heard, self._config.id, self._api_key, exchange.status)

    def _exchange(self, call: Call, asks_stream: bool = False) -> Any:
        """Return the exchange of the next call: the transport's limits, and the record of its answer."""
        exchange = self._http.Exchange(
            self._config.connect_timeout_s,
            call.first_byte_s,
            self._config.max_answer_mb * 1024**2,
            request_id=call.request_id,
            asks_stream=asks_stream,
            address_policy=self._address_policy,
        )
        self._http.CURRENT.set(exchange)
        return exchange

    def _replay(self, exchange: Any) -> Any:
        """Return the exchange of the next call, in which LiteLLM reads an answer in the other form again."""
        replay = exchange.replay()
        self._http.CURRENT.set(replay)
        return replay

    def _give_threads(self) -> None:
        if not self._has_threads:
            pool = ThreadPoolExecutor(THREADS, thread_name_prefix="litellm")
            asyncio.get_running_loop().set_default_executor(pool)
            self._has_threads = True

    async def _models(self, native: NativeApi) -> tuple[str, ...] | UpstreamError:
        key = f"Bearer {self._api_key}" if native.key_header == "Authorization" else self._api_key
        async with open_session(self._address_policy) as session:
            return await listed_models(
                session,
                f"{self._address.of_calls('')}{native.models_path}",
                {**native.headers, native.key_header: key or ""},
                self._config.id,
                now=self._clock.now(),
                secret=self._api_key,
            )

    def _failure(self, error: Exception, exchange: Any) -> UpstreamError:
        """
        Return the failure of an exception of LiteLLM, and log it where the caller is not told.

        LiteLLM raises exceptions of any class. Before anything was sent, the request or our code is at fault;
        after that, the vendor.
        """
        failure: UpstreamError = self._failures.failure_of_litellm(
            error, exchange, self._config.id, now=self._clock.now(), secret=self._api_key
        )
        of = f"request {exchange.request_id} at provider '{self._config.id}'"
        match failure.failure:
            case FailureKind.BROKEN:
                # LiteLLM itself may have failed, and the caller does not see that.
                logger.warning("%s: %s", of, clean(repr(error), self._api_key))
            case FailureKind.INTERNAL:
                logger.error("%s: internal error before anything was sent", of, exc_info=error)
            case FailureKind.REJECTED if not exchange.was_sent:
                logger.warning("%s: %s was raised over it: not sent", of, type(error).__name__)
        return failure

    def _keyless(self) -> UpstreamError:
        return upstream_error(self._missing_key or "", self._config.id, FailureKind.AUTH)

    def _since(self, started: float) -> float:
        return self._clock.monotonic() - started


def _load() -> tuple[Any, Any, Any]:
    """Import LiteLLM and turn its side effects off; return it with our modules `http` and `failures`."""
    for name, value in _QUIET.items():
        os.environ.setdefault(name, value)
    try:
        import litellm
    except ImportError as error:
        raise ConfigError(f"this provider needs LiteLLM, which is not installed: {error}") from error
    from serve_app.providers.litellm import failures
    from serve_app.providers.litellm import http as litellm_http

    litellm_http.install()
    litellm.drop_params = False
    litellm.telemetry = False
    litellm.disable_stop_sequence_limit = True  # else it drops all but four
    litellm.suppress_debug_info = True
    litellm.turn_off_message_logging = True
    litellm.disable_streaming_logging = True
    litellm.disable_token_counter = True
    litellm.disable_hf_tokenizer_download = True
    return litellm, litellm_http, failures
