"""
Automatic prompt caching in chats, for vendors that pass the marks on to Claude (OpenRouter).

As `providers/anthropic/prompt_cache.py` marks messages; here a mark stands on a text part of a message, and
nowhere else: openrouter.ai/docs/features/prompt-caching.
"""

from collections.abc import Iterator
from typing import Any

from serve_app.formats.exact_json import dumps
from serve_app.pricing.usage import estimate_tokens
from serve_app.providers.anthropic.prompt_cache import MARK, TURNS

_INSTRUCTS = frozenset({"system", "developer"})


def mark_chat(fields: dict[str, Any], least: int) -> None:
    """
    Mark a chat in place, after its instructions and its user's last turns; not if it has a mark already.

    Args:
        fields: the request, whose fields are checked.
        least: the tokens that a prompt must have up to a mark.
    """
    messages = fields.get("messages")
    if not isinstance(messages, list) or any(part.get("cache_control") for part in _marked_parts(fields)):
        return
    length = len(dumps(fields["tools"])) if fields.get("tools") else 0
    lengths = []
    for message in messages:
        length += len(dumps(message))
        lengths.append(length)
    instructions = [place for place, message in enumerate(messages) if message.get("role") in _INSTRUCTS]
    turns = [place for place, message in enumerate(messages) if message.get("role") == "user"]
    for place in (*instructions[-1:], *turns[-TURNS:]):
        if estimate_tokens(lengths[place]) >= least:
            message = messages[place]
            message["content"] = _with_mark(message.get("content"))


def _marked_parts(fields: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield what may have a mark: the request, its tools, its messages and their parts."""
    yield fields
    for holder in (*(fields.get("tools") or ()), *fields["messages"]):
        yield holder
        content = holder.get("content")
        yield from (part for part in content if isinstance(part, dict)) if isinstance(content, list) else ()


def _with_mark(content: Any) -> Any:
    """Return a content with a mark on its last text; the same one where there is none."""
    if isinstance(content, str):
        if not content.strip():
            return content
        return [{"type": "text", "text": content, "cache_control": dict(MARK)}]
    parts = list(content or ())
    for place in range(len(parts) - 1, -1, -1):
        if parts[place].get("type") == "text" and parts[place]["text"].strip():
            parts[place] = {**parts[place], "cache_control": dict(MARK)}
            return parts
    return content
