"""
What went wrong behind LiteLLM, in the gateway's words.

Told by what HTTP said where that was noted (`litellm_http`), because LiteLLM's exceptions mean different
things at different vendors; else by the exception's class, and by what lies beneath it. LiteLLM's own
exceptions never leave this process: they do not survive being pickled.

Importing this module imports LiteLLM, which takes seconds: only `litellm_provider` does, once it must.
"""

import re
from collections.abc import Iterator
from typing import Any

import aiohttp
import httpx
import litellm
import openai
import orjson

from serve_app.errors import FailureKind, UpstreamError, upstream_error
from serve_app.providers.limits import OutOfTime, out_of_time
from serve_app.providers.litellm_http import AnswerTooLong, Exchange
from serve_app.providers.wire_failures import broken, clean, kind_of, retry_after_s

# What a call of LiteLLM raises on purpose; and what it stumbles with over an answer it did not expect.
EXPECTED = (
    *(openai.OpenAIError, httpx.HTTPError, OSError),
    *(ValueError, TypeError, LookupError, AttributeError),
)

# From the special to the general: several of them inherit from BadRequestError.
_BY_CLASS: tuple[tuple[type[Exception], FailureKind], ...] = (
    (litellm.ContextWindowExceededError, FailureKind.CONTEXT_LENGTH),
    (litellm.ContentPolicyViolationError, FailureKind.CONTENT_FILTER),
    (litellm.RateLimitError, FailureKind.RATE_LIMITED),
    (litellm.AuthenticationError, FailureKind.AUTH),
    (litellm.PermissionDeniedError, FailureKind.AUTH),
    (litellm.NotFoundError, FailureKind.NOT_FOUND),
    (litellm.LiteLLMUnknownProvider, FailureKind.NOT_FOUND),
    (litellm.Timeout, FailureKind.TIMEOUT),
    (TimeoutError, FailureKind.TIMEOUT),
)

# What a 400 may be besides a rejected request: Gemini says with it that our key is wrong.
_OF_A_REJECTION = frozenset({FailureKind.CONTEXT_LENGTH, FailureKind.CONTENT_FILTER, FailureKind.AUTH})

_WORDS = {
    FailureKind.TIMEOUT: "took too long to answer",
    FailureKind.RATE_LIMITED: "asks us to slow down",
    FailureKind.OVERLOADED: "is overloaded",
    FailureKind.UNREACHABLE: "cannot be reached",
    FailureKind.AUTH: "refused our key",
    FailureKind.NOT_FOUND: "does not have this model",
    FailureKind.CONTEXT_LENGTH: "finds the request too long for this model",
    FailureKind.CONTENT_FILTER: "refused the request for what it says",
    FailureKind.REJECTED: "rejected the request",
}

_STABLE_CODE = {
    FailureKind.CONTEXT_LENGTH: "context_length_exceeded",
    FailureKind.CONTENT_FILTER: "content_filter",
}

_TOLD_IN_STREAMS = frozenset({429, 503, 529})

# "litellm.BadRequestError: AnthropicException - …"
_PREFIXES = re.compile(r"^(?:litellm\.)?\w+Error: (?:\w+ - )?")


def failure_of_litellm(
    error: Exception, exchange: Exchange, provider_id: str, *, now: float, secret: str | None = None
) -> UpstreamError:
    """An exception out of LiteLLM as a value; `now` is seconds since the epoch, for a Retry-After date."""
    links = list(_chain(error))
    for link in (*links, exchange.failure):
        # A refusal that is slow to explain itself is still a refusal.
        if isinstance(link, OutOfTime) and exchange.status in (None, 200):
            return out_of_time(provider_id, link.limit, link.limit_s)
    if isinstance(exchange.failure, AnswerTooLong):
        megabytes = exchange.answer_limit / 1024**2
        what = f"sent an answer of more than {megabytes:g} MB (max_answer_mb)"
        return broken(provider_id, what, exchange.status)
    status = _upstream_status(links) if exchange.status is None else _told_status(links, exchange.status)
    kind = _kind(links, status) if exchange.status is None else _kind_of_answer(links, status)
    if exchange.status is None and isinstance(exchange.failure, httpx.TransportError):
        kind = FailureKind.UNREACHABLE
    return upstream_error(
        _message(links, kind, secret) or f"Provider '{provider_id}' {_WORDS.get(kind, 'failed to answer')}",
        provider_id,
        kind,
        upstream_status=status,
        retry_after_s=_retry_after_s(links, exchange, now),
        code=_STABLE_CODE.get(kind),
    )


