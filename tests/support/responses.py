"""Stored responses, and answers that become such."""

from typing import Any

import orjson

from serve_app.response_store.stored_response import StoredResponse


def response_id(number: int) -> str:
    """Return an id as the gateway makes them."""
    return f"resp_{number:032x}"


def said(text: str, **more: Any) -> dict[str, Any]:
    """Return the message of a model."""
    part = {"type": "output_text", "text": text, "annotations": []}
    message = {"type": "message", "role": "assistant", "status": "completed", "content": [part]}
    return {**message, "id": f"msg_{text}", **more}


def asked(text: str) -> dict[str, Any]:
    """Return the message of a user as a request's text becomes one."""
    return {"type": "message", "role": "user", "content": text}


def answer(*output: dict[str, Any], **more: Any) -> dict[str, Any]:
    """Return a vendor's response."""
    usage = {"input_tokens": 5, "output_tokens": 3, "total_tokens": 8}
    facts = {"object": "response", "created_at": 1, "model": "m", "usage": usage, "store": False}
    return {"id": "resp_vendor", "status": "completed", **facts, "output": list(output), **more}


def stored(number: int, previous: int | None = None, **more: Any) -> StoredResponse:
    """Return a stored response, the answer to `q` and its number, kept at 100 and gone at 200."""
    plain = StoredResponse(
        id=response_id(number),
        tenant="acme",
        created_at=100.0,
        expires_at=200.0,
        previous_id=None if previous is None else response_id(previous),
        local_only=False,
        input=orjson.dumps([asked(f"q{number}")]),
        response=orjson.dumps(answer(said(f"a{number}"), id=response_id(number))),
    )
    return plain._replace(**more)
