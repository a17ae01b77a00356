"""
A running gateway, called from another Ray job, another Serve application or a plain script.

    gateway = GatewayClient()
    answer = await gateway.chat("Hello!", model="chat_smart")
    async for chunk in gateway.chat_stream("Tell me a story"):
        ...

A call goes the same way as one over HTTP, from planning to metrics, without HTTP. What the gateway refuses is
raised here as the GatewayError it is. Each method has a twin that ends in `_sync`, for code without a loop.
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

ANSWER_WITHIN_S = 300.0  # what a gateway gives a request unless told otherwise
GRACE_S = 30.0  # on top of it, so that the gateway is the one to say that time is up


class GatewayClient:
    """
    The gateway that runs as the Serve application `app_name`; looked for at the first call.

    Messages are a list in OpenAI's words, or a text, which is one message of the user's; further fields go
    into the body as they are, so a whole body is `chat(**body)`. `timeout_s` is the gateway's deadline for a
    whole answer, or for the first token of a stream; `on_stream_failure` is `error`, `resume` or `hold`,
    None: what the gateway is configured for. `tenant` pays, within its budgets and rates; within a cluster
    nobody has to show a key. A `handle` of the router is used as it is.
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
        """One whole chat completion, in OpenAI's words."""
        return await self._asked((await self._reached()).chat, chat_body(messages, model, fields))

    async def chat_stream(
        self, messages: Messages, model: str | None = None, **fields: Any
    ) -> AsyncGenerator[dict[str, Any], None]:
        """A chat completion in chunks; stop early with `aclose()`, and the model stops as well."""
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
        """Vectors for a text or for several, as OpenAI's embedding list."""
        return await self._asked((await self._reached()).embed, embedding_body(input, model, fields))

    # --- without one ----------------------------------------------------------------------------------

    def chat_sync(self, messages: Messages, model: str | None = None, **fields: Any) -> dict[str, Any]:
        """`chat` for a plain script."""
        return self._waited_for(self._connected().chat, chat_body(messages, model, fields))

    def chat_stream_sync(
        self, messages: Messages, model: str | None = None, **fields: Any
    ) -> Iterator[dict[str, Any]]:
        """`chat_stream` for a plain script."""
        body = chat_body(messages, model, {**fields, "stream": True})
        stream = self._sent(self._connected().chat_stream, body, self._on_failure)
        try:
            with self._own_words():
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
        """`embed` for a plain script."""
        return self._waited_for(self._connected().embed, embedding_body(input, model, fields))

    # --- the way there --------------------------------------------------------------------------------

    async def _reached(self) -> "_Router":
        """Looking for the gateway asks the cluster, which must not hold up the loop."""
        if self._router is not None:
            return self._router
        return await asyncio.to_thread(self._connected)

    def _connected(self) -> "_Router":
        with self._connecting:
            if self._router is None:
                with self._own_words():
                    within_s = min(self._timeout_s, JOIN_WITHIN_S)
                    self._router = _Router(self._handle or running_gateway(self.app_name, within_s))
            return self._router

    def _sent(self, method: HandleMethod, body: bytes, *more: OnStreamFailure | None) -> Any:
        with self._own_words():
            return method.remote(len(body), body, uuid4().hex, self._timeout_s, self._tenant, *more)

    async def _asked(self, method: HandleMethod, body: bytes) -> dict[str, Any]:
        response = self._sent(method, body)
        with self._own_words():
            async with asyncio.timeout(self._timeout_s + GRACE_S):
                try:
                    return _read(await response)
                except asyncio.CancelledError:
                    response.cancel()
                    raise

    async def _next(self, stream: Any) -> bytes | None:
        """The next block of frames; None at the end."""
        with self._own_words():
            async with asyncio.timeout(self._timeout_s + GRACE_S):
                item = await anext(stream, None)
        return None if item is None else _unless_error(item)

    def _waited_for(self, method: HandleMethod, body: bytes) -> dict[str, Any]:
        response = self._sent(method, body)
        with self._own_words():
            return _read(response.result(timeout_s=self._timeout_s + GRACE_S))

    @contextmanager
    def _own_words(self) -> Iterator[None]:
        """What Ray can do to a call, in the gateway's words."""
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
    """The router's methods, ready to be called."""

    def __init__(self, handle: Any) -> None:
        # An environment tuned for throughput ties a handle to the loop it was first used in; a script has no
        # loop, and could not wait for an answer.
        if not handle.is_initialized:
            handle._init(_run_router_in_separate_loop=True)
        self.chat = HandleMethod(handle, "chat")
        self.chat_stream = HandleMethod(handle, "chat_stream", stream=True)
        self.embed = HandleMethod(handle, "embed", large_answers=True)


def running_gateway(app_name: str, within_s: float = JOIN_WITHIN_S) -> Any:
    """
    Return the handle of a running gateway's router.

    Joins a cluster where Ray is not connected yet, as `join_cluster` does, within so many seconds.

    Raises:
        GatewayUnavailable: with the reason, and the applications that there are instead.
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
