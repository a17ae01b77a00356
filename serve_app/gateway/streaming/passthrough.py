"""Streams that are passed through as they arrive."""

import logging
from collections.abc import AsyncGenerator
from contextlib import aclosing

from serve_app.errors import FailureKind, GatewayError, UpstreamError, internal_error, upstream_error
from serve_app.gateway.attempt import Attempt
from serve_app.gateway.executor import Executor
from serve_app.gateway.request_context import RequestContext
from serve_app.gateway.response import Items, ResponseStream
from serve_app.gateway.routing_info import routing_info
from serve_app.gateway.streaming.finish import settle
from serve_app.gateway.streaming.opening import OpenStream, no_ending, open_stream
from serve_app.gateway.streaming.resume import Continuation, Differs, SentText
from serve_app.providers.base import StreamEnd, StreamHead

log = logging.getLogger("sekha.gateway")


async def flowing(executor: Executor, context: RequestContext, resumes: bool) -> ResponseStream:
    """
    Return the stream of the first target that begins to answer.

    `resumes`: if the stream breaks off, the next target continues it.

    Raises:
        GatewayError: no target began to answer; the error to show to the caller.
    """
    with executor.recorder.until_begun(context):
        attempt, opened = await executor.answer(context, open_stream)
    flow = _Flow(
        executor, context, attempt, opened, SentText(context.request.chat_format) if resumes else None
    )
    return ResponseStream(routing_info(context, attempt), flow.items(), flow.leave, opened[0].content_type)


class _Flow:
    """One answer, from the target that has begun it and, where it is resumed, from those after it."""

    def __init__(
        self,
        executor: Executor,
        context: RequestContext,
        attempt: Attempt,
        opened: OpenStream,
        sent: SentText | None,
    ) -> None:
        self._executor = executor
        self._recorder = executor.recorder
        self._context = context
        self._attempt: Attempt | None = attempt
        self._head, self._stream = opened
        self._sent = sent
        self._continuation: Continuation | None = None
        self._first_token_s = context.elapsed_s
        self._first_block = b""
        self._ending: StreamEnd | UpstreamError

    async def leave(self) -> None:
        """Close a stream that was never read."""
        try:
            await self._stream.aclose()
        finally:
            self._recorder.abandoned(self._context, self._attempt)

    async def items(self) -> Items:
        """Yield the blocks as they arrive, and settle at the end, whatever it is."""
        context, settled = self._context, False
        broke_off: UpstreamError | None = None
        try:
            while attempt := self._attempt:
                async with aclosing(self._from_one(attempt)) as blocks:
                    async for block in blocks:
                        yield block
                ending = self._ending
                if isinstance(ending, StreamEnd):
                    settled = True
                    _, last = settle(
                        self._recorder,
                        context,
                        attempt,
                        self._head,
                        ending,
                        self._first_token_s,
                        self._first_block,
                    )
                    if last:
                        yield last
                    yield ending
                    return
                broke_off = broke_off or ending  # the caller gets the first failure
                self._executor.fail(context, attempt, ending)
                self._attempt = None
                if not await self._goes_on(attempt, ending):
                    settled = True
                    self._recorder.refused(context, broke_off)
                    yield broke_off
        finally:
            if not settled:
                self._recorder.abandoned(context, self._attempt or context.current)

    async def _from_one(self, attempt: Attempt) -> AsyncGenerator[bytes, None]:
        """Yield the blocks of one target; afterwards `_ending` has its end or failure."""
        self._ending = no_ending(attempt.provider_id)
        with self._recorder.in_flight(attempt):
            try:
                async for item in self._stream:
                    if isinstance(item, bytes):
                        attempt.listen(item)
                        if passed := self._passed_on(item):
                            yield passed
                    elif not isinstance(item, StreamHead):
                        self._ending = item
                        break
                if isinstance(self._ending, StreamEnd) and not self._is_whole:
                    raise Differs
            except Differs:
                self._ending = _differs(attempt.provider_id)
            except Exception:
                request_id = self._context.request.id
                log.exception(
                    "request %s: our code failed in a stream of '%s'", request_id, attempt.provider_id
                )
                self._ending = internal_error(attempt.provider_id, request_id)
            finally:
                await self._stream.aclose()

    def _passed_on(self, block: bytes) -> bytes:
        """Return the part of a block that the caller gets."""
        if self._continuation is not None:
            block = self._continuation.feed(block)
        if self._sent is not None:
            self._sent.listen(block)
        self._first_block = self._first_block or block
        return block

    @property
    def _is_whole(self) -> bool:
        return self._continuation is None or self._continuation.has_caught_up

    async def _goes_on(self, broken: Attempt, error: UpstreamError) -> bool:
        """Ask the remaining targets; return whether one has begun to continue the answer."""
        if self._sent is None or not self._sent.can_continue:
            return False
        if not self._executor.passes_on(self._context, broken, error):
            return False
        self._context.restart_deadline()
        try:
            self._attempt, opened = await self._executor.answer(self._context, open_stream)
        except GatewayError:
            return False
        self._head, self._stream = opened
        self._continuation = Continuation(self._sent)
        self._first_block = b""
        return True


def _differs(provider_id: str) -> UpstreamError:
    """Return the failure of a continuation with another text; it does not count against the provider."""
    message = f"Provider '{provider_id}' cannot continue the interrupted answer"
    return upstream_error(message, provider_id, FailureKind.REJECTED)
