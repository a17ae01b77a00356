"""
A client of a running gateway, for another Ray job, another Serve application or a plain script.

    gateway = GatewayClient()
    answer = await gateway.chat("Hello!", model="chat_smart")
    async for chunk in gateway.chat_stream("Tell me a story"):
        ...

A call is processed as one over HTTP, from planning to metrics, without HTTP. Refusals of the gateway are
raised as GatewayError. Each method has a variant that ends in `_sync`, for code without an event loop.
"""

import asyncio
import threading
from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import contextmanager
from typing import Any
from uuid import uuid4

import orjson
from ray import serve
from ray.serve.exceptions import BackPressureError, RayServeException

from serve_app.caller import NOBODY
from serve_app.clients.bodies import Messages, chat_body, embedding_body
from serve_app.clients.cluster import JOIN_WITHIN_S, join_cluster
from serve_app.config.routing import OnStreamFailure
from serve_app.deployments.handle_method import TROUBLES, HandleMethod
from serve_app.errors import GatewayError, GatewayUnavailable
from serve_app.formats.openai_chat.chunks import chunks_in

ANSWER_WITHIN_S = 300.0  # the gateway's default deadline of a request
GRACE_S = 30.0  # added to it, so that the gateway's own timeout comes first


class GatewayClient:
    """
    A client of the gateway that runs as the Serve application `app_name`, which is looked up at the first
    call.

    Messages are a list in OpenAI's format, or a text, which is one message of the user. Further fields are
    added to the body, so a whole body is `chat(**body)`.

    Args:
        handle: the router's handle, used as it is.
        timeout_s: the deadline of a complete answer, or of the first token of a stream.
        on_stream_failure: `error`, `resume` or `hold`; None: as the gateway is configured.
        tenant: who pays, within its budgets and rates; within a cluster no key is required.
    """

    def __init__(
        self,
        app_name: str = "sekha",
        *,
        handle: Any = None,
        timeout_s: float = ANSWER_WITHIN_S,
        on_stream_failure: str | None = None,
        tenant: str = NOBODY,
    ) -> None:
        self.app_name = app_name
        self._handle = handle
        self._timeout_s = timeout_s
        self._tenant = tenant
        self._on_failure = None if on_stream_failure is None else OnStreamFailure(on_stream_failure)
        self._router: _Router | None = None
        self._connecting = threading.Lock()

    # --- in an event loop -----------------------------------------------------------------------------

    async def chat(self, messages: Messages, model: str | None = None, **fields: Any) -> dict[str, Any]:
        """Return a complete chat completion, in OpenAI's format."""
        return await self._asked((await self._reached()).chat, chat_body(messages, model, fields))

    async def chat_stream(
        self, messages: Messages, model: str | None = None, **fields: Any
    ) -> AsyncGenerator[dict[str, Any], None]:
        """Yield the chunks of a chat completion; `aclose()` stops it early, and the model as well."""
        body = chat_body(messages, model, {**fields, "stream": True})
        stream = self._sent((await self._reached()).chat_stream, body, self._on_failure)
        try:
            while (item := await self._next(stream)) is not None:
                for chunk in chunks_in(item):
                    yield chunk
        finally:
            stream.cancel()

    async def embed(
        self,
        input: str | Sequence[Any],  # noqa: A002 (OpenAI's name for it)
        model: str | None = None,
        **fields: Any,
    ) -> dict[str, Any]:
        """Return embeddings of one or several texts, as OpenAI's embedding list."""
        return await self._asked((await self._reached()).embed, embedding_body(input, model, fields))

    # --- without an event loop ------------------------------------------------------------------------

    def chat_sync(self, messages: Messages, model: str | None = None, **fields: Any) -> dict[str, Any]:
        """Return what `chat` returns, without an event loop."""
        return self._waited_for(self._connected().chat, chat_body(messages, model, fields))

    def chat_stream_sync(
        self, messages: Messages, model: str | None = None, **fields: Any
    ) -> Iterator[dict[str, Any]]:
        """Yield what `chat_stream` yields, without an event loop."""
        body = chat_body(messages, model, {**fields, "stream": True})
        stream = self._sent(self._connected().chat_stream, body, self._on_failure)
        try:
            with self._gateway_errors():
                for item in stream:
                    yield from chunks_in(_unless_error(item))
        finally:
            stream.cancel()

    def embed_sync(
        self,
        input: str | Sequence[Any],  # noqa: A002 (OpenAI's name for it)
        model: str | None = None,
        **fields: Any,
    ) -> dict[str, Any]:
        """Return what `embed` returns, without an event loop."""
        return self._waited_for(self._connected().embed, embedding_body(input, model, fields))

    # --- the connection -------------------------------------------------------------------------------

    async def _reached(self) -> "_Router":
        """Return the router; it is looked up in a thread, because that would block the event loop."""
        if self._router is not None:
            return self._router
        return await asyncio.to_thread(self._connected)

    def _connected(self) -> "_Router":
        with self._connecting:
            if self._router is None:
                with self._gateway_errors():
                    within_s = min(self._timeout_s, JOIN_WITHIN_S)
                    self._router = _Router(self._handle or running_gateway(self.app_name, within_s))
            return self._router

    def _sent(self, method: HandleMethod, body: bytes, *more: OnStreamFailure | None) -> Any:
        with self._gateway_errors():
            return method.remote(len(body), body, uuid4().hex, self._timeout_s, self._tenant, *more)

    async def _asked(self, method: HandleMethod, body: bytes) -> dict[str, Any]:
        response = self._sent(method, body)
        with self._gateway_errors():
            async with asyncio.timeout(self._timeout_s + GRACE_S):
                try:
                    return _read(await response)
                except asyncio.CancelledError:
                    response.cancel()
                    raise

    async def _next(self, stream: Any) -> bytes | None:
        """Return the next block of frames; None at the end."""
        with self._gateway_errors():
            async with asyncio.timeout(self._timeout_s + GRACE_S):
                item = await anext(stream, None)
        return None if item is None else _unless_error(item)

    def _waited_for(self, method: HandleMethod, body: bytes) -> dict[str, Any]:
        response = self._sent(method, body)
        with self._gateway_errors():
            return _read(response.result(timeout_s=self._timeout_s + GRACE_S))

    @contextmanager
    def _gateway_errors(self) -> Iterator[None]:
        """Turn errors of Ray into GatewayUnavailable."""
        try:
            yield
        except TimeoutError as error:
            raise self._unavailable(f"did not answer within {self._timeout_s + GRACE_S:g} s") from error
        except BackPressureError as error:
            raise self._unavailable("is too busy: its queue is full") from error
        except TROUBLES as error:
            raise self._unavailable(f"failed: {type(error).__name__}") from error

    def _unavailable(self, what: str) -> GatewayUnavailable:
        return GatewayUnavailable(f"The gateway '{self.app_name}' {what}")


