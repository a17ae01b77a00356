"""
The endpoints that models answer; `model_routes.py` lists them.

They are plain ASGI: no dependency solving, no response models; a body is parsed once, an answer is forwarded
as the bytes it came in, with one member spliced in.
"""

import os
import re
from contextlib import aclosing
from typing import Any, NamedTuple

from serve_app.api.asgi import (
    CallerGone,
    Headers,
    Receive,
    Scope,
    Send,
    header,
    is_plain,
    printable,
    send_answer,
)
from serve_app.api.auth import Keyring
from serve_app.api.errors import error_headers
from serve_app.api.intake import Intake
from serve_app.api.visible_error import visible_error
from serve_app.caller import ANYONE, Caller
from serve_app.config.routing import OnStreamFailure
from serve_app.errors import GatewayError, InvalidRequest, UpstreamError
from serve_app.formats.base import Format
from serve_app.formats.chat_request import ChatRequest
from serve_app.gateway.request import Content, GatewayRequest, Operation
from serve_app.gateway.response import Response, ResponseStream
from serve_app.gateway.routing_info import METADATA, RoutingInfo, metadata
from serve_app.gateway.running_gateway import RunningGateway
from serve_app.pricing.money import dollars_text
from serve_app.providers.catalogue.wire_format import WireFormat

EVENT_STREAM: Headers = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-cache"),
    (b"x-accel-buffering", b"no"),  # nginx would hold the stream back
]

LONGEST_REQUEST_ID = 128
LONGEST_FORMAT_HEADER = 4096  # characters; clients name a dozen betas

# Headers that belong to a format, and go to upstreams that speak it.
_FORMAT_HEADERS = {WireFormat.ANTHROPIC_MESSAGES: (b"anthropic-version", b"anthropic-beta")}

# As JSON and people write numbers; Python's `float` also reads `1_0`, `nan` and other alphabets' digits.
_NUMBER = re.compile(r"[ \t]*\+?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?[ \t]*", re.ASCII | re.IGNORECASE)


class Head(NamedTuple):
    """The head of a request; the fields are those of GatewayRequest."""

    id: str
    timeout_s: float | None
    on_stream_failure: OnStreamFailure | None
    headers: tuple[tuple[str, str], ...]


class ModelEndpoint:
    """One endpoint that models answer: one format, one operation."""

    def __init__(
        self,
        running: RunningGateway,
        keyring: Keyring,
        intake: Intake,
        format: Format[Any],  # noqa: A002 (the field's name)
        operation: Operation,
    ) -> None:
        self._gateway = running.gateway
        self._control = running.control
        self._keyring = keyring
        self._intake = intake
        self._format = format
        self._operation = operation
        self._tells_metadata = running.settings.routing.metadata

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        caller = ANYONE
        try:
            caller = await self._keyring.model_caller(scope)
            await self._receive(scope, receive, caller, send)
        except GatewayError as failure:
            error = self._for(caller, failure)
            headers = error_headers(error)
            if isinstance(error, UpstreamError) and error.provider_id:
                headers.append((b"x-sekha-provider", error.provider_id.encode("latin-1")))
            await send_answer(send, error.status, self._format.error(error), headers)
        except CallerGone:
            return

    async def _receive(self, scope: Scope, receive: Receive, caller: Caller, send: Send) -> None:
        """Read the body, and respond while it is held; a GatewayError says why not."""
        async with self._intake.body(scope, receive, caller) as raw:
            await self._respond(scope, raw, caller, send)

    async def _respond(self, scope: Scope, raw: bytes, caller: Caller, send: Send) -> None:
        """Read a request and serve it; a GatewayError says why not."""
        head = self._head(scope)
        content = await self._intake.parsed(self._format.parse, raw)
        await self._serve(self._request(head, content, caller), send)

    def _head(self, scope: Scope) -> Head:
        """Return what the head of a request says. Raises InvalidRequest."""
        headers = format_headers(scope, self._format.name)
        return Head(request_id_of(scope), timeout_of(scope), _policy_of(scope), headers)

    def _request(self, head: Head, content: Content, caller: Caller) -> GatewayRequest:
        """Return the request, from its head and its body."""
        streams = isinstance(content, ChatRequest) and content.stream
        return GatewayRequest(
            head.id,
            self._operation,
            content,
            caller,
            head.timeout_s,
            head.on_stream_failure,
            streams,
            self._format,
            head.headers,
        )

    async def _serve(self, request: GatewayRequest, send: Send) -> None:
        if request.streams:
            await self._send_stream(await self._gateway.stream(request), request, send)
        else:
            await self._send_whole(await self._gateway.answer(request), request, send)

    async def _send_whole(self, response: Response, request: GatewayRequest, send: Send) -> None:
        body, headers = response.body, routed_headers(response.routed)
        if response.content_type is not None:
            headers.append((b"content-type", response.content_type.encode("latin-1")))
        elif self._tells_metadata:
            body = self._format.response(body, {METADATA: metadata(response.routed)})
        await send_answer(send, 200, body, headers)

    async def _send_stream(self, stream: ResponseStream, request: GatewayRequest, send: Send) -> None:
        """
        Forward the blocks as they come. A whole answer ends as its format says; one cut short ends with an
        error event and without that end, so that nobody takes half an answer for a whole one.
        """
        wire = request.chat_format
        chosen = routed_headers(stream.routed) if stream.routed else []  # held back: nobody has answered yet
        headers = [*EVENT_STREAM, *chosen]
        last = first_block = last_block = b""
        untold = self._tells_metadata
        async with aclosing(stream):
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            async for item in stream:
                if isinstance(item, bytes):
                    if untold and stream.routed:
                        item = wire.first_block(item, {METADATA: metadata(stream.routed)})
                        untold = False
                    first_block, last_block = first_block or item, item
                    await send({"type": "http.response.body", "body": item, "more_body": True})
                elif isinstance(item, GatewayError):
                    error = self._for(request.caller, item)
                    last = wire.error_block(error, first_block, last_block)
                else:
                    last = wire.end
        await send({"type": "http.response.body", "body": last, "more_body": False})

    def _for(self, caller: Caller, error: GatewayError) -> GatewayError:
        return visible_error(error, caller, self._control.runtime_config)


