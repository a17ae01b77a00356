"""
The HTTP transport under LiteLLM: one request per call, within the gateway's limits; it records the answer.

LiteLLM and the SDKs that it uses repeat a request when a connection breaks, and their exceptions differ from
vendor to vendor. The HTTP answer does not; it is recorded here, where nearly all calls pass.

Importing this module imports LiteLLM, which takes seconds: only `provider.py` does so, when it is needed.
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
from serve_app.providers.litellm.captured_response import CapturedResponse
from serve_app.providers.timeouts import OutOfTime, Timeout, within


class AnswerTooLong(Exception):
    """The answer is over the limit of its provider."""


@dataclass(slots=True)
class Exchange:
    """
    The network's side of one call.

    `status`, `headers`, `heard`, `failure` and `was_sent` are results. They keep their defaults for a vendor
    whose SDK has its own HTTP client.

    Fields:
        connect_s, first_byte_s: the timeouts of the connection and of the head of the answer.
        answer_limit: bytes that the answer may have.
        status, headers: of the answer, once its head is there; any success is a 200.
        failure: the exception of the network.
        was_sent: whether a request was sent at all.
        heard: the record of the answer's body.
        request_id: the request's id, for logs.
        asks_stream: whether a stream was asked for.
        replayed: the answer to read in place of a request, which is not sent; None: it is sent.
        address_policy: the addresses that connections may use.
    """

    connect_s: float
    first_byte_s: float
    answer_limit: float
    status: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    failure: Exception | None = None
    was_sent: bool = False
    heard: CapturedResponse | None = None
    request_id: str = ""
    asks_stream: bool = False
    replayed: bytes | None = None
    address_policy: AddressPolicy = DEFAULT_ADDRESS_POLICY

    @property
    def came_otherwise(self) -> bytes:
        """Return a stream sent in place of a whole answer, or the reverse; empty if the form is right."""
        return self.heard.other_form if self.heard is not None else b""

    def replay(self) -> "Exchange":
        """Return the exchange with which LiteLLM reads an answer in the other form; nothing is sent."""
        return replace(self, asks_stream=not self.asks_stream, replayed=self.came_otherwise, heard=None)


# The call of the running task: LiteLLM cannot pass it through.
CURRENT: ContextVar[Exchange | None] = ContextVar("exchange", default=None)


_LITELLMS_SOCKETS = http_handler.build_aiohttp_keepalive_socket_factory


class OneRequest(aiohttp_transport.LiteLLMAiohttpTransport):  # type: ignore[misc]
    """LiteLLM's HTTP transport, which sends one request for each call."""

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        exchange = CURRENT.get()
        sending = super().handle_async_request
        if exchange is None:
            return await sending(request)  # type: ignore[no-any-return]
        if exchange.replayed is not None:
            return _replayed(exchange, exchange.replayed, request)
        exchange.was_sent = True
        request.headers["accept-encoding"] = "identity"  # a compressed body could not be read here
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
            response.status_code = 200  # LiteLLM accepts no other
        exchange.status, exchange.headers = response.status_code, dict(response.headers)
        if _is_readable(response):
            exchange.heard = CapturedResponse(not is_success, exchange.asks_stream, _is_lines(response))
        response.headers["x-should-retry"] = "false"  # OpenAI's SDK follows this header of the upstream
        response.headers.pop("location", None)  # a redirect would be followed, with our key
        response.stream = _Body(response, exchange, request)
        return response


def _replayed(exchange: Exchange, body: bytes, request: httpx.Request) -> httpx.Response:
    kind = "text/event-stream" if exchange.asks_stream else "application/json"
    response = httpx.Response(200, headers={"content-type": kind}, stream=httpx.ByteStream(body))
    exchange.heard = CapturedResponse(is_refusal=False, asks_stream=exchange.asks_stream)
    response.stream = _Body(response, exchange, request)
    return response


class _Body(httpx.AsyncByteStream):
    """The body of an answer, limited in size: a whole answer in total, a stream in each of its lines."""

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
                if passed := heard.feed(piece):
                    yield passed
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
            # A generator that is only dropped closes its connection at the next garbage collection.
            await pieces.aclose()  # type: ignore[attr-defined]

    async def aclose(self) -> None:
        await self._stream.aclose()  # type: ignore[union-attr]


def _is_readable(response: httpx.Response) -> bool:
    """Return whether the body can be read and changed: Amazon's event streams have checksums."""
    packed = response.headers.get("content-encoding", "identity") != "identity"
    return not packed and "amazon" not in response.headers.get("content-type", "")


def _is_lines(response: httpx.Response) -> bool:
    """Return whether the content type is one of JSON lines."""
    kind = response.headers.get("content-type", "")
    return any(name in kind for name in ("ndjson", "jsonl", "json-seq", "jsonlines"))


def _given_up(exchange: Exchange, failure: Exception, request: httpx.Request) -> openai.APIConnectionError:
    """
    Record a failure, and return it as an exception that is not retried.

    OpenAI's SDK retries exceptions of other libraries, and LiteLLM retries some of httpx; neither retries
    this one.
    """
    exchange.failure = failure
    return openai.APIConnectionError(request=request)


def _watched(build: Callable[[], Callable[[AddressInfo], socket.socket] | None]) -> Any:
    """Return LiteLLM's socket factory, with a check of the address policy."""

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
    Replace LiteLLM's transport and socket factory, for every client that it will make.

    Media downloads are disabled too: a link in a file or a tool's result would be read from inside the
    gateway's network.
    """
    aiohttp_transport.LiteLLMAiohttpTransport = OneRequest
    http_handler.build_aiohttp_keepalive_socket_factory = _watched(_LITELLMS_SOCKETS)
    image_handling.MAX_IMAGE_URL_DOWNLOAD_SIZE_MB = 0
