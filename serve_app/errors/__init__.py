"""
What the gateway can refuse or fail with.

    SekhaError
    * ConfigError                    the configuration is wrong: the process does not start
    * GatewayError                   reaches the caller, with a status and a code
      x InvalidRequest               400, 413, 422: the request itself is at fault
      x Unauthenticated              401: the key is missing or unknown
      x TooManyWrongKeys             429: too many wrong keys from one address
      x Forbidden                    403: the key is valid, but lacks the permission
      x ModelNotAllowed              403: the caller may not use the model or task
      x ModelNotFound                404: no configured model has the name
      x NoProvidersAvailable         503: no configured model can serve the request
      x NoSuitableProviders          503: every capable model is held back (breaker, cost, operator)
      x LimitReached
        + BudgetExceeded             402: the budget has no room for the request
        + PriceUnknown               402: a budget or a cost limit applies, and the target has no price
        + CostLimitReached           402: the named model costs more than the cost limit
        + RateLimitExceeded          429: too many requests, tokens, or requests at once
        + AdminLimitReached          429: an operation exceeded its limit per hour
      x GatewayUnavailable           503: a part of the gateway itself is unavailable
        + JwksUnavailable            the keys of an identity provider
      x UpstreamError                one attempt at one target failed
        + ReplicaLost                the process that served it died
        + ProviderAuthError          the provider refused the gateway's key
        + ProviderRateLimitError     429
        + ProviderTimeoutError       a timeout passed

Every error passes all its fields to `Exception`, because errors cross Ray handles and pickle rebuilds an
exception from `args` alone.
"""

import difflib
from collections.abc import Iterable, Sequence

from serve_app.errors.base import (
    ConfigError,
    GatewayError,
    SekhaError,
)
from serve_app.errors.limits import (
    AdminLimitReached,
    BudgetExceeded,
    CostLimitReached,
    LimitReached,
    PriceUnknown,
    RateLimitExceeded,
    SoundLengthUnknown,
    ToolPriceUnknown,
)
from serve_app.errors.redaction import redacted
from serve_app.errors.upstream import (
    FailureKind,
    ProviderAuthError,
    ProviderError,
    ProviderRateLimitError,
    ProviderTimeoutError,
    ReplicaLost,
    UpstreamError,
    internal_error,
    upstream_error,
)

__all__ = [
    "AdminLimitReached",
    "BudgetExceeded",
    "ConfigError",
    "CostLimitReached",
    "FailureKind",
    "Forbidden",
    "GatewayError",
    "GatewayUnavailable",
    "InvalidRequest",
    "JwksUnavailable",
    "LimitReached",
    "ModelNotAllowed",
    "ModelNotFound",
    "NoProvidersAvailable",
    "NoSuitableProviders",
    "PriceUnknown",
    "ProviderAuthError",
    "ProviderError",
    "ProviderRateLimitError",
    "ProviderTimeoutError",
    "RateLimitExceeded",
    "ReplicaLost",
    "SekhaError",
    "SoundLengthUnknown",
    "ToolPriceUnknown",
    "Unauthenticated",
    "UpstreamError",
    "internal_error",
    "redacted",
    "upstream_error",
]


LONGEST_NAME_TOLD = 200  # characters of a caller's text that a message repeats


class InvalidRequest(GatewayError):
    """The request is at fault: no target could serve it."""

    kind = "invalid_request_error"

    def __init__(
        self, message: str, param: str | None = None, code: str = "invalid_request", status: int = 400
    ) -> None:
        super().__init__(message, param, code, status)
        self.param = param
        self.code = code
        self.status = status


class Unauthenticated(GatewayError):
    """The request has no key, or an unknown one."""

    status = 401
    kind = "authentication_error"

    def __init__(self, message: str, code: str = "invalid_api_key") -> None:
        super().__init__(message, code)
        self.code = code


class TooManyWrongKeys(GatewayError):
    """The address has sent too many wrong keys; a valid key is still accepted."""

    status = 429
    code = "too_many_wrong_keys"
    kind = "rate_limit_error"

    def __init__(self, retry_after_s: float) -> None:
        super().__init__(retry_after_s)
        self.retry_after_s = retry_after_s

    @property
    def message(self) -> str:
        return f"Too many wrong API keys came from this address: retry in {self.retry_after_s:.0f} s"


class Forbidden(GatewayError):
    """The key is valid, but lacks the permission."""

    status = 403
    kind = "permission_error"

    def __init__(self, message: str, code: str = "forbidden") -> None:
        super().__init__(message, code)
        self.code = code


