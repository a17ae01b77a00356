"""
What happened, as values that listeners read: metrics, logs and, later, the ledger are made from these and
nowhere else.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from serve_app.errors import LimitReached, UpstreamError
from serve_app.pricing.usage import Usage
from serve_app.providers.base import HealthStatus


@dataclass(frozen=True, slots=True)
class AttemptFailed:
    """
    One call to one target failed.

    `attempt` counts from 1 within the request, `retries` from 0 at this target. `retry_in_s`: the same target
    is asked again after so many seconds; None: it is given up. What had been produced by then is in `usage`
    and `cost` (nano-dollars), None where nothing was.
    """

    request_id: str
    provider_id: str
    model_id: str
    attempt: int
    error: UpstreamError
    retries: int = 0
    retry_in_s: float | None = None
    usage: Usage | None = None
    cost: int | None = None


class RequestServed(NamedTuple):
    """
    A request got its answer, whole.

    Spans in seconds: `duration_s` from admission to the last byte; `upstream_s` waiting for the provider, of
    a stream until its first word; `first_token_s` for streams only, from admission to the first word. `cost`
    in nano-dollars, None when the price is unknown. `fell_back`: it came from another target than the first
    choice.
    """

    request_id: str
    operation: str
    task: str
    provider_id: str
    model_id: str
    attempts: int
    fell_back: bool
    usage: Usage
    cost: int | None
    duration_s: float
    upstream_s: float
    first_token_s: float | None = None
    dropped_frames: int = 0


@dataclass(frozen=True, slots=True)
class RequestFailed:
    """
    A request got an error instead of an answer, or an answer cut short.

    `limit` is what it was refused for, where a budget or a rate did that.
    """

    request_id: str
    operation: str
    task: str
    code: str
    status: int
    attempts: int
    duration_s: float
    limit: LimitReached | None = None


@dataclass(frozen=True, slots=True)
class RequestAbandoned:
    """
    The caller went away before the answer was complete.

    Where a provider was at work by then, `usage` and `cost` (nano-dollars) are what that is reckoned to come
    to.
    """

    request_id: str
    operation: str
    task: str
    provider_id: str | None
    model_id: str | None
    usage: Usage | None
    cost: int | None
    duration_s: float


class NotKept(StrEnum):
    """Why a response was not kept although its caller let it be."""

    TOO_LARGE = "too_large"
    NOT_A_RESPONSE = "not_a_response"
    STORE_UNAVAILABLE = "store_unavailable"


class ResponseNotKept(NamedTuple):
    """A response was given and not kept, so that no request can go on from it."""

    request_id: str
    reason: NotKept


class HttpAnswered(NamedTuple):
    """An HTTP request ended; `route` is the pattern that matched, 499 says that the caller went away."""

    method: str
    route: str
    status: int


@dataclass(frozen=True, slots=True)
class HealthChanged:
    """A look at a provider's upstream found it otherwise than the look before; `error` says what is wrong."""

    provider_id: str
    before: HealthStatus
    after: HealthStatus
    error: str | None


Event = (
    HttpAnswered
    | AttemptFailed
    | RequestServed
    | RequestFailed
    | RequestAbandoned
    | ResponseNotKept
    | HealthChanged
)
Listener = Callable[[Event], None]
