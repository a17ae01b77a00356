"""
Errors as callers see them.

Under `/v1` they have OpenAI's shape, with `detail` beside it for callers who know FastAPI's; elsewhere
`{"detail": …}` (contract section 1).
"""

import math
from collections.abc import Mapping
from typing import Any

import orjson

from serve_app.api.asgi import Headers
from serve_app.errors import AdminLimitReached, GatewayError, RateLimitExceeded


def detail_of(error: GatewayError) -> Any:
    """FastAPI's `detail`: a list of fields for a 422, otherwise a sentence."""
    return getattr(error, "detail", None) or error.message


def openai_error(error: GatewayError) -> bytes:
    """The error in OpenAI's shape."""
    body = {
        "error": {
            "message": error.message,
            "type": error.kind,
            "param": error.param,
            "code": error.code,
        },
        "detail": detail_of(error),
    }
    return orjson.dumps(body)


def admin_error(error: GatewayError) -> bytes:
    """The error as seed 004 has it, beside FastAPI's `detail` (contract 6.2)."""
    code = "AUTHENTICATION_REQUIRED" if error.status == 401 else error.code.upper()
    detail = detail_of(error)
    details = detail["details"] if isinstance(detail, Mapping) else {"param": error.param}
    return orjson.dumps({"code": code, "message": error.message, "details": details, "detail": detail})


def plain_error(error: GatewayError) -> bytes:
    """The error as FastAPI has it."""
    return orjson.dumps({"detail": detail_of(error)})


def error_for(path: str, error: GatewayError) -> bytes:
    """The error in the shape that callers of this path expect."""
    if path.startswith("/v1/"):
        return openai_error(error)
    return admin_error(error) if path.startswith("/api/admin/") else plain_error(error)


def error_headers(error: GatewayError) -> Headers:
    """`Retry-After` where it is known when to come back, how a limit stands, and how to show a key."""
    headers: Headers = []
    if error.retry_after_s is not None:
        after = max(1, math.ceil(error.retry_after_s))
        headers.append((b"retry-after", str(after).encode()))
        if isinstance(error, RateLimitExceeded):
            headers += limit_headers(error.limit, error.remaining, after)
    if isinstance(error, AdminLimitReached):
        headers += limit_headers(error.limit, error.remaining, error.resets_at)
    if error.status == 401:
        headers.append((b"www-authenticate", b"Bearer"))
    return headers


def limit_headers(limit: int, remaining: int, resets_at: float) -> Headers:
    """How much is left of a limit, and when there is more: in seconds since the epoch."""
    return [
        (b"x-ratelimit-limit", str(limit).encode()),
        (b"x-ratelimit-remaining", str(remaining).encode()),
        (b"x-ratelimit-reset", str(math.ceil(resets_at)).encode()),
    ]
