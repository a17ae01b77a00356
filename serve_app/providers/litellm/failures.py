"""
LiteLLM's exceptions as upstream errors.

The kind of a failure follows from the HTTP answer if `http.py` recorded it, because LiteLLM's exceptions mean
different things for different vendors; else from the exception's class and its causes. LiteLLM's own
exceptions never leave this process: they cannot be pickled.

Importing this module imports LiteLLM, which takes seconds: only `provider.py` does so, when it is needed.
"""

import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import aiohttp
import httpx
import litellm
import orjson

from serve_app.errors import FailureKind, UpstreamError, internal_error, upstream_error
from serve_app.providers.address_policy import refused_address_in
from serve_app.providers.failure_kinds import kind_of
from serve_app.providers.litellm.chunks import failure_heard, nothing_heard
from serve_app.providers.litellm.http import AnswerTooLong, Exchange
from serve_app.providers.openai_compatible.failures import (
    broken,
    failure_of_address,
    failure_of_words,
    retry_after_s,
)
from serve_app.providers.timeouts import OutOfTime, out_of_time
from serve_app.providers.vendor_words import SILENT, VendorWords, words_in

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

# What a 400 may be besides a rejected request: Gemini sends it for a wrong key.
_OF_A_REJECTION = frozenset({FailureKind.CONTEXT_LENGTH, FailureKind.CONTENT_FILTER, FailureKind.AUTH})

_WORDS = {
    FailureKind.TIMEOUT: "took too long to answer",
    FailureKind.RATE_LIMITED: "is rate limiting the gateway",
    FailureKind.OVERLOADED: "is overloaded",
    FailureKind.UNREACHABLE: "cannot be reached",
    FailureKind.AUTH: "refused the gateway's credentials",
    FailureKind.NOT_FOUND: "does not have this model",
    FailureKind.CONTEXT_LENGTH: "rejected the request as too long for this model",
    FailureKind.CONTENT_FILTER: "rejected the request because of its content",
    FailureKind.REJECTED: "rejected the request",
}

_TOLD_IN_STREAMS = frozenset({429, 503, 529})

# Faults of a program, not of a request.
_OURS = (RecursionError, MemoryError, ImportError, NameError, AssertionError, NotImplementedError)
_NETWORKS = ("botocore", "google.auth", "urllib3", "requests", "grpc")

_CALLERS = (FailureKind.REJECTED, FailureKind.CONTEXT_LENGTH, FailureKind.CONTENT_FILTER)

WHY_LIMIT = 200  # characters of LiteLLM's message about a request that it cannot translate
_REPEATED = re.compile(r"[{\[\n]|Received|Arguments|File an issue|input=")
_QUOTED = re.compile(r"'[^']{40,}'?|\"[^\"]{40,}\"?")

# "litellm.BadRequestError: AnthropicException - …"
_PREFIXES = re.compile(r"^(?:litellm\.)?\w+Error: (?:\w+ - )?")


def failure_of_litellm(
    error: Exception, exchange: Exchange, provider_id: str, *, now: float, secret: str | None = None
) -> UpstreamError:
    """Return the failure of a LiteLLM exception; `now` is a Unix timestamp, for a Retry-After date."""
    if refused := refused_address_in(exchange.failure) or refused_address_in(error):
        return failure_of_address(refused, provider_id)
    links = list(_chain(error))
    for link in (*links, exchange.failure):
        # A refusal whose body is slow is still a refusal.
        if isinstance(link, OutOfTime) and exchange.status in (None, 200):
            return out_of_time(provider_id, link.limit, link.limit_s)
    if isinstance(exchange.failure, AnswerTooLong):
        megabytes = exchange.answer_limit / 1024**2
        what = f"sent an answer of more than {megabytes:g} MB (max_answer_mb)"
        return broken(provider_id, what, exchange.status)
    if (reported := failure_heard(exchange.heard, provider_id, secret, exchange.status)) is not None:
        return reported
    if not exchange.was_sent and _was_not_sent(links):
        return _before_it_was_sent(links, provider_id, exchange.request_id)
    status = _upstream_status(links) if exchange.status is None else _told_status(links, exchange.status)
    words = _said(links, exchange)
    kind = _kind(links, status) if exchange.status is None else _kind_of_answer(links, status, words)
    if exchange.status is None and isinstance(exchange.failure, httpx.TransportError):
        kind = FailureKind.UNREACHABLE
    if kind is FailureKind.BROKEN and exchange.status == 200 and exchange.failure is None:
        return nothing_heard(exchange.heard, "failed to answer", provider_id, secret, 200)
    if words.message is None and kind in _CALLERS and exchange.heard is None:
        # LiteLLM's message is passed on only if the request was at fault and the answer was not read: in
        # other cases it may contain addresses, or the raw answer.
        words = replace(words, message=_PREFIXES.sub("", str(links[0])))
    wait_s = _retry_after_s(links, exchange, now)
    otherwise = f"Provider '{provider_id}' {_WORDS.get(kind, 'failed to answer')}"
    return failure_of_words(words, kind, provider_id, status, wait_s, secret, otherwise)


