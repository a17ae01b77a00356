"""What went wrong at an upstream, in the gateway's words: a refusal, an error in an answer, no answer."""

import math
import os
from collections.abc import Mapping
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import Any

import aiohttp

from serve_app.errors import FailureKind, UpstreamError, redacted, upstream_error
from serve_app.providers.address_policy import AddressRefused, refused_address_in
from serve_app.providers.catalogue.rows import RESET_HEADERS
from serve_app.providers.failure_kinds import kind_in_an_answer, kind_of
from serve_app.providers.timeouts import OutOfTime, out_of_time
from serve_app.providers.vendor_words import TEXT_LIMIT, VendorWords, words_in

MESSAGE_LIMIT = 500  # characters of an upstream's message that are passed on

LONGEST_WAIT_S = 7 * 86_400.0  # nobody waits longer, whatever a vendor says

# Whatever the vendor says about these is for the operator, and never quoted to a caller.
_OPERATORS = {
    FailureKind.AUTH: "refused the gateway's credentials",
    FailureKind.OUT_OF_CREDIT: "refused: the gateway's account there is out of credit",
}
_CALLERS = (FailureKind.REJECTED, FailureKind.CONTENT_FILTER, FailureKind.CONTEXT_LENGTH)
_MAY_WAIT = (FailureKind.RATE_LIMITED, FailureKind.OVERLOADED)

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
    said = words_in(body)
    kind = kind_of(status, said)
    return failure_of_words(said, kind, provider_id, status, retry_after_s(headers, now), secret)


def failure_of_error(
    error: Any, provider_id: str, secret: str | None = None, status: int | None = None, otherwise: str = ""
) -> UpstreamError:
    """
    An error object inside an answer or a stream that had begun with HTTP 200.

    Some servers put an HTTP status into its `code`, and are believed; else its type says what it is.
    `otherwise` is the message where it has none.
    """
    said = words_in(error)
    kind = kind_in_an_answer(said)
    return failure_of_words(said, kind, provider_id, said.status or status, None, secret, otherwise)


def no_answer(
    said: dict[str, Any] | None, what: str, provider_id: str, secret: str | None, status: int | None
) -> UpstreamError:
    """
    An answer that never came to be one, in the vendor's words if it said something else.

    `said` is the object that came in its place, and `what` is how we would put it.
    """
    if said is None:
        return broken(provider_id, what, status)
    return failure_of_error(said, provider_id, secret, status, f"Provider '{provider_id}' {what}")


def failure_of_ending(
    said: Any, kind: FailureKind, provider_id: str, secret: str | None = None
) -> UpstreamError:
    """An answer that its provider ended as failed; `said` is its error object or a sentence about it."""
    words = words_in(said)
    told = kind_in_an_answer(words)
    return failure_of_words(
        words, kind if told is FailureKind.BROKEN else told, provider_id, 200, None, secret
    )


def failure_of_words(
    said: VendorWords,
    kind: FailureKind,
    provider_id: str,
    status: int | None,
    wait_s: float | None,
    secret: str | None,
    otherwise: str = "",
) -> UpstreamError:
    """
    A vendor's words as a failure of that kind; `otherwise` is the message where it says nothing.

    What it says about our key or our account is the operator's business: the caller is told the fact alone.
    """
    text = clean(said.message, secret) if said.message else ""
    if wait_s is None and kind in _MAY_WAIT:
        wait_s = said.wait_s
    if kind in _OPERATORS:
        answered = f" (HTTP {status})" if status else ""
        message = f"Provider '{provider_id}' {_OPERATORS[kind]}{answered}"
        return upstream_error(message, provider_id, kind, status).telling(note=text)
    wait_s = None if wait_s is None else min(wait_s, LONGEST_WAIT_S)
    answered = f"answered HTTP {status}" if status else "reported an error in its answer"
    failure = upstream_error(
        text or otherwise or f"Provider '{provider_id}' {answered}",
        provider_id,
        kind,
        status,
        wait_s,
        clean(said.code, secret) if said.code and kind is FailureKind.REJECTED else None,
        clean(said.param, secret) if said.param else None,
    )
    if said.details and kind in _CALLERS:
        name = "filtered" if kind is FailureKind.CONTENT_FILTER else "errors"
        failure.telling({name: [clean(detail, secret) for detail in said.details]})
    return failure


def failure_of_exception(error: Exception, provider_id: str) -> UpstreamError:
    """No answer at all, or one that cannot be read. Internal addresses stay out of the message."""
    if refused := refused_address_in(error):
        return failure_of_address(refused, provider_id)
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


def failure_of_address(refused: AddressRefused, provider_id: str) -> UpstreamError:
    """An address at which the gateway calls nobody: nothing was sent, and only the operator can mend it."""
    message = f"Provider '{provider_id}' was not called: its name leads to an address that {refused.why}"
    note = f"its name leads to {refused.address}, which {refused.why}; set an endpoint that leads elsewhere"
    return upstream_error(message, provider_id, FailureKind.REFUSED_ADDRESS).telling(note=note)


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
        if name.startswith(RESET_HEADERS) and name.endswith("-reset"):
            if headers.get(f"{name.removesuffix('reset')}remaining") != "0":
                continue
            try:
                waits.append(max(0.0, datetime.fromisoformat(value).timestamp() - now))
            except (ValueError, OverflowError):
                continue
    return max(waits, default=None)


def clean(text: str, secret: str | None) -> str:
    """
    A text of somebody else's without our key or anything like one, and no longer than anyone would read.

    It is cut before it is searched, because nobody bounds what vendors send; what is cut in two goes.
    """
    if len(text) > TEXT_LIMIT:
        text = text[:TEXT_LIMIT].rsplit(None, 1)[0]
    text = redacted(text.strip(), secret)
    return text if len(text) <= MESSAGE_LIMIT else f"{text[: MESSAGE_LIMIT - 1]}…"


def _number(text: str | None) -> float | None:
    try:
        value = float(text) if text is not None else math.nan
    except ValueError:
        return None
    return max(0.0, value) if math.isfinite(value) else None
