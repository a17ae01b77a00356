"""Whether a whole answer is one."""

from typing import Any

import orjson

from serve_app.errors import UpstreamError
from serve_app.providers.wire_failures import broken, failure_of_error


def checked(
    body: bytes, provider_id: str, must_have: str, rows: int | None = None, secret: str | None = None
) -> dict[str, Any] | UpstreamError:
    """
    The answer, when it is one: proxies in between answer 200 with a web page, or with nothing.

    `must_have` names the list that holds what was asked for, `rows` how many of it there must be. `secret` is
    our key, which nobody else may see.
    """
    try:
        answer = orjson.loads(body)
    except orjson.JSONDecodeError:
        return broken(provider_id, "sent an answer that is not JSON", 200)
    if not isinstance(answer, dict):
        return broken(provider_id, "sent an answer that is not a JSON object", 200)
    if answer.get("error"):
        return failure_of_error(answer["error"], provider_id, secret)
    found = answer.get(must_have)
    if not isinstance(found, list) or not found:
        return broken(provider_id, f"sent an answer without '{must_have}'", 200)
    if rows is not None and len(found) != rows:
        return broken(provider_id, f"sent {len(found)} vectors where {rows} were asked for", 200)
    return answer
