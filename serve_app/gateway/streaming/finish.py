"""Settlement of a stream that has come to its end."""

from serve_app.gateway.attempt import Attempt
from serve_app.gateway.recorder import Recorder
from serve_app.gateway.request_context import RequestContext
from serve_app.providers.base import StreamEnd, StreamHead


def settle(
    recorder: Recorder,
    context: RequestContext,
    attempt: Attempt,
    head: StreamHead,
    end: StreamEnd,
    first_token_s: float,
    first_block: bytes,
) -> tuple[int | None, bytes]:
    """
    Record a stream that has come to its end.

    Returns:
        The cost in nano-dollars (None when the price is unknown), and a frame with the usage where the caller
        asked for one and the upstream sent none; else no bytes.
    """
    usage = recorder.estimator.of_answer(context, attempt, end.usage, end.output_chars, end.machine_ms)
    # The end's own span would hold how slowly the caller read; the head's does not.
    cost = recorder.served(context, attempt, usage, head.upstream_s, first_token_s, end.dropped_frames)
    lacks_usage = context.request.wants_usage and usage.estimated
    return cost, context.request.chat_format.usage_block(first_block, usage) if lacks_usage else b""