def format_headers(scope: Scope, wire: WireFormat) -> tuple[tuple[str, str], ...]:
    """Return the headers that tell the caller's version of a format; InvalidRequest for a bad one."""
    names = _FORMAT_HEADERS.get(wire)
    if names is None:
        return ()
    found: dict[bytes, list[str]] = {}
    for name, value in scope["headers"]:
        if name in names:
            found.setdefault(name, []).append(value.decode("latin-1").strip())
    headers = [(name.decode(), ",".join(values)) for name, values in found.items()]
    for name, value in headers:
        if len(value) > LONGEST_FORMAT_HEADER or not is_plain(value):
            raise InvalidRequest(
                f"{name}: must be at most {LONGEST_FORMAT_HEADER} printable ASCII characters", param=name
            )
    return tuple(headers)


def request_id_of(scope: Scope) -> str:
    """Return the request's id: the caller's own, or a new one. Raises InvalidRequest for a bad one."""
    return given_request_id(scope) or new_request_id()


def new_request_id() -> str:
    """Return an id for a request whose caller gave it none."""
    return os.urandom(16).hex()


def given_request_id(scope: Scope) -> str | None:
    """
    Return the id that the caller gave the request; None without one.

    Serve repeats the caller's id in the answer, so a bad one is refused rather than replaced: the id in the
    answer and the id in the log must be the same. Raises InvalidRequest.
    """
    given = header(scope, b"x-request-id")
    if given is None:
        return None
    if not 0 < len(given) <= LONGEST_REQUEST_ID or not is_plain(given) or given != given.strip():
        raise InvalidRequest(
            f"x-request-id: must be 1 to {LONGEST_REQUEST_ID} printable ASCII characters, with no space at "
            "either end; without it, one is made",
            param="x-request-id",
        )
    return given


def routed_headers(routed: RoutingInfo) -> Headers:
    """Return the headers with the target and the cost; of a stream, which is not over yet, the estimate."""
    cost = routed.actual_cost if routed.actual_cost is not None else routed.estimated_cost
    headers: Headers = []
    if routed.target is not None:
        headers.append((b"x-sekha-provider", routed.target.provider_id.encode()))
        headers.append((b"x-sekha-model", routed.target.model_id.encode()))
    if routed.answered_by is not None:
        headers.append((b"x-sekha-answered-by", routed.answered_by.encode("ascii", "replace")))
    if cost is not None:
        headers.append((b"x-sekha-cost-usd", dollars_text(cost).encode()))
    if routed.dropped:
        headers.append((b"x-sekha-dropped-params", ", ".join(routed.dropped).encode()))
    return headers


def _policy_of(scope: Scope) -> OnStreamFailure | None:
    """`x-sekha-on-stream-failure`; InvalidRequest when it is not a policy."""
    given = header(scope, b"x-sekha-on-stream-failure")
    if given is None:
        return None
    try:
        return OnStreamFailure(given.lower())
    except ValueError:
        there = ", ".join(OnStreamFailure)
        raise InvalidRequest(
            f"x-sekha-on-stream-failure: '{printable(given, 40)}' must be one of {there}",
            param="x-sekha-on-stream-failure",
        ) from None


def timeout_of(scope: Scope) -> float | None:
    """Return `x-sekha-timeout` in seconds; raise InvalidRequest when it is not a positive number."""
    given = header(scope, b"x-sekha-timeout")
    if given is None:
        return None
    seconds = float(given) if _NUMBER.fullmatch(given) else 0.0
    if not 0 < seconds < float("inf"):
        raise InvalidRequest(
            f"x-sekha-timeout: '{printable(given, 40)}' must be a positive number of seconds",
            param="x-sekha-timeout",
        )
    return seconds
