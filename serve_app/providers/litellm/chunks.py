"""
LiteLLM's answers and chunks in OpenAI's form, and whether they ended as LiteLLM says.

LiteLLM says `stop` where its vendor said nothing, or something it does not know, or that it has failed. What
the vendor really said was overheard on the wire.
"""

from collections.abc import Sequence
from typing import Any

from serve_app.errors import UpstreamError
from serve_app.formats.openai_chat.chunks import frame_of
from serve_app.providers.finish_reasons import retold, tell_unknown_finish
from serve_app.providers.litellm.overheard import Overheard
from serve_app.providers.openai_compatible.failures import (
    broken,
    failure_of_ending,
    failure_of_error,
    no_answer,
)

# LiteLLM's own additions to OpenAI's answers.
_PRIVATE = frozenset({"provider_specific_fields", "hidden_params", "response_ms"})


def openai_form(answer: Any) -> dict[str, Any]:
    """An answer or a chunk of LiteLLM's as OpenAI would have written it."""
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
    """The chunk as a frame for the caller; LiteLLM hangs the usage on an empty choice, OpenAI on none."""
    if "usage" not in chunk:
        return frame_of(chunk)
    silent = not any(choice.get("delta") or choice.get("finish_reason") for choice in chunk["choices"])
    if wants_usage:
        return frame_of({**chunk, "choices": []} if silent else chunk)
    return b"" if silent else frame_of({key: value for key, value in chunk.items() if key != "usage"})


def ended_in(chunk: dict[str, Any]) -> set[int]:
    """Which choices this chunk ends."""
    return {choice.get("index") or 0 for choice in chunk["choices"] if choice.get("finish_reason")}


def failure_heard(
    heard: Overheard | None, provider_id: str, secret: str | None, status: int | None
) -> UpstreamError | None:
    """The error that the vendor told, or that a part of its answer could not be read; None: neither."""
    if heard is None:
        return None
    if heard.error is not None:
        return failure_of_error(heard.error, provider_id, secret, status)
    if heard.lost:
        what = f"sent frames that cannot be read ({heard.lost}): a part of its answer may be lost"
        return broken(provider_id, what, status).telling({"dropped_frames": heard.lost})
    return None


def nothing_heard(
    heard: Overheard | None, what: str, provider_id: str, secret: str | None, status: int | None
) -> UpstreamError:
    """An answer that did not come, or not to its end; `what` is how we would put it."""
    if (failure := failure_heard(heard, provider_id, secret, status)) is not None:
        return failure
    aside = None if heard is None or heard.tells_finish or heard.finishes else heard.aside
    return no_answer(aside, what, provider_id, secret, status)


def shortfall(
    ended: Sequence[dict[str, Any]],
    heard: Overheard | None,
    provider_id: str,
    secret: str | None,
    status: int | None,
) -> UpstreamError | None:
    """
    What is wrong with these endings; None where nothing is.

    A word that LiteLLM got wrong is put right in its choice.
    """
    if (failure := failure_heard(heard, provider_id, secret, status)) is not None:
        return failure
    if heard is None:
        return None
    if not heard.tells_finish and not heard.finishes:
        return None  # a vendor whose answers nobody here can read but LiteLLM
    for choice in ended:
        reason = heard.finishes.get(choice.get("index") or 0)
        if reason is None:
            return broken(provider_id, "ended its answer without a finish reason", status)
        finish = retold(reason, choice.get("finish_reason") or "stop")
        if finish.failure is not None:
            said = f"Provider '{provider_id}' ended its answer with '{reason}'"
            return failure_of_ending(said, finish.failure, provider_id, secret)
        if not finish.is_known:
            tell_unknown_finish(provider_id, reason)
        choice["finish_reason"] = finish.word
    return None
