"""Whether a caller asks a model to think before it speaks, in the words of the vendors."""

from collections.abc import Mapping
from typing import Any

_NOT = frozenset({"none", "minimal", "disabled", "off", "false"})
_FIELDS = frozenset({
    "reasoning_effort", "reasoning", "thinking", "think", "enable_thinking", "chat_template_kwargs",
})  # fmt: skip


def asks_to_think(body: Mapping[str, Any]) -> bool:
    """
    Return whether a chat body asks for reasoning.

    OpenAI has `reasoning_effort` and `reasoning`, Anthropic `thinking`, Ollama `think`, vLLM and Qwen
    `enable_thinking`, at the top or in `chat_template_kwargs`.
    """
    if _FIELDS.isdisjoint(body):
        return False
    template = body.get("chat_template_kwargs")
    words = (
        body.get("reasoning_effort"),
        body.get("reasoning"),
        body.get("thinking"),
        body.get("think"),
        body.get("enable_thinking"),
        template.get("enable_thinking") if isinstance(template, dict) else None,
        template.get("thinking") if isinstance(template, dict) else None,
    )
    return any(_is_yes(word) for word in words)


def _is_yes(word: Any) -> bool:
    if isinstance(word, Mapping):
        switches = [word[name] for name in ("type", "effort", "enabled") if name in word]
        return all(_is_yes(switch) for switch in switches)
    if isinstance(word, str):
        return word.lower() not in _NOT
    return bool(word)