def _was_not_sent(links: list[BaseException]) -> bool:
    """
    Return whether no request was sent, not even by the HTTP client of a vendor's SDK.

    A LiteLLM exception about the vendor's state, or a network error, means that a request was sent or that a
    key is missing.
    """
    if any(isinstance(link, class_) for link in links for class_, _ in _BY_CLASS):
        return False
    if any(isinstance(link, httpx.TransportError | aiohttp.ClientError) for link in links):
        return False
    if any(isinstance(link, OSError) or type(link).__module__.startswith(_NETWORKS) for link in links):
        return False
    return not any(isinstance(link, litellm.ServiceUnavailableError) for link in links)


def _before_it_was_sent(links: list[BaseException], provider_id: str, request_id: str) -> UpstreamError:
    """
    Return the failure of a request that LiteLLM refused, or failed to translate for the vendor.

    An exception that no request can cause is an internal error. The request is neither repeated nor logged.
    """
    if any(isinstance(link, _OURS) for link in links):
        return internal_error(provider_id, request_id)
    why = _why(links)
    return upstream_error(
        f"The request cannot be translated for provider '{provider_id}'{f': {why}' if why else ''}",
        provider_id,
        FailureKind.REJECTED,
        code="request_not_translatable",
    )


def _why(links: list[BaseException]) -> str:
    """Return LiteLLM's message about a request that it cannot translate, without the request itself."""
    for link in reversed(links):
        if isinstance(link, KeyError) and link.args and isinstance(link.args[0], str):
            return f"'{link.args[0]}' is missing" if link.args[0].isidentifier() else ""
    texts = [_PREFIXES.sub("", str(getattr(link, "message", None) or link)) for link in links]
    message = next((text for text in texts if text), "")
    message = _REPEATED.split(message, maxsplit=1)[0].strip(" :-.,=(")
    return _QUOTED.sub("…", message)[:WHY_LIMIT]


def _told_status(links: list[BaseException], status: int) -> int:
    """
    Return the status of the answer; for an error within a stream, the status that the error names.

    After a 200, LiteLLM invents statuses for what it cannot read: only those that it never invents count.
    """
    if status != 200:
        return status
    inner = _upstream_status(links)
    return inner if inner in _TOLD_IN_STREAMS else status


def _kind_of_answer(links: list[BaseException], status: int | None, words: VendorWords) -> FailureKind:
    """Return the kind of an answer with this status; for a rejection LiteLLM's classes are more specific."""
    if status is None or status < 400:
        return FailureKind.BROKEN
    kind = kind_of(status, words)
    if kind is FailureKind.REJECTED:
        for class_, special in _BY_CLASS:
            if special in _OF_A_REJECTION and any(isinstance(link, class_) for link in links):
                return special
    return kind


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """Yield the exception and its causes, outermost first."""
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
        return kind_of(status)
    if isinstance(links[0], litellm.ServiceUnavailableError) and len(links) == 1:
        return FailureKind.OVERLOADED
    return FailureKind.BROKEN


def _upstream_status(links: list[BaseException]) -> int | None:
    """
    Return the status that the upstream sent, from the innermost exception that has one.

    LiteLLM's own exceptions count only if they have an answer's headers: without an answer they say 500, and
    they say 500 for 529.
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
    """Return the headers of the answer behind the exception; None or empty if there was no answer."""
    return getattr(link, "litellm_response_headers", None)


def _retry_after_s(links: list[BaseException], exchange: Exchange, now: float) -> float | None:
    if exchange.headers:
        return retry_after_s(exchange.headers, now)
    for link in links:
        for headers in (_headers_of(link), getattr(getattr(link, "response", None), "headers", None)):
            if headers and (seconds := retry_after_s(headers, now)) is not None:
                return seconds
    return None


def _said(links: list[BaseException], exchange: Exchange) -> VendorWords:
    """Return the vendor's own error: the body of its refusal, or what LiteLLM has kept of it."""
    if exchange.heard is not None and exchange.heard.refusal:
        return words_in(exchange.heard.refusal)
    for link in links:
        for body in (getattr(link, "body", None), getattr(link, "message", None)):
            is_json = isinstance(body, dict) or (isinstance(body, str) and body.lstrip()[:1] in ("{", "["))
            if is_json and (found := words_in(body)).message is not None:
                return found
    return SILENT
