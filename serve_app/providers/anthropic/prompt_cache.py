"""
Automatic prompt caching: marks where the vendor's cache may end, on a request whose caller has set none.

A mark costs nothing by itself. What is written up to it costs a quarter more than it would, and a tenth when
a later request begins the same way. So the marks are where requests of one application usually agree: after
the tools, after the instructions, and after the last turns of a conversation, which the next request repeats.
"""

import re
from collections.abc import Iterator
from typing import Any

from serve_app.formats.anthropic_messages.blocks import blocks_in
from serve_app.formats.exact_json import dumps
from serve_app.pricing.usage import estimate_tokens

TURNS = 2  # with tools and instructions four marks, which is all that the API takes
MARK = {"type": "ephemeral"}  # for five minutes

# The least tokens of a prompt that the vendor caches, up to a mark; shorter ones it processes as usual.
# platform.claude.com/docs/en/build-with-claude/prompt-caching#cache-limitations, read in November 2026.
_LEAST = (
    (re.compile(r"(opus|fable|mythos)-[5-9]"), 512),
    (re.compile(r"opus-4-7(?!\d)|3-5-haiku|3-haiku"), 2048),
    (re.compile(r"(opus-4-[56]|haiku-4-5|mythos-preview)(?!\d)"), 4096),
)
_USUALLY = 1024
# Blocks of instructions and of users that take a mark.
_MARKABLE = frozenset({"text", "image", "document", "tool_result", "search_result"})


def least_tokens(model_id: str) -> int:
    """Return how long a prompt of this model must be, in tokens, for the vendor to cache it."""
    name = model_id.replace(".", "-")  # as OpenRouter writes versions
    return next((least for models, least in _LEAST if models.search(name)), _USUALLY)


def mark_prompt(fields: dict[str, Any], least: int) -> None:
    """
    Mark a request in place, at most four times; not at all if it has a mark already.

    Args:
        fields: the request in Anthropic's words, whose fields are checked.
        least: the tokens that a prompt must have up to a mark.
    """
    tools, system, messages = fields.get("tools"), fields.get("system"), fields.get("messages")
    if not isinstance(messages, list) or _is_marked(fields):
        return
    length = len(dumps(tools)) if tools else 0
    if isinstance(tools, list) and estimate_tokens(length) >= least:
        _mark_last_tool(tools)
    length += len(dumps(system)) if system else 0
    if system and estimate_tokens(length) >= least:
        fields["system"] = _marked(system)
    length += len(dumps(messages))
    marks = 0
    for message in reversed(messages):
        if marks == TURNS or estimate_tokens(length) < least:
            break
        size = len(dumps(message))
        if isinstance(message, dict) and message.get("role") == "user":
            content = message.get("content")
            marked = _marked(content)
            if marked is not content:
                message["content"] = marked
                marks += 1
        length -= size


def _is_marked(fields: dict[str, Any]) -> bool:
    """Return whether the caller has said what is to be cached."""
    if fields.get("cache_control"):
        return True
    contents = [fields.get("system"), *(m.get("content") for m in fields["messages"] if isinstance(m, dict))]
    return any(part.get("cache_control") for part in (*_objects(fields.get("tools")), *blocks_in(contents)))


def _mark_last_tool(tools: list[Any]) -> None:
    """Mark the last tool that can be: one whose definition is loaded later cannot."""
    for place in range(len(tools) - 1, -1, -1):
        tool = tools[place]
        if isinstance(tool, dict) and not tool.get("defer_loading"):
            tools[place] = {**tool, "cache_control": dict(MARK)}
            return


def _marked(content: Any) -> Any:
    """Return a content with a mark on its last block that can have one; the same one if none can."""
    if isinstance(content, str):
        return (
            [{"type": "text", "text": content, "cache_control": dict(MARK)}] if content.strip() else content
        )
    if not isinstance(content, list):
        return content
    for place in range(len(content) - 1, -1, -1):
        block = content[place]
        kind = block.get("type") if isinstance(block, dict) else None
        if kind not in _MARKABLE or (kind == "text" and not str(block.get("text") or "").strip()):
            continue
        return [*content[:place], {**block, "cache_control": dict(MARK)}, *content[place + 1 :]]
    return content


def _objects(value: Any) -> Iterator[dict[str, Any]]:
    yield from (item for item in value if isinstance(item, dict)) if isinstance(value, list) else ()
