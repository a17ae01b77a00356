"""The end of a stream that is whole, handed on or held back."""

from serve_app.gateway.request_context import Attempt, RequestContext
from serve_app.gateway.streaming.resume import usage_frame
from serve_app.providers.base import StreamEnd, StreamHead


def settle(
    context: RequestContext,
    attempt: Attempt,
    head: StreamHead,
    end: StreamEnd,
    first_token_s: float,
    first_block: bytes,
) -> tuple[int | None, bytes]:
    """
    What the answer cost in nano-dollars, and what the caller still lacks.

    That is a frame with the usage, if the caller asked for one and the upstream told none; else nothing.
    """
    usage = context.used(attempt, end.usage, end.output_chars, end.machine_ms)
    # The end's own span would hold how slowly the caller read; the head's does not.
    cost = context.served(attempt, usage, head.upstream_s, first_token_s, end.dropped_frames)
    lacks_usage = context.wants_usage and usage.estimated
    return cost, usage_frame(first_block, usage) if lacks_usage else b""
