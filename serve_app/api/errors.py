"""
Error responses in the shape of each API.

Under `/v1/messages` they have Anthropic's shape, elsewhere under `/v1` and at chat's other path OpenAI's, and
at all other paths FastAPI's: `{"detail": …}` (docs/api.md).
"""

import logging
import math

import orjson

from serve_app.api.asgi import AnswerCutShort, Headers
from serve_app.errors import AdminLimitReached, GatewayError, RateLimitExceeded
from serve_app.formats.anthropic_messages.error import messages_error
from serve_app.formats.openai_error import detail_of, openai_error

log = logging.getLogger("sekha.api")


def log_failure(path: str, error: Exception) -> None:
    """Log an exception of an endpoint; one that breaks the connection on purpose is no mistake."""
    if isinstance(error, AnswerCutShort):
        log.info("an answer at %s was cut short (%s): its connection is broken", path, error)
    else:
        log.error("unexpected error at %s", path, exc_info=error)


def admin_error(error: GatewayError) -> bytes:
    """Return the error in the admin API's shape, beside FastAPI's `detail` (docs/admin.md)."""
    code = "AUTHENTICATION_REQUIRED" if error.status == 401 else error.code.upper()
    detail = detail_of(error)
    details = detail["details"] if isinstance(detail, dict) else {"param": error.param}
    return orjson.dumps({"code": code, "message": error.told, "details": details, "detail": detail})


def plain_error(error: GatewayError) -> bytes:
    """Return the error in FastAPI's shape."""
    return orjson.dumps({"detail": detail_of(error)})


def speaks_anthropic(path: str) -> bool:
    """Return whether callers of this path expect Anthropic's format."""
    return path == "/v1/messages" or path.startswith("/v1/messages/")


def speaks_openai(path: str) -> bool:
    """Return whether callers of this path expect OpenAI's format."""
    if speaks_anthropic(path):
        return False
    return path.startswith("/v1/") or path == "/api/v1/chat/completions"


def error_for(path: str, error: GatewayError) -> bytes:
    """Return the error in the shape that callers of this path expect."""
    if speaks_anthropic(path):
        return messages_error(error)
    if speaks_openai(path):
        return openai_error(error)
    return admin_error(error) if path.startswith("/api/admin/") else plain_error(error)


def error_headers(error: GatewayError) -> Headers:
    """Return the headers of an error: `Retry-After`, the state of a limit, accepted keys and encodings."""
    headers: Headers = []
    if error.retry_after_s is not None:
        headers.append((b"retry-after", _whole(error.retry_after_s)))
        if isinstance(error, AdminLimitReached | RateLimitExceeded):
            headers += limit_headers(error.limit, error.remaining, error.retry_after_s)
    if error.status == 401:
        headers.append((b"www-authenticate", b"Bearer"))
    if error.status == 408:
        headers.append((b"connection", b"close"))  # the rest of the body would be read as a request
    if error.status == 415:
        headers.append((b"accept-encoding", b"gzip, zstd"))
    return headers


def limit_headers(limit: int, remaining: int, resets_in_s: float) -> Headers:
    """Return the headers with the remaining amount of a limit and the seconds until it resets."""
    return [
        (b"x-ratelimit-limit", str(limit).encode()),
        (b"x-ratelimit-remaining", str(remaining).encode()),
        (b"x-ratelimit-reset", _whole(resets_in_s)),
    ]


def _whole(seconds: float) -> bytes:
    """Return the seconds rounded up: a retry that is too early is refused again."""
    return str(max(1, math.ceil(seconds))).encode()
