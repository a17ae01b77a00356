"""
What happened, as values that listeners read: metrics, logs and, later, the ledger are made from these and
nowhere else.
"""

from collections.abc import Callable
from dataclasses import dataclass

from serve_app.accounting.usage import Usage
from serve_app.errors import UpstreamError


@dataclass(frozen=True, slots=True)
class AttemptFailed:
    """One call to one target failed; `attempt` counts from 1 within the request."""

    request_id: str
    provider_id: str
    model_id: str
    attempt: int
    error: UpstreamError


@dataclass(frozen=True, slots=True)
class RequestServed:
    """
    A request got its answer, whole.

    Spans in seconds: `duration_s` from admission to the last byte; `upstream_s` waiting for the provider, of
    a stream until its first word; `first_token_s` for streams only, from admission to the first word. `cost`
    in nano-dollars, None when the price is unknown.
    """

    request_id: str
    operation: str
    task: str
    provider_id: str
    model_id: str
    attempts: int
    usage: Usage
    cost: int | None
    duration_s: float
    upstream_s: float
    first_token_s: float | None = None


@dataclass(frozen=True, slots=True)
class RequestFailed:
    """A request got an error instead of an answer, or an answer cut short."""

    request_id: str
    operation: str
    task: str
    code: str
    status: int
    attempts: int
    duration_s: float


@dataclass(frozen=True, slots=True)
class RequestAbandoned:
    """The caller went away before the answer was complete."""

    request_id: str
    operation: str
    task: str
    provider_id: str | None
    duration_s: float


@dataclass(frozen=True, slots=True)
class HttpAnswered:
    """An HTTP request ended; `route` is the pattern that matched, 499 says that the caller went away."""

    method: str
    route: str
    status: int


Event = HttpAnswered | AttemptFailed | RequestServed | RequestFailed | RequestAbandoned
Listener = Callable[[Event], None]
