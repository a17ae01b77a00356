"""Errors in OpenAI's shape, with `detail` beside it for callers who know FastAPI's."""

from typing import Any

import orjson

from serve_app.errors import GatewayError, UpstreamError


def detail_of(error: GatewayError) -> Any:
    """Return FastAPI's `detail`: a list of fields for a 422, otherwise a sentence."""
    return getattr(error, "detail", None) or error.told


def openai_error(error: GatewayError) -> bytes:
    """Return the error in OpenAI's shape."""
    fields: dict[str, Any] = {
        "message": error.told,
        "type": error.kind,
        "param": error.param,
        "code": error.code,
    }
    if isinstance(error, UpstreamError) and error.details:
        fields["details"] = error.details
    return orjson.dumps({"error": fields, "detail": detail_of(error)})
