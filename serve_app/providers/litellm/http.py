"""
The network under LiteLLM: one request a call, within our limits, and a note of what came back.

LiteLLM and the SDKs it stands on send a request again when a connection breaks, and what they raise differs
from vendor to vendor. What HTTP said is the same for all of them; it is noted here, where nearly all pass.

Importing this module imports LiteLLM, which takes seconds: only `litellm_provider` does, once it must.
"""

import socket
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from contextlib import aclosing
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from typing import Any

import httpx
import openai
from litellm.litellm_core_utils.prompt_templates import image_handling
from litellm.llms.custom_httpx import aiohttp_transport, http_handler

from serve_app.providers.address_policy import DEFAULT_ADDRESS_POLICY, AddressInfo, AddressPolicy
from serve_app.providers.litellm.overheard import Overheard
from serve_app.providers.timeouts import OutOfTime, Timeout, within


class AnswerTooLong(Exception):
    """More came than a provider may send."""


@dataclass(slots=True)
class Exchange:
    """
    The network's side of one call.

    `status` and `headers` are those of the answer, once its head is there, and `heard` is what it says; any
    success is a 200. `failure` is what the network did to us, and `was_sent` whether a request has left at
    all. A vendor whose SDK brings a network of its own leaves all five as they were.

    `asks_stream` is what was asked for. Where `replayed` is there, it is the answer, and nothing is sent.
    `address_policy` says where connections may lead.
    """

    connect_s: float
    first_byte_s: float
    answer_limit: float
    status: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    failure: Exception | None = None
    was_sent: bool = False
    heard: Overheard | None = None
    request_id: str = ""
    asks_stream: bool = False
    replayed: bytes | None = None
    address_policy: AddressPolicy = DEFAULT_ADDRESS_POLICY

    @property
    def came_otherwise(self) -> bytes:
        """A stream that came where a whole answer was asked for, or the other way round; empty: neither."""
        return self.heard.other_form if self.heard is not None else b""

    def replay(self) -> "Exchange":
        """The call to make so that LiteLLM reads what came otherwise: nothing leaves with it."""
        return replace(self, asks_stream=not self.asks_stream, replayed=self.came_otherwise, heard=None)


# The call that the running task is making: LiteLLM has no place to hand it through.
CURRENT: ContextVar[Exchange | None] = ContextVar("exchange", default=None)


_LITELLMS_SOCKETS = http_handler.build_aiohttp_keepalive_socket_factory


class OneRequest(aiohttp_transport.LiteLLMAiohttpTransport):  # type: ignore[misc]
    """LiteLLM's connection to an upstream, that asks it once for each call."""

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        exchange = CURRENT.get()
        sending = super().handle_async_request
        if exchange is None:
            return await sending(request)  # type: ignore[no-any-return]
        if exchange.replayed is not None:
            return _replayed(exchange, exchange.replayed, request)
        exchange.was_sent = True
        request.headers["accept-encoding"] = "identity"  # what is packed cannot be overheard
        limits = {"connect": exchange.connect_s, "pool": exchange.connect_s}
        request.extensions["timeout"] = {**request.extensions.get("timeout", {}), **limits}
        try:
            response: httpx.Response = await within(
                exchange.first_byte_s, Timeout.FIRST_BYTE, sending(request)
            )
        except httpx.ConnectTimeout as error:
            raise _given_up(exchange, OutOfTime(Timeout.CONNECT, exchange.connect_s), request) from error
        except (OutOfTime, httpx.TransportError) as error:
            raise _given_up(exchange, error, request) from error
        is_success = response.is_success
        if is_success:
            response.status_code = 200  # LiteLLM takes no other
        exchange.status, exchange.headers = response.status_code, dict(response.headers)
        if _is_readable(response):
            exchange.heard = Overheard(not is_success, exchange.asks_stream, _is_lines(response))
        response.headers["x-should-retry"] = "false"  # OpenAI's SDK takes the upstream's word for it
        response.headers.pop("location", None)  # a redirect would be followed, with our key
        response.stream = _Body(response, exchange, request)
        return response


