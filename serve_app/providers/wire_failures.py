"""
What went wrong at an OpenAI-compatible upstream, in the gateway's words.

Told by the HTTP status first, and only then by the code and type in OpenAI's error object. The wording of a
message counts in one case: servers such as vLLM say in no other way that a request is too long.
"""

import math
import os
import re
from collections.abc import Mapping
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import Any

import aiohttp
import orjson

from serve_app.errors import FailureKind, UpstreamError, upstream_error
from serve_app.providers.limits import OutOfTime, out_of_time

MESSAGE_LIMIT = 500  # characters of an upstream's message that are passed on

_BY_STATUS = {
    401: FailureKind.AUTH,
    402: FailureKind.AUTH,  # our account is out of credit: not the caller's fault, and no retry helps
    403: FailureKind.AUTH,
    404: FailureKind.NOT_FOUND,
    408: FailureKind.TIMEOUT,
    429: FailureKind.RATE_LIMITED,
    503: FailureKind.OVERLOADED,
    504: FailureKind.TIMEOUT,
    529: FailureKind.OVERLOADED,
}

_BY_CODE = {
    "context_length_exceeded": FailureKind.CONTEXT_LENGTH,
    "exceed_context_size_error": FailureKind.CONTEXT_LENGTH,  # llama.cpp
    "content_filter": FailureKind.CONTENT_FILTER,
    "content_policy_violation": FailureKind.CONTENT_FILTER,
    "model_not_found": FailureKind.NOT_FOUND,
    "rate_limit_exceeded": FailureKind.RATE_LIMITED,
    "invalid_api_key": FailureKind.AUTH,
    "insufficient_quota": FailureKind.AUTH,  # as 402: OpenAI says it with a 429, and no wait mends it
}
_ALSO_OF_429 = frozenset({"insufficient_quota"})

_TOO_LONG = re.compile(
    r"maximum context length|exceed\w* (\w+ ){0,3}context (length|window|size)"
    r"|prompt is too long|too many (input )?tokens",
    re.IGNORECASE,
)

_STABLE_CODE = {
    FailureKind.CONTEXT_LENGTH: "context_length_exceeded",
    FailureKind.CONTENT_FILTER: "content_filter",
}

# What reading from a connection may raise; TimeoutError is asyncio's as well as aiohttp's.
NETWORK = (aiohttp.ClientError, TimeoutError, OSError)


def failure_of_response(
    status: int,
    headers: Mapping[str, str],
    body: bytes,
    provider_id: str,
    *,
    now: float,
    secret: str | None = None,
) -> UpstreamError:
    """
    An answer that is not a success.

    `now` is seconds since the epoch, to read a Retry-After that is a date. `secret` is our key, which an
    upstream may repeat to us and nobody else may see.
    """
    error = _error_object(body)
    kind = kind_of(status, error)
    return upstream_error(
        _message(error, secret) or f"Provider '{provider_id}' answered HTTP {status}",
        provider_id,
        kind,
        upstream_status=status,
        retry_after_s=retry_after_s(headers, now),
        code=_code(kind, error, secret),
        param=_word(error.get("param"), secret),
    )


def failure_of_error(error: Any, provider_id: str, secret: str | None = None) -> UpstreamError:
    """
    An error object inside an answer or a stream that had begun with HTTP 200.

    Some servers put an HTTP status into its `code`, and are believed; else the answer is simply broken.
    """
    facts = error if isinstance(error, dict) else {"message": error}
    status = facts.get("code")
    if not isinstance(status, int) or not 400 <= status <= 599:
        status = None
    named = _BY_CODE.get(str(facts.get("code"))) or _BY_CODE.get(str(facts.get("type")))
    kind = kind_of(status, facts) if status else named or FailureKind.BROKEN
    return upstream_error(
        _message(facts, secret) or f"Provider '{provider_id}' reported an error in its answer",
        provider_id,
        kind,
        upstream_status=status,
        code=_code(kind, facts, secret),
        param=_word(facts.get("param"), secret),
    )


def failure_of_exception(error: Exception, provider_id: str) -> UpstreamError:
    """No answer at all, or one that cannot be read. Internal addresses stay out of the message."""
    match error:
        case OutOfTime():
            return out_of_time(provider_id, error.limit, error.limit_s)
        case TimeoutError():
            kind, what = FailureKind.TIMEOUT, "took too long to answer"
        case aiohttp.ClientConnectorDNSError():
            kind, what = FailureKind.UNREACHABLE, "cannot be reached: no such host"
        case OSError(errno=int(number)) if number > 0:
            kind, what = FailureKind.UNREACHABLE, f"cannot be reached: {os.strerror(number)}"
        case aiohttp.ClientConnectionError() | aiohttp.InvalidURL() | OSError():
            kind, what = FailureKind.UNREACHABLE, f"cannot be reached: {type(error).__name__}"
        case _:
            kind, what = FailureKind.BROKEN, f"sent an answer that cannot be read: {type(error).__name__}"
    return upstream_error(f"Provider '{provider_id}' {what}", provider_id, kind)