def _told_status(links: list[BaseException], status: int) -> int:
    """
    The status of the answer; for an error in the middle of a stream, the one it speaks of.

    After a 200, LiteLLM makes up statuses for whatever it cannot read: only those that it never does count.
    """
    if status != 200:
        return status
    inner = _upstream_status(links)
    return inner if inner in _TOLD_IN_STREAMS else status


def _kind_of_answer(links: list[BaseException], status: int | None) -> FailureKind:
    """What an answer with this status was: the vendor's reasons for refusing a request, LiteLLM knows."""
    if status is None or status < 400:
        return FailureKind.BROKEN
    kind = kind_of(status, _error_in(links))
    if kind is FailureKind.REJECTED:
        for class_, special in _BY_CLASS:
            if special in _OF_A_REJECTION and any(isinstance(link, class_) for link in links):
                return special
    return kind


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """The exception and what it was raised from, outermost first."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = getattr(error, "original_exception", None) or error.__cause__ or error.__context__


def _kind(links: list[BaseException], status: int | None) -> FailureKind:
    for link in links:
        for class_, kind in _BY_CLASS:
            if isinstance(link, class_):
                return kind
    if any(isinstance(link, aiohttp.ClientPayloadError | orjson.JSONDecodeError) for link in links):
        return FailureKind.BROKEN
    if any(isinstance(link, httpx.TimeoutException) for link in links):
        return FailureKind.TIMEOUT
    if any(isinstance(link, httpx.TransportError) for link in links):
        return FailureKind.UNREACHABLE
    if status is not None:
        return kind_of(status, {})
    if isinstance(links[0], litellm.ServiceUnavailableError) and len(links) == 1:
        return FailureKind.OVERLOADED
    # LiteLLM refused before it sent anything: the request cannot be translated.
    if isinstance(links[0], litellm.BadRequestError | litellm.UnprocessableEntityError):
        return FailureKind.REJECTED
    return FailureKind.BROKEN


def _upstream_status(links: list[BaseException]) -> int | None:
    """
    The status that the upstream sent, from the innermost exception that knows one.

    LiteLLM's own exceptions are not asked unless an answer came: they say 500 where there was none, and 500
    for 529.
    """
    if any(isinstance(link, httpx.TransportError) for link in links):
        return None
    for link in reversed(links):
        status = getattr(link, "status_code", None)
        is_litellms = type(link).__module__ == litellm.exceptions.__name__
        if isinstance(status, int) and not (is_litellms and _headers_of(link) is None):
            return status
    return None


def _headers_of(link: BaseException) -> Any:
    """The headers of the answer that the exception was made from; None or empty where there was no answer."""
    return getattr(link, "litellm_response_headers", None)


def _retry_after_s(links: list[BaseException], exchange: Exchange, now: float) -> float | None:
    if exchange.headers:
        return retry_after_s(exchange.headers, now)
    for link in links:
        for headers in (_headers_of(link), getattr(getattr(link, "response", None), "headers", None)):
            if headers and (seconds := retry_after_s(headers, now)) is not None:
                return seconds
    return None


def _message(links: list[BaseException], kind: FailureKind, secret: str | None) -> str | None:
    """
    The upstream's own words, from the JSON it sent.

    LiteLLM's wording is passed on only where the request was at fault: elsewhere it holds addresses.
    """
    for link in links:
        if text := _sentence_in(getattr(link, "message", None)):
            return clean(text, secret)
    if kind in (FailureKind.REJECTED, FailureKind.CONTEXT_LENGTH, FailureKind.CONTENT_FILTER):
        return clean(_PREFIXES.sub("", str(links[0])), secret)
    return None


def _error_in(links: list[BaseException]) -> dict[str, Any]:
    """The upstream's own error object, wherever LiteLLM has left it."""
    for link in links:
        for body in (getattr(link, "body", None), getattr(link, "message", None)):
            if error := _error_object(body):
                return error
    return {}


def _sentence_in(body: Any) -> str | None:
    text = _error_object(body).get("message")
    return text if isinstance(text, str) and text else None


def _error_object(body: Any) -> dict[str, Any]:
    if isinstance(body, str | bytes):
        try:
            body = orjson.loads(body)
        except orjson.JSONDecodeError:
            return {}
    error = body.get("error", body) if isinstance(body, dict) else None
    return error if isinstance(error, dict) else {}
