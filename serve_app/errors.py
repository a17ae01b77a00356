"""
What the gateway can refuse or fail with.

    SekhaError
    * ConfigError                    the configuration is wrong: the process does not start
    * GatewayError                   a caller is told, with a status and a code
      x InvalidRequest               400, 413, 422: the request itself is at fault
      x Unauthenticated              401: no key, or not one of ours
      x Forbidden                    403: a good key, but not one for this
      x ModelNotAllowed              403: a model or task that is not for this caller
      x ModelNotFound                404: nothing configured goes by that name
      x NoProvidersAvailable         503: nothing configured can do this
      x NoSuitableProviders          503: what could do it may not just now (breaker, cost, operator)
      x LimitReached
        + BudgetExceeded             402: no money left for it
        + PriceUnknown               402: a budget applies to what has no price
        + RateLimitExceeded          429: too many requests, tokens, or requests at once
        + AdminLimitReached          429: operators did something too often within an hour
      x GatewayUnavailable           503: a part of the gateway itself is missing
        + JwksUnavailable            the keys of an identity provider
      x UpstreamError                one attempt at one target failed
        + ReplicaLost                the process that had it died
        + ProviderAuthError          our key was refused
        + ProviderRateLimitError     429
        + ProviderTimeoutError       it took too long

Every error hands all its fields to `Exception`, because it crosses Ray handles and pickle rebuilds an
exception from `args` alone.
"""

from collections.abc import Iterable, Sequence
from enum import StrEnum


class SekhaError(Exception):
    """The root of everything raised here on purpose."""


class ConfigError(SekhaError, ValueError):
    """The configuration cannot be used; the message names file, path and value."""


class GatewayError(SekhaError):
    """
    Something a caller is told about.

    `status` is the HTTP status, `code` a stable word for programs, `kind` OpenAI's error type.
    """

    status = 500
    code = "internal_error"
    kind = "server_error"
    param: str | None = None
    retry_after_s: float | None = None

    @property
    def message(self) -> str:
        return str(self.args[0])

    def __str__(self) -> str:
        return self.message


class InvalidRequest(GatewayError):
    """The request cannot be served by anyone as it stands."""

    kind = "invalid_request_error"

    def __init__(
        self, message: str, param: str | None = None, code: str = "invalid_request", status: int = 400
    ) -> None:
        super().__init__(message, param, code, status)
        self.param = param
        self.code = code
        self.status = status


class Unauthenticated(GatewayError):
    """No key came with the request, or one the gateway does not know."""

    status = 401
    kind = "authentication_error"

    def __init__(self, message: str, code: str = "invalid_api_key") -> None:
        super().__init__(message, code)
        self.code = code


class Forbidden(GatewayError):
    """The key is good, but not for this."""

    status = 403
    code = "forbidden"
    kind = "permission_error"


class ModelNotAllowed(GatewayError):
    """
    The caller may not use this model, or none that could do what was asked.

    `name` is None when no model was named; `allowed` are the models that the caller may use.
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


class ModelNotFound(GatewayError):
    """Nothing configured goes by this name."""

    status = 404
    code = "model_not_found"
    kind = "invalid_request_error"
    param = "model"

    def __init__(self, name: str, known: Sequence[str]) -> None:
        super().__init__(name, tuple(known))
        self.name = name
        self.known = tuple(known)

    @property
    def message(self) -> str:
        return f"The model '{self.name}' does not exist here. There are: {', '.join(self.known)}"


class NoProvidersAvailable(GatewayError, RuntimeError):
    """No configured model can do what was asked, whatever state the providers are in."""

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
    """Models exist that could do it, but each is held back by a breaker, its cost or an operator."""

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
    """A part of the gateway that this request needs is not there just now."""

    status = 503
    code = "gateway_unavailable"

    def __init__(self, message: str, retry_after_s: float | None = None) -> None:
        super().__init__(message, retry_after_s)
        self.retry_after_s = retry_after_s


class LimitReached(GatewayError):
    """A budget or a rate does not allow this request; `limit_id` says which, `unit` what it counts."""

    limit_id = ""
    unit = "dollars"

    @property
    def reason(self) -> str:
        """What stands in a target's way, in a few words."""
        return self.message


