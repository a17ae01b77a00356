"""
LiteLLM's answers and chunks in OpenAI's form, with the vendor's real finish reasons.

LiteLLM reports `stop` if its vendor sent no reason, an unknown one, or a failure. The vendor's own reason was
recorded from the wire (`captured_response.py`).
"""

from collections.abc import Sequence
from typing import Any

from serve_app.errors import UpstreamError
from serve_app.formats.openai_chat.chunks import frame_of
from serve_app.providers.finish_reasons import retold, tell_unknown_finish
from serve_app.providers.litellm.captured_response import CapturedResponse
from serve_app.providers.openai_compatible.failures import (
    broken,
    failure_of_ending,
    failure_of_error,
    no_answer,
)

# LiteLLM's own additions to OpenAI's answers.
_PRIVATE = frozenset({"provider_specific_fields", "hidden_params", "response_ms"})


def openai_form(answer: Any) -> dict[str, Any]:
    """Return an answer or a chunk of LiteLLM in OpenAI's form."""
    form: dict[str, Any] = _without_private(answer.model_dump(exclude_none=True))
    for choice in form.get("choices", ()):
        choice.setdefault("finish_reason", None)
        if "message" in choice:
            choice["message"].setdefault("content", None)
    return form


def _without_private(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_private(inner) for key, inner in value.items() if key not in _PRIVATE}
    if isinstance(value, list) and value and isinstance(value[0], dict):
        return [_without_private(inner) for inner in value]
    return value


def shown(chunk: dict[str, Any], wants_usage: bool) -> bytes:
    """Return the chunk as a frame for the caller; LiteLLM puts usage on an empty choice, OpenAI on none."""
    if "usage" not in chunk:
        return frame_of(chunk)
    silent = not any(choice.get("delta") or choice.get("finish_reason") for choice in chunk["choices"])
    if wants_usage:
        return frame_of({**chunk, "choices": []} if silent else chunk)
    return b"" if silent else frame_of({key: value for key, value in chunk.items() if key != "usage"})


def ended_in(chunk: dict[str, Any]) -> set[int]:
    """Return the indexes of the choices that this chunk ends."""
    return {choice.get("index") or 0 for choice in chunk["choices"] if choice.get("finish_reason")}


def failure_heard(
    heard: CapturedResponse | None, provider_id: str, secret: str | None, status: int | None
) -> UpstreamError | None:
    """Return the vendor's error, or the failure of an answer with unreadable parts; None: neither."""
    if heard is None:
        return None
    if heard.error is not None:
        return failure_of_error(heard.error, provider_id, secret, status)
    if heard.lost:
        what = f"sent frames that cannot be read ({heard.lost}): a part of its answer may be lost"
        return broken(provider_id, what, status).telling({"dropped_frames": heard.lost})
    return None


def nothing_heard(
    heard: CapturedResponse | None, what: str, provider_id: str, secret: str | None, status: int | None
) -> UpstreamError:
    """Return the failure of a missing or incomplete answer; `what` describes it if the vendor did not."""
    if (failure := failure_heard(heard, provider_id, secret, status)) is not None:
        return failure
    aside = None if heard is None or heard.tells_finish or heard.finishes else heard.aside
    return no_answer(aside, what, provider_id, secret, status)


def shortfall(
    ended: Sequence[dict[str, Any]],
    heard: CapturedResponse | None,
    provider_id: str,
    secret: str | None,
    status: int | None,
) -> UpstreamError | None:
    """
    Return what is wrong with the ended choices; None if nothing is.

    A finish reason that LiteLLM got wrong is corrected in its choice.
    """
    if (failure := failure_heard(heard, provider_id, secret, status)) is not None:
        return failure
    if heard is None:
        return None
    if not heard.tells_finish and not heard.finishes:
        return None  # a vendor whose answers only LiteLLM can read
    for choice in ended:
        reason = heard.finishes.get(choice.get("index") or 0)
        if reason is None:
            return broken(provider_id, "ended its answer without a finish reason", status)
        finish = retold(reason, choice.get("finish_reason") or "stop")
        if finish.failure is not None:
            message = f"Provider '{provider_id}' ended its answer with '{reason}'"
            return failure_of_ending(message, finish.failure, provider_id, secret)
        if not finish.is_known:
            tell_unknown_finish(provider_id, reason)
        choice["finish_reason"] = finish.word
    return None
