"""The error that a caller gets when no target has answered."""

from serve_app.errors import (
    FailureKind,
    GatewayError,
    NoSuitableProviders,
    ProviderRateLimitError,
    ProviderTimeoutError,
)
from serve_app.gateway.request_context import RequestContext

PROBED_AGAIN_AFTER_S = 1.0  # a probe takes about as long as a request


def final_error(context: RequestContext) -> GatewayError:
    """
    Return the error of the last provider that failed.

    If that error is the caller's fault (a fallback rejects what an earlier target would have accepted), it
    does not explain why the fallback was needed; then the first target's error is returned.
    """
    if context.failures:
        target, last = context.failures[-1]
        if not last.callers_fault:
            return last
        if first := next((error for other, error in context.failures if other is not target), None):
            return first
        if not context.postponed:
            return last
    if context.refusals:
        return context.refusals[0]
    if context.postponed:
        target, wait_s = min(context.postponed, key=lambda postponed: postponed.wait_s)
        message = f"Provider '{target.provider_id}' is rate limited; retry in {wait_s:.1f} s"
        return ProviderRateLimitError(message, target.provider_id, retry_after_s=wait_s)
    if context.remaining_s == 0.0:
        return ProviderTimeoutError("The request's deadline passed", "", FailureKind.TIMEOUT)
    why = "every breaker that would let a request through has its one probe out"
    return NoSuitableProviders(context.requirements.task, why, PROBED_AGAIN_AFTER_S)