class BudgetExceeded(LimitReached):
    """
    The budget has no room for what the request may cost; amounts are in US dollars.

    `resets_in_s` is when the budget's window ends; None when it never does.
    """

    status = 402
    code = "BUDGET_EXCEEDED"
    kind = "insufficient_quota"

    def __init__(
        self,
        limit_id: str,
        window: str,
        limit: float,
        current: float,
        requested_cost: float,
        resets_in_s: float | None = None,
    ) -> None:
        super().__init__(limit_id, window, limit, current, requested_cost, resets_in_s)
        self.limit_id = limit_id
        self.window = window
        self.limit = limit
        self.current = current
        self.requested_cost = requested_cost
        self.resets_in_s = resets_in_s

    @property
    def message(self) -> str:
        return (
            f"The budget '{self.limit_id}' of ${self.limit:g} ({self.window}) has no room for this request: "
            f"${self.current:.6g} is spent, and this may cost up to ${self.requested_cost:.6g}. "
            "Ask for less (max_tokens), or have the budget raised"
        )

    @property
    def reason(self) -> str:
        return (
            f"may cost up to ${self.requested_cost:.6g}, for which the budget '{self.limit_id}' has no room"
        )

    @property
    def detail(self) -> dict[str, object]:
        """Code, message and figures, as the seed's admin API tells errors (contract 6.2)."""
        details = {
            "budget": self.limit_id,
            "window": self.window,
            "limit": self.limit,
            "current": self.current,
            "requested_cost": self.requested_cost,
            "resets_in_s": self.resets_in_s,
        }
        return {"code": self.code, "message": self.message, "details": details}


class PriceUnknown(LimitReached):
    """A budget applies, and nobody knows what this target costs."""

    status = 402
    code = "price_unknown"
    kind = "insufficient_quota"

    def __init__(self, target: str, limit_id: str) -> None:
        super().__init__(target, limit_id)
        self.target = target
        self.limit_id = limit_id

    @property
    def reason(self) -> str:
        return f"its price is unknown and the budget '{self.limit_id}' applies"

    @property
    def message(self) -> str:
        return (
            f"The budget '{self.limit_id}' applies, and the price of '{self.target}' is unknown: "
            "configure cost_per_1k_input and cost_per_1k_output for it"
        )


class RateLimitExceeded(LimitReached):
    """As many requests or tokens as are allowed were used; `retry_after_s` is when there are more."""

    status = 429
    code = "RATE_LIMIT_EXCEEDED"
    kind = "rate_limit_error"

    def __init__(self, limit_id: str, unit: str, limit: int, remaining: int, retry_after_s: float) -> None:
        super().__init__(limit_id, unit, limit, remaining, retry_after_s)
        self.limit_id = limit_id
        self.unit = unit
        self.limit = limit
        self.remaining = remaining
        self.retry_after_s = retry_after_s

    @property
    def message(self) -> str:
        what = "requests at once" if self.unit == "concurrent" else f"{self.unit} per minute"
        return f"The limit '{self.limit_id}' of {self.limit} {what} is reached"

    @property
    def detail(self) -> dict[str, object]:
        """Code, message and figures."""
        details = {
            "limit_id": self.limit_id,
            "unit": self.unit,
            "limit": self.limit,
            "remaining": self.remaining,
            "retry_after_s": self.retry_after_s,
        }
        return {"code": self.code, "message": self.message, "details": details}


class AdminLimitReached(LimitReached):
    """
    Operators did something as often as they may within an hour; `resets_at` is when they may again.

    That is in seconds since the epoch.
    """

    status = 429
    code = "RATE_LIMIT_EXCEEDED"
    kind = "rate_limit_error"
    remaining = 0

    def __init__(self, what: str, limit: int, resets_at: float, retry_after_s: float) -> None:
        super().__init__(what, limit, resets_at, retry_after_s)
        self.what = what
        self.limit = limit
        self.resets_at = resets_at
        self.retry_after_s = retry_after_s

    @property
    def message(self) -> str:
        return f"The limit of {self.limit} {self.what} within an hour is reached"

    @property
    def detail(self) -> dict[str, object]:
        """Code, message and figures."""
        details = {"what": self.what, "limit": self.limit, "remaining": 0, "resets_at": self.resets_at}
        return {"code": self.code, "message": self.message, "details": details}


