"""
Answers that pass through middlewares, and answers that a middleware gives itself.

An answer without a target costs nothing, but is counted, logged and written to the ledger.
"""

import logging
from collections.abc import Sequence
from contextlib import aclosing

from serve_app.clock import Clock
from serve_app.control.control_cache import ControlCache
from serve_app.errors import GatewayError
from serve_app.events import RequestServed
from serve_app.gateway.middleware import CallNext
from serve_app.gateway.rate_permit import RequestPermit
from serve_app.gateway.recorder import Recorder
from serve_app.gateway.request import GatewayRequest
from serve_app.gateway.response import Items, Response, ResponseStream
from serve_app.gateway.routing_info import RoutingInfo
from serve_app.ledger.entry import Entry, EntryOutcome
from serve_app.pricing.usage import Usage
from serve_app.providers.base import StreamEnd

log = logging.getLogger("sekha.gateway")


class MiddlewareAnswers:
    """The checks on what the middlewares of one gateway return."""

    def __init__(self, control: ControlCache, clock: Clock, recorder: Recorder) -> None:
        self._control = control
        self._clock = clock
        self._recorder = recorder

    async def guarded(
        self,
        request: GatewayRequest,
        task: str,
        permit: RequestPermit,
        started: float,
        call: CallNext,
        recorded: Sequence[GatewayError],
    ) -> Response | ResponseStream:
        """
        Return the answer of the middlewares; the permit is closed when it ends.

        Args:
            request: as the caller sent it.
            task: what its model is for.
            permit: its place within its caller's limits.
            started: when it was admitted, on the monotonic clock.
            call: the middlewares, and the gateway behind them.
            recorded: the errors that the gateway behind them has already recorded.

        Raises:
            GatewayError: a middleware, or the gateway behind it, refused the request; status 500 if a
                middleware raised another exception, or returned a stream for a whole answer or the reverse.
        """
        try:
            answer = await call(request)
            if isinstance(answer, ResponseStream) is not request.streams:
                expected = "a stream" if request.streams else "a whole answer"
                raise TypeError(
                    f"a middleware returned {type(answer).__name__} where {expected} was asked for"
                )
        except GatewayError as error:
            permit.close()
            if error not in recorded:
                self._recorder.not_admitted(request, task, error, self._clock.monotonic() - started)
            raise
        except Exception:
            permit.close()
            log.exception("request %s: a middleware failed", request.id)
            failure = GatewayError("A middleware of this gateway failed")
            self._recorder.not_admitted(request, task, failure, self._clock.monotonic() - started)
            raise failure from None
        except BaseException:
            permit.close()
            raise
        if isinstance(answer, ResponseStream):
            return self._closing(answer, request, task, permit, started)
        permit.close()
        if answer.routed.target is None:
            self._record(request, task, started, answer.routed)
        return answer

    def _closing(
        self,
        stream: ResponseStream,
        request: GatewayRequest,
        task: str,
        permit: RequestPermit,
        started: float,
    ) -> ResponseStream:
        """Return the same stream, which closes the permit at its end."""

        async def items() -> Items:
            first_token_s: float | None = None
            try:
                async with aclosing(stream):
                    async for item in stream:
                        guarded.routed = stream.routed
                        if first_token_s is None:
                            first_token_s = self._clock.monotonic() - started
                        if isinstance(item, StreamEnd) and stream.routed and stream.routed.target is None:
                            self._record(request, task, started, stream.routed, first_token_s)
                        yield item
            finally:
                permit.close()

        async def leave() -> None:
            try:
                await stream.aclose()
            finally:
                permit.close()

        guarded = ResponseStream(stream.routed, items(), leave, stream.content_type)
        return guarded

    def _record(
        self,
        request: GatewayRequest,
        task: str,
        started: float,
        routed: RoutingInfo,
        first_token_s: float | None = None,
    ) -> None:
        """Write an answer without a target to the ledger, and emit its event."""
        journal, number = self._control.next_page()
        elapsed_s = self._clock.monotonic() - started
        entry = Entry(
            journal=journal,
            number=number,
            request_id=request.id,
            attempt=0,
            at=self._clock.now(),
            tenant=request.caller.tenant,
            caller=request.caller.name,
            provider_id=routed.provider_id,
            model_id=routed.model_id,
            task=task,
            operation=request.operation,
            usage=Usage(),
            cost=0,
            outcome=EntryOutcome.SERVED,
            latency_s=elapsed_s,
            first_token_s=first_token_s,
        )
        self._control.account(entry, 0, None)
        self._recorder.tell(
            RequestServed(
                request_id=request.id,
                operation=request.operation,
                task=task,
                provider_id=routed.provider_id,
                model_id=routed.model_id,
                attempts=0,
                fell_back=False,
                usage=Usage(),
                cost=0,
                duration_s=elapsed_s,
                upstream_s=0.0,
                first_token_s=first_token_s,
            )
        )
