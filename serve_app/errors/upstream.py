"""The failure of one attempt at one target: its kind, and the status, code and message for the caller."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Self

from serve_app.errors.base import GatewayError


class FailureKind(StrEnum):
    """Why one attempt failed; this closed set decides what happens next."""

    TIMEOUT = "timeout"
    RATE_LIMITED = "rate_limited"  # 429
    OVERLOADED = "overloaded"  # 503, 529
    SATURATED = "saturated"  # the gateway's own queue for the provider is full
    UNREACHABLE = "unreachable"  # refused, reset, no such host
    BROKEN = "broken"  # other 5xx, garbled or cut-off answers
    AUTH = "auth"  # 401, 403: the gateway's key, never the caller's
    OUT_OF_CREDIT = "out_of_credit"  # 402 and the like: the gateway's account with the provider is empty
    NOT_FOUND = "not_found"  # 404: the upstream does not have this model
    CONTEXT_LENGTH = "context_length"  # 400: too long for this model
    CONTENT_FILTER = "content_filter"  # 400: refused because of its content
    REJECTED = "rejected"  # other 4xx: the caller's request is at fault
    UNSUPPORTED = "unsupported"  # this upstream's format cannot carry the request; nothing was sent
    REFUSED_ADDRESS = "refused_address"  # its name leads where the gateway calls nobody
    INTERNAL = "internal"  # an exception in the gateway's code; neither provider nor caller caused it


_STATUS = {
    FailureKind.TIMEOUT: 504,
    FailureKind.RATE_LIMITED: 429,
    FailureKind.OVERLOADED: 503,
    FailureKind.SATURATED: 429,
    FailureKind.UNREACHABLE: 502,
    FailureKind.BROKEN: 502,
    FailureKind.AUTH: 502,
    FailureKind.OUT_OF_CREDIT: 502,
    FailureKind.NOT_FOUND: 502,
    FailureKind.CONTEXT_LENGTH: 400,
    FailureKind.CONTENT_FILTER: 400,
    FailureKind.REJECTED: 400,
    FailureKind.UNSUPPORTED: 400,
    FailureKind.REFUSED_ADDRESS: 502,
    FailureKind.INTERNAL: 500,
}

# The codes that programs know these by, the same for every provider.
_CODE = {
    FailureKind.CONTEXT_LENGTH: "context_length_exceeded",
    FailureKind.CONTENT_FILTER: "content_policy_violation",
}

_CALLERS_FAULT = frozenset(
    {
        FailureKind.CONTEXT_LENGTH,
        FailureKind.CONTENT_FILTER,
        FailureKind.REJECTED,
        FailureKind.UNSUPPORTED,
    }
)
_NO_RETRY_HELPS = frozenset(
    {
        FailureKind.AUTH,
        FailureKind.OUT_OF_CREDIT,
        FailureKind.NOT_FOUND,
        FailureKind.REFUSED_ADDRESS,
        FailureKind.INTERNAL,
    }
)


class UpstreamError(GatewayError):
    """
    One attempt at one provider failed.

    A provider's 401 is never the caller's 401.

    Attributes:
        failure: the kind; by default the one that the class stands for.
        upstream_status: the provider's HTTP status; None: no answer.
        status: the HTTP status for the caller, if this failure is the final one.
        details: facts for programs, beside the message.
        note: for the operator's log only: the provider's words about the gateway's key or account.
    """

    usual = FailureKind.BROKEN

    def __init__(
        self,
        message: str,
        provider_id: str,
        failure: FailureKind | None = None,
        upstream_status: int | None = None,
        retry_after_s: float | None = None,
        code: str | None = None,
        param: str | None = None,
    ) -> None:
        failure = failure or self.usual
        super().__init__(message, provider_id, failure, upstream_status, retry_after_s, code, param)
        self.provider_id = provider_id
        self.failure = failure
        self.upstream_status = upstream_status
        self.retry_after_s = retry_after_s
        self.param = param
        self.details: dict[str, object] = {}
        if failure is FailureKind.CONTENT_FILTER:
            self.details["reason"] = "content_filter"
        self.note = ""
        self.code = code or _CODE.get(failure) or self.label
        self.kind = "invalid_request_error" if failure in _CALLERS_FAULT else "upstream_error"
        if failure in (FailureKind.RATE_LIMITED, FailureKind.SATURATED):
            self.kind = "rate_limit_error"
        elif failure is FailureKind.INTERNAL:
            self.kind = "server_error"
        self.status = _STATUS[failure]
        if failure is FailureKind.REJECTED and upstream_status is not None:
            self.status = upstream_status

    def telling(self, details: Mapping[str, object] | None = None, note: str = "") -> Self:
        """Return this error with more facts for programs, or with a note for the operator."""
        self.details |= details or {}
        self.note = note
        return self

    @property
    def label(self) -> str:
        """Return the kind as metrics and logs name it: one of a small set, the same for every provider."""
        is_ours = self.failure is FailureKind.INTERNAL
        return "internal_error" if is_ours else f"upstream_{self.failure}"

    @property
    def retry_after(self) -> float | None:
        """Return `retry_after_s` under the name that Python code for version 1 uses."""
        return self.retry_after_s

    @property
    def original_error(self) -> BaseException | None:
        """Return the exception behind this one; None after a Ray handle, because causes do not cross it."""
        return self.__cause__

    @property
    def callers_fault(self) -> bool:
        """Return True when every target would refuse the request, so no breaker counts the failure."""
        return self.failure in _CALLERS_FAULT

    @property
    def retryable(self) -> bool:
        """Return True when the same call may succeed later."""
        return not self.callers_fault and self.failure not in _NO_RETRY_HELPS


ProviderError = UpstreamError  # the name that Python code for version 1 uses


class ReplicaLost(UpstreamError):
    """
    The process that served the request died; its result and its cost are unknown.

    `replica` identifies the replica that died; None: unknown.
    """

    usual = FailureKind.UNREACHABLE

    def __init__(self, message: str, provider_id: str, replica: str | None = None) -> None:
        super().__init__(message, provider_id)
        self.args = (message, provider_id, replica)
        self.replica = replica


class ProviderAuthError(UpstreamError):
    """The provider refused the gateway's key."""

    usual = FailureKind.AUTH


class ProviderRateLimitError(UpstreamError):
    """The provider rate limits the gateway; `retry_after_s` is the wait that it asked for, if any."""

    usual = FailureKind.RATE_LIMITED


class ProviderTimeoutError(UpstreamError):
    """The provider exceeded a timeout."""

    usual = FailureKind.TIMEOUT


_CLASS = {cls.usual: cls for cls in (ProviderAuthError, ProviderRateLimitError, ProviderTimeoutError)}


def upstream_error(
    message: str,
    provider_id: str,
    failure: FailureKind,
    upstream_status: int | None = None,
    retry_after_s: float | None = None,
    code: str | None = None,
    param: str | None = None,
) -> UpstreamError:
    """Return the failure as an instance of the class for its kind, for code that catches by class."""
    return _CLASS.get(failure, UpstreamError)(
        message, provider_id, failure, upstream_status, retry_after_s, code, param
    )


def internal_error(provider_id: str, request_id: str = "") -> UpstreamError:
    """
    Return the failure for an exception in the gateway's own code; the traceback goes to the log only.

    It says nothing about the provider: it is not retried, no breaker counts it, and no other target is tried.
    """
    which = f" (request {request_id})" if request_id else ""
    message = f"Internal error while asking provider '{provider_id}'{which}; the gateway's log has the cause"
    return upstream_error(message, provider_id, FailureKind.INTERNAL)