class ModelNotAllowed(GatewayError):
    """
    The caller may not use the named model, or any model that could serve the request.

    Attributes:
        name: the named model; None: the request named none.
        allowed: the models that the caller may use.
    """

    status = 403
    code = "model_not_allowed"
    kind = "permission_error"
    param = "model"

    def __init__(self, name: str | None, allowed: Iterable[str]) -> None:
        self.name = name
        self.allowed = tuple(allowed)
        super().__init__(name, self.allowed)

    @property
    def message(self) -> str:
        what = "any model that could do this" if self.name is None else f"the model '{self.name}'"
        return f"This key may not use {what}. It may use: {', '.join(self.allowed) or 'none'}"


# The paths of tasks that no chat has.
_PATHS = {
    "embedding": "/v1/embeddings",
    "rerank": "/v1/rerank",
    "speech": "/v1/audio/speech",
    "transcription": "/v1/audio/transcriptions",
    "moderation": "/v1/moderations",
    "image_generation": "/v1/images/generations",
}


class ModelNotFound(GatewayError):
    """
    No configured model has this name, or the model serves other tasks.

    Attributes:
        known: the names that would be accepted; the message suggests the nearest.
        serves: the tasks of the model, where it exists; else empty.
    """

    status = 404
    code = "model_not_found"
    kind = "invalid_request_error"
    param = "model"

    def __init__(self, name: str, known: Sequence[str], serves: Sequence[str] = ()) -> None:
        super().__init__(name, tuple(known), tuple(serves))
        self.name = name
        self.known = tuple(known)
        self.serves = tuple(serves)

    @property
    def message(self) -> str:
        shown = self.name[:LONGEST_NAME_TOLD]
        there = f"Available: {', '.join(self.known)}"
        if self.serves:
            tasks = ", ".join(dict.fromkeys(self.serves))
            path = next((_PATHS[task] for task in self.serves if task in _PATHS), "/v1/chat/completions")
            return (
                f"The model '{shown}' does not serve this endpoint; it is for {tasks} (POST {path}). {there}"
            )
        near = _nearest(shown, self.known)
        hint = f"; did you mean '{near}'?" if near else "."
        return f"The model '{shown}' does not exist{hint} {there}"


class NoProvidersAvailable(GatewayError, RuntimeError):
    """No configured model can serve the request, whatever the state of the providers."""

    status = 503
    code = "no_providers_available"

    def __init__(self, task: str, vision: bool = False, why: str = "") -> None:
        super().__init__(task, vision, why)
        self.task = task
        self.vision = vision
        self.why = why

    @property
    def message(self) -> str:
        note = f": {self.why}" if self.why else ""
        return f"No providers available for task '{self.task}' (vision={self.vision}){note}"


class NoSuitableProviders(GatewayError, RuntimeError):
    """Some models could serve the request, but a breaker, the cost or an operator holds each back."""

    status = 503
    code = "no_suitable_providers"

    def __init__(self, task: str, why: str = "", retry_after_s: float | None = None) -> None:
        super().__init__(task, why, retry_after_s)
        self.task = task
        self.why = why
        self.retry_after_s = retry_after_s

    @property
    def message(self) -> str:
        note = f": {self.why}" if self.why else ""
        return f"No suitable providers available for task '{self.task}'{note}"


class GatewayUnavailable(GatewayError):
    """A part of the gateway that this request needs is temporarily unavailable."""

    status = 503
    code = "gateway_unavailable"

    def __init__(self, message: str, retry_after_s: float | None = None) -> None:
        super().__init__(message, retry_after_s)
        self.retry_after_s = retry_after_s


class JwksUnavailable(GatewayUnavailable):
    """The key that verifies a token cannot be fetched, so the token may be valid or not."""

    code = "jwks_unavailable"
    retry_after_s = 30.0


def _nearest(name: str, known: Sequence[str]) -> str | None:
    """
    Return the name that was probably meant; None: none is near.

    Prefer the longest known name of which this is a dated or suffixed form, with or without a provider or
    vendor prefix; else a name with a similar spelling.
    """
    bare = name.lower().rpartition("/")[2]
    stems = [k for k in known if bare.startswith(stem := k.lower().rpartition("/")[2]) and len(stem) > 2]
    if stems:
        return max(stems, key=len)
    by_lower = {k.lower(): k for k in known}
    near = difflib.get_close_matches(name.lower(), list(by_lower), n=1, cutoff=0.75)
    return by_lower[near[0]] if near else None
