"""Streams that are held back until they are whole."""

import asyncio

from serve_app.clock import Clock
from serve_app.errors import GatewayError, UpstreamError
from serve_app.gateway.attempt import Attempt
from serve_app.gateway.executor import Executor
from serve_app.gateway.request_context import RequestContext
from serve_app.gateway.response import Items, ResponseStream
from serve_app.gateway.routing_info import RoutingInfo, routing_info
from serve_app.gateway.streaming.finish import settle
from serve_app.gateway.streaming.opening import whole_stream
from serve_app.providers.base import Call, Provider, StreamEnd, StreamHead

COMMENT = b": the answer is held back until it is whole\n\n"
Held = tuple[RoutingInfo, str | None, list[bytes], StreamEnd]  # with the content type

COMMENT_EVERY_S = 5.0  # proxies in between may close a connection that is silent for longer


async def held(executor: Executor, context: RequestContext, clock: Clock) -> ResponseStream:
    """
    Return the whole stream of the first target that finishes one.

    If it takes longer than `COMMENT_EVERY_S`, the stream begins with comments, and a later error is yielded
    instead of raised. Sound has no place for a comment: its stream begins when all of it is there.

    Raises:
        GatewayError: no target answered; the error to show to the caller.
    """
    hold = _Hold(executor, context, clock)
    try:
        while not (is_done := await hold.wait()) and context.request.operation.gives_bytes:
            pass
    except BaseException:
        await hold.leave()
        raise
    routed, content_type = hold.whole()[:2] if is_done else (None, None)
    stream = ResponseStream(routed, hold.items(), hold.leave, content_type)
    hold.stream = stream
    return stream


class _Hold:
    """An answer that is being gathered while the caller waits."""

    def __init__(self, executor: Executor, context: RequestContext, clock: Clock) -> None:
        self._executor = executor
        self._recorder = executor.recorder
        self._context = context
        self._clock = clock
        self._gathering = asyncio.create_task(self._gather())
        self.stream: ResponseStream | None = None

    async def wait(self) -> bool:
        """Wait until the next comment is due; return whether the answer has arrived or failed by then."""
        tick = asyncio.ensure_future(self._clock.sleep(COMMENT_EVERY_S))
        try:
            await asyncio.wait({self._gathering, tick}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            tick.cancel()
        return self._gathering.done()

    def whole(self) -> Held:
        """Return the gathered answer. Raises GatewayError if no target gave one."""
        return self._gathering.result()

    async def items(self) -> Items:
        """Yield comments until the answer is whole, then all of it at once."""
        try:
            while not self._gathering.done():
                yield COMMENT
                await self.wait()
            try:
                routed, _, blocks, end = self.whole()
            except GatewayError as error:
                yield error
                return
            if self.stream is not None:
                self.stream.routed = routed
            for block in blocks:
                yield block
            yield end
        finally:
            await self.leave()

    async def leave(self) -> None:
        """Stop gathering: the caller has gone."""
        self._gathering.cancel()
        await asyncio.wait({self._gathering})
        if not self._gathering.cancelled():
            self._gathering.exception()  # marks it as retrieved, or asyncio logs a warning

    async def _gather(self) -> Held:
        context = self._context
        with self._recorder.until_begun(context):
            attempt, (head, blocks, end) = await self._executor.answer(context, self._read_whole)
        first_token_s = context.elapsed_s - (
            end.upstream_s - head.upstream_s
        )  # when it could have been shown
        cost, last = settle(
            self._recorder, context, attempt, head, end, first_token_s, blocks[0] if blocks else b""
        )
        if last:
            blocks.append(last)
        return routing_info(context, attempt, cost), head.content_type, blocks, end

    async def _read_whole(
        self, provider: Provider, call: Call, attempt: Attempt
    ) -> tuple[StreamHead, list[bytes], StreamEnd] | UpstreamError:
        most = self._executor.answer_limit(attempt.provider_id)
        return await whole_stream(provider, call, attempt, self._context.remaining_s, most)
