"""
Layers around every request: caches, guardrails, context injection, experiments.

A middleware sees a request before it is planned and the answer after it was given. It may answer itself, pass
on a changed request, or change the answer. Key, tenant, permission for the named model, rate and concurrency
are checked before the first one; where one changes the content, the permission is checked again.

    async def audit(request, call_next):
        response = await call_next(request)
        ...
        return response
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

from serve_app.gateway.request import GatewayRequest
from serve_app.gateway.response import Response, ResponseStream

CallNext = Callable[[GatewayRequest], Awaitable[Response | ResponseStream]]


class Middleware(Protocol):
    """One layer around the requests of a gateway."""

    async def __call__(self, request: GatewayRequest, call_next: CallNext) -> Response | ResponseStream:
        """
        Answer the request, usually by `call_next(request)`.

        Returns:
            A ResponseStream if `request.streams`, else a Response.

        Raises:
            GatewayError: a refusal, which the caller gets.
        """


def chain(middlewares: Sequence[Middleware], last: CallNext) -> CallNext:
    """Return one call that goes through all of these, the first one outermost, and ends in `last`."""
    for middleware in reversed(middlewares):
        last = _link(middleware, last)
    return last


def _link(middleware: Middleware, call_next: CallNext) -> CallNext:
    async def call(request: GatewayRequest) -> Response | ResponseStream:
        return await middleware(request, call_next)

    return call