class JwksUnavailable(GatewayUnavailable):
    """A token may be good, but the key to check it with is out of reach."""

    code = "jwks_unavailable"
    retry_after_s = 30.0


class FailureKind(StrEnum):
    """Why one attempt failed: the small closed set that decides what happens next."""

    TIMEOUT = "timeout"
    RATE_LIMITED = "rate_limited"  # 429
    OVERLOADED = "overloaded"  # 503, 529
    SATURATED = "saturated"  # our own queue in front of it is full
    UNREACHABLE = "unreachable"  # refused, reset, no such host
    BROKEN = "broken"  # other 5xx, garbled or cut-off answers
    AUTH = "auth"  # 401, 403: our key, never the caller's
    NOT_FOUND = "not_found"  # 404: the upstream does not have this model
    CONTEXT_LENGTH = "context_length"  # 400: too long for this model
    CONTENT_FILTER = "content_filter"  # 400: refused for what it says
    REJECTED = "rejected"  # other 4xx: the caller's request is at fault


_STATUS = {
    FailureKind.TIMEOUT: 504,
    FailureKind.RATE_LIMITED: 429,
    FailureKind.OVERLOADED: 503,
    FailureKind.SATURATED: 429,
    FailureKind.UNREACHABLE: 502,
    FailureKind.BROKEN: 502,
    FailureKind.AUTH: 502,
    FailureKind.NOT_FOUND: 502,
    FailureKind.CONTEXT_LENGTH: 400,
    FailureKind.CONTENT_FILTER: 400,
    FailureKind.REJECTED: 400,
}

_CALLERS_FAULT = frozenset({FailureKind.CONTEXT_LENGTH, FailureKind.CONTENT_FILTER, FailureKind.REJECTED})


class UpstreamError(GatewayError):
    """
    One attempt at one provider failed.

    `upstream_status` is what the provider answered, where it answered at all; `status` is what the caller
    sees if this failure is the last word. A provider's 401 is never the caller's 401. Without a `failure` it
    is of the kind its class is for.
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
        self.code = code or f"upstream_{failure}"
        self.kind = "invalid_request_error" if failure in _CALLERS_FAULT else "upstream_error"
        if failure in (FailureKind.RATE_LIMITED, FailureKind.SATURATED):
            self.kind = "rate_limit_error"
        self.status = _STATUS[failure]
        if failure is FailureKind.REJECTED and upstream_status is not None:
            self.status = upstream_status

    @property
    def retry_after(self) -> float | None:
        """Seconds until it makes sense to try again, where the provider said so (the seed's name)."""
        return self.retry_after_s

    @property
    def original_error(self) -> BaseException | None:
        """What this was made from, in the process it was made in; causes do not travel."""
        return self.__cause__

    @property
    def callers_fault(self) -> bool:
        """True when no other target would like the request better and no breaker should count it."""
        return self.failure in _CALLERS_FAULT

    @property
    def retryable(self) -> bool:
        """True when the same call may well succeed later (contract 3.5, case 50)."""
        return not self.callers_fault and self.failure not in (FailureKind.AUTH, FailureKind.NOT_FOUND)


ProviderError = UpstreamError  # the seed's name for it (contract 3.5)


class ReplicaLost(UpstreamError):
    """
    The process that had the request has died: nobody knows what came of it, and what it cost.

    `replica` tells one that died from the next, where it is known.
    """

    usual = FailureKind.UNREACHABLE

    def __init__(self, message: str, provider_id: str, replica: str | None = None) -> None:
        super().__init__(message, provider_id)
        self.args = (message, provider_id, replica)
        self.replica = replica


class ProviderAuthError(UpstreamError):
    """The provider refused our key."""

    usual = FailureKind.AUTH


class ProviderRateLimitError(UpstreamError):
    """The provider asks us to slow down; `retry_after_s` says for how long, where it said so."""

    usual = FailureKind.RATE_LIMITED


class ProviderTimeoutError(UpstreamError):
    """The provider took longer than it was given."""

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
    """The failure as the class that goes with its kind, for callers who catch by class."""
    return _CLASS.get(failure, UpstreamError)(
        message, provider_id, failure, upstream_status, retry_after_s, code, param
    )
