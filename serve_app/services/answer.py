"""What a model's answer says, however it says it: the text, and the JSON object in a text."""

from collections.abc import Iterator, Mapping
from typing import Any

import orjson

from serve_app.errors import FailureKind, UpstreamError, upstream_error

NO_TEXT = "wrote no text; a model that thinks first may need a larger limit"
NO_VECTOR = "sent no vector of numbers"

LONGEST_READ = 100_000  # characters of an answer; max_tokens bounds it, but a server may ignore that

_THOUGHTS_END = "</think>"
_THOUGHTS_BEGIN = "<think>"
_FENCE = "```"


def text_of(answer: Mapping[str, Any]) -> str:
    """Return the text of a chat completion, stripped and without thoughts; empty where there is none."""
    choices = answer.get("choices")
    first = choices[0] if isinstance(choices, list) and choices else None
    message = first.get("message") if isinstance(first, dict) else None
    content = message.get("content") if isinstance(message, dict) else None
    if isinstance(content, list):
        content = "".join(_part(part) for part in content)
    if not isinstance(content, str):
        return ""
    return _without_thoughts(content[:LONGEST_READ]).strip()


def object_in(text: str) -> dict[str, Any] | None:
    """
    Return the JSON object that a text is or contains; None: there is none.

    It may be the whole text, within a fence, or between the first and the last brace.
    """
    for written in _candidates(text):
        try:
            value = orjson.loads(written)
        except orjson.JSONDecodeError:
            continue
        if isinstance(value, dict):
            return value
    return None


def useless(model_id: str, provider_id: str, what: str) -> UpstreamError:
    """Return the failure (502) of a model whose answer has nothing of what was asked for."""
    who = provider_id or "unknown"
    return upstream_error(f"Model '{model_id}' of provider '{who}' {what}", who, FailureKind.BROKEN)


def _candidates(text: str) -> Iterator[str]:
    yield text
    fenced = text.split(_FENCE, 2)
    for part in (fenced[1], text) if len(fenced) == 3 else (text,):
        begin, end = part.find("{"), part.rfind("}")
        if 0 <= begin < end:
            yield part[begin : end + 1]


def _without_thoughts(text: str) -> str:
    """Return the text after the thoughts that some models write before it; empty if these never end."""
    _, end, rest = text.rpartition(_THOUGHTS_END)
    if end:
        return rest
    return "" if rest.lstrip().startswith(_THOUGHTS_BEGIN) else rest


def _part(part: Any) -> str:
    text = part.get("text") if isinstance(part, dict) else None
    return text if isinstance(text, str) else ""