class _Router:
    """The methods of the router's handle."""

    def __init__(self, handle: Any) -> None:
        # With RAY_SERVE_THROUGHPUT_OPTIMIZED a handle is tied to the loop of its first use; a script has no
        # loop, and could not wait for an answer.
        if not handle.is_initialized:
            handle._init(_run_router_in_separate_loop=True)
        self.chat = HandleMethod(handle, "chat")
        self.chat_stream = HandleMethod(handle, "chat_stream", stream=True)
        self.embed = HandleMethod(handle, "embed", large_answers=True)


def running_gateway(app_name: str, within_s: float = JOIN_WITHIN_S) -> Any:
    """
    Return the handle of a running gateway's router.

    Joins a cluster if Ray is not connected yet, as `join_cluster` does, within `within_s` seconds.

    Raises:
        GatewayUnavailable: with the reason, and the names of the existing applications.
    """
    join_cluster(within_s)
    try:
        return serve.get_app_handle(app_name)
    except RayServeException as error:
        there = ", ".join(sorted(serve.status().applications)) or "none"
        raise GatewayUnavailable(f"No gateway '{app_name}' among the Serve applications: {there}") from error


def _read(answer: bytes | GatewayError) -> dict[str, Any]:
    body: dict[str, Any] = orjson.loads(_unless_error(answer))
    return body


def _unless_error(answer: bytes | GatewayError) -> bytes:
    """Return the answer, or raise the error: errors cross a Ray handle as values."""
    if isinstance(answer, GatewayError):
        raise answer
    return answer
