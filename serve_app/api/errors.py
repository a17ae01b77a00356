"""
Errors as callers see them.

Under `/v1` they have OpenAI's shape, with `detail` beside it for callers who know FastAPI's; elsewhere
`{"detail": …}` (contract section 1).
"""

import math
from typing import Any

import orjson

from serve_app.api.asgi import Headers
from serve_app.errors import GatewayError


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


def error_headers(error: GatewayError) -> Headers:
    """`Retry-After` in whole seconds where it is known when to come back, and how to show a key."""
    headers: Headers = []
    if error.retry_after_s is not None:
        headers.append((b"retry-after", str(max(1, math.ceil(error.retry_after_s))).encode()))
    if error.status == 401:
        headers.append((b"www-authenticate", b"Bearer"))
    return headers
