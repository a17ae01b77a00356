"""
Checks of conversations for vendors with a format of their own.

Such a format has no empty texts, and has the arguments of a tool as JSON and not as text: empty texts are
removed, and what cannot be translated is refused before anything is sent.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import orjson


class BrokenArguments(NamedTuple):
    """A tool call in a conversation whose arguments are not a JSON object; `param` is its place."""

    param: str
    message: str


class UnknownWord(NamedTuple):
    """A value of a request that the translators do not know and would silently drop."""

    param: str
    message: str


_CHOICES = ("auto", "none", "required")
_FORMATS = ("text", "json_object", "json_schema")


def unknown_word(fields: Mapping[str, Any]) -> UnknownWord | None:
    """Return the tool choice or response format that no translator knows; None if both are known."""
    choice, form = fields.get("tool_choice"), fields.get("response_format")
    kind = form.get("type") if isinstance(form, Mapping) else None
    for param, word, known in (
        ("tool_choice", choice, _CHOICES),
        ("response_format.type", kind, _FORMATS),
    ):
        if isinstance(word, str) and word not in known:
            return UnknownWord(param, f"'{param}' is '{word[:40]}'; this model takes {', '.join(known)}")
    return None


def without_empty_texts(messages: Sequence[Any]) -> list[Any]:
    """
    Return the messages without empty or blank texts, and without messages that have nothing else.

    A tool's result may be empty: that it exists is information.
    """
    kept = []
    for message in messages:
        content = message.get("content")
        if isinstance(content, list):
            parts = [part for part in content if not _is_blank_part(part)]
            content = parts or None
        elif isinstance(content, str) and not content.strip():
            content = None
        if content is None and message.get("role") in ("tool", "function"):
            kept.append({**message, "content": ""})
        elif content is not None or message.get("tool_calls") or message.get("function_call"):
            kept.append(message if content is message.get("content") else {**message, "content": content})
    return kept


def broken_arguments(messages: Sequence[Any]) -> BrokenArguments | None:
    """Return the first tool call whose arguments are not a JSON object; the message repeats none of it."""
    for index, message in enumerate(messages):
        calls = message.get("tool_calls") if isinstance(message, Mapping) else None
        for number, call in enumerate(calls if isinstance(calls, list) else ()):
            function = call.get("function") if isinstance(call, Mapping) else None
            arguments = function.get("arguments") if isinstance(function, Mapping) else None
            if not _are_arguments(arguments):
                place = f"messages[{index}].tool_calls[{number}].function.arguments"
                return BrokenArguments(place, f"'{place}' is not a JSON object; send the whole arguments")
    return None


def _is_blank_part(part: Any) -> bool:
    is_text = isinstance(part, Mapping) and part.get("type") == "text"
    return is_text and not str(part.get("text") or "").strip()


def _are_arguments(arguments: Any) -> bool:
    """Return whether this is a JSON object as a mapping or text; nothing counts as an empty one."""
    if arguments is None or isinstance(arguments, Mapping):
        return True
    if not isinstance(arguments, str):
        return False
    try:
        return not arguments.strip() or isinstance(orjson.loads(arguments), dict)
    except orjson.JSONDecodeError:
        return False