def _replayed(exchange: Exchange, body: bytes, request: httpx.Request) -> httpx.Response:
    kind = "text/event-stream" if exchange.asks_stream else "application/json"
    response = httpx.Response(200, headers={"content-type": kind}, stream=httpx.ByteStream(body))
    exchange.heard = Overheard(is_refusal=False, asks_stream=exchange.asks_stream)
    response.stream = _Body(response, exchange, request)
    return response


class _Body(httpx.AsyncByteStream):
    """The body of an answer, as long as it may be: a whole one in all, a stream in each of its lines."""

    def __init__(self, response: httpx.Response, exchange: Exchange, request: httpx.Request) -> None:
        self._stream = response.stream
        self._is_stream = exchange.asks_stream
        self._exchange = exchange
        self._request = request

    async def __aiter__(self) -> AsyncIterator[bytes]:
        heard = self._exchange.heard
        async with aclosing(self._within_limits()) as pieces:
            async for piece in pieces:
                if heard is None:
                    yield piece
                    continue
                if shown := heard.feed(piece):
                    yield shown
                if heard.pending > self._exchange.answer_limit:
                    raise _given_up(self._exchange, AnswerTooLong(), self._request)
        if heard is not None and (rest := heard.end()):
            yield rest

    async def _within_limits(self) -> AsyncGenerator[bytes, None]:
        size = 0
        pieces = aiter(self._stream)  # type: ignore[arg-type]
        try:
            async for piece in pieces:
                newline = piece.rfind(b"\n") if self._is_stream else -1
                size = len(piece) - newline - 1 if newline >= 0 else size + len(piece)
                if size > self._exchange.answer_limit:
                    raise AnswerTooLong
                yield piece
        except (AnswerTooLong, httpx.TransportError) as error:
            raise _given_up(self._exchange, error, self._request) from error
        finally:
            # A generator that is merely dropped closes its connection when the collector comes by.
            await pieces.aclose()  # type: ignore[attr-defined]

    async def aclose(self) -> None:
        await self._stream.aclose()  # type: ignore[union-attr]


def _is_readable(response: httpx.Response) -> bool:
    """Whether it can be read, and written otherwise: Amazon's streams of events have checksums."""
    packed = response.headers.get("content-encoding", "identity") != "identity"
    return not packed and "amazon" not in response.headers.get("content-type", "")


def _is_lines(response: httpx.Response) -> bool:
    """Whether it says that it has one object in each line."""
    kind = response.headers.get("content-type", "")
    return any(name in kind for name in ("ndjson", "jsonl", "json-seq", "jsonlines"))


def _given_up(exchange: Exchange, failure: Exception, request: httpx.Request) -> openai.APIConnectionError:
    """
    Take note of a failure, and say it so that nobody tries again.

    OpenAI's SDK repeats whatever fails unless it is an error of its own, and LiteLLM repeats some errors of
    httpx: this is neither's.
    """
    exchange.failure = failure
    return openai.APIConnectionError(request=request)


def _watched(build: Callable[[], Callable[[AddressInfo], socket.socket] | None]) -> Any:
    """LiteLLM's maker of sockets, which first looks at where they are to lead."""

    def watching() -> Callable[[AddressInfo], socket.socket]:
        make = build()

        def socket_for(info: AddressInfo) -> socket.socket:
            exchange = CURRENT.get()
            address_policy = DEFAULT_ADDRESS_POLICY if exchange is None else exchange.address_policy
            if make is None:
                return address_policy.socket_for(info)
            address_policy.check(info)
            return make(info)

        return socket_for

    return watching


def install() -> None:
    """
    Put ours in the place of LiteLLM's own, for every client that it will make.

    And let it fetch no media: a file or a tool's result that is a link would be read from inside our network.
    """
    aiohttp_transport.LiteLLMAiohttpTransport = OneRequest
    http_handler.build_aiohttp_keepalive_socket_factory = _watched(_LITELLMS_SOCKETS)
    image_handling.MAX_IMAGE_URL_DOWNLOAD_SIZE_MB = 0