def broken(provider_id: str, what: str, status: int | None = None) -> UpstreamError:
    """The upstream answered, and the answer is of no use."""
    return upstream_error(f"Provider '{provider_id}' {what}", provider_id, FailureKind.BROKEN, status)


def too_much(provider_id: str, limit: float) -> UpstreamError:
    """A whole answer that is longer than any should be."""
    megabytes = limit / 1024**2
    return broken(provider_id, f"sent an answer of more than {megabytes:g} MB (max_answer_mb)", 200)


def too_much_of_nothing(provider_id: str, limit: float) -> UpstreamError:
    """A stream that announces an answer on and on, and never begins it."""
    megabytes = limit / 1024**2
    return broken(provider_id, f"sent more than {megabytes:g} MB before the first token (max_answer_mb)", 200)


def kind_of(status: int, error: Mapping[str, Any]) -> FailureKind:
    """The kind of failure that goes with a status and, among the 4xx that say little, with a code."""
    if 400 <= status < 500 and status not in (401, 408):
        for word in ("code", "type"):
            name = str(error.get(word))
            if name in _BY_CODE and (status != 429 or name in _ALSO_OF_429):
                return _BY_CODE[name]
    if status in (400, 413, 422) and _TOO_LONG.search(str(error.get("message"))):
        return FailureKind.CONTEXT_LENGTH
    return _BY_STATUS.get(status) or (FailureKind.REJECTED if 400 <= status < 500 else FailureKind.BROKEN)


def retry_after_s(headers: Mapping[str, str], now: float) -> float | None:
    """
    Seconds to wait, as the upstream said it in one of the ways there are; None when it did not.

    In milliseconds (OpenAI), in seconds or as a date (HTTP), or when a limit that is used up will be filled
    again (Anthropic).
    """
    lower = {name.lower(): value for name, value in headers.items()}
    if (milliseconds := _number(lower.get("retry-after-ms"))) is not None:
        return milliseconds / 1000
    text = lower.get("retry-after")
    if text is None:
        return _until_refilled(lower, now)
    if (seconds := _number(text)) is not None:
        return seconds
    try:
        return max(0.0, parsedate_to_datetime(text).timestamp() - now)
    except (ValueError, OverflowError):
        return None


def _until_refilled(headers: Mapping[str, str], now: float) -> float | None:
    waits = []
    for name, value in headers.items():
        if name.startswith("anthropic-ratelimit-") and name.endswith("-reset"):
            if headers.get(f"{name.removesuffix('reset')}remaining") != "0":
                continue
            try:
                waits.append(max(0.0, datetime.fromisoformat(value).timestamp() - now))
            except (ValueError, OverflowError):
                continue
    return max(waits, default=None)


def clean(message: str, secret: str | None) -> str:
    """
    A message without our key, and no longer than anyone would read.

    OpenAI repeats a refused key with stars in the middle; its ends are still part of the secret.
    """
    if secret:
        message = message.replace(secret, "***")
    message = message.strip()
    if len(message) > MESSAGE_LIMIT:
        message = f"{message[: MESSAGE_LIMIT - 1]}…"
    return " ".join("***" if "***" in word else word for word in message.split(" "))


def _number(text: str | None) -> float | None:
    try:
        value = float(text) if text is not None else math.nan
    except ValueError:
        return None
    return max(0.0, value) if math.isfinite(value) else None


def _error_object(body: bytes) -> dict[str, Any]:
    """OpenAI's error object, or what stands in its place: a bare text (Ollama), a flat object (Mistral)."""
    try:
        answer = orjson.loads(body)
    except orjson.JSONDecodeError:
        return {}
    if not isinstance(answer, dict):
        return {}
    error = answer.get("error", answer)
    return error if isinstance(error, dict) else {"message": error}


def _message(error: Mapping[str, Any], secret: str | None) -> str | None:
    return _word(error.get("message"), secret) or _word(error.get("detail"), secret)


def _code(kind: FailureKind, error: Mapping[str, Any], secret: str | None) -> str | None:
    """A stable word for programs; the upstream's own where the request was at fault."""
    if kind is FailureKind.REJECTED:
        return _word(error.get("code"), secret)
    return _STABLE_CODE.get(kind)


def _word(value: Any, secret: str | None) -> str | None:
    text = _text(value)
    return clean(text, secret) if text else None


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None
