"""Errors in Anthropic's shape."""

from typing import Any

import orjson

from serve_app.errors import GatewayError, UpstreamError

_TYPES = {
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    408: "timeout_error",
    409: "conflict_error",
    413: "request_too_large",
    429: "rate_limit_error",
    503: "overloaded_error",
    504: "timeout_error",
    529: "overloaded_error",
}
_TOO_LONG = "prompt is too long"  # by these words clients know that they must shorten the conversation
_TOO_LONG_CODE = "context_length_exceeded"


def error_type(status: int) -> str:
    """Return the type of an error with this HTTP status."""
    return _TYPES.get(status) or ("invalid_request_error" if status < 500 else "api_error")


def messages_error(error: GatewayError) -> bytes:
    """
    Return the error in Anthropic's shape, with the gateway's code and the field at fault beside the message.

    `details` has the code once more where Anthropic has one, and the facts that an upstream's failure tells.
    """
    message = error.told
    if error.code == _TOO_LONG_CODE and _TOO_LONG not in message.lower():
        message = f"{_TOO_LONG}: {message}"
    facts = error.details if isinstance(error, UpstreamError) else {}
    fields: dict[str, Any] = {
        "type": error_type(error.status),
        "message": message,
        "code": error.code,
        "param": error.param,
        "details": {"error_code": error.code, **facts},
    }
    return orjson.dumps({"type": "error", "error": fields})
