"""
How much a request lets a model write: one answer's tokens, whatever they are called, and how many answers.

Every vendor has its own name for the bound, and servers written in Go read any spelling of a name. So names
are compared without case, underscores and hyphens, also inside the objects that carry a vendor's own options;
the largest value counts, and exactly one is sent on (`bounded`).
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

from serve_app.formats.field_checks import check_spelling
from serve_app.formats.json_body import MOST_TOKENS, text, whole_number

# Names as `_plain` leaves them.
_LIMITS = frozenset({
    "maxtokens", "maxcompletiontokens", "maxoutputtokens", "maxnewtokens", "maxtokenstosample",
    "maxgeneratedtokens", "numpredict", "npredict",
})  # fmt: skip
_UNLIMITED_BELOW_ONE = frozenset({"numpredict", "npredict"})  # -1 and -2 in Ollama and llama.cpp
_THOUGHTS = frozenset({"budgettokens", "thinkingbudget", "thinkingtokenbudget", "maxreasoningtokens"})
_EFFORTS = frozenset({"reasoningeffort", "effort"})
_ANSWERS = frozenset({"n", "bestof", "candidatecount", "numreturnsequences"})
_THINKING = frozenset({"reasoning", "thinking"})  # in here `max_tokens` is the bound of thoughts alone

# What a caller says, and what tools and schemas describe: no options in there.
_CONTENT = frozenset({
    "messages", "input", "prompt", "tools", "functions", "toolchoice", "functioncall", "responseformat",
    "metadata", "logitbias", "prediction", "audio", "websearchoptions", "streamoptions",
})  # fmt: skip
_DEEPEST = 5

# The usual fields that count nothing, under any spelling: only what is within one of them is looked at.
_ORDINARY = frozenset({
    "model", "messages", "stream", "temperature", "top_p", "stop", "seed", "user", "tools", "tool_choice",
    "metadata", "models",
})  # fmt: skip

# Thinking that an effort asks for, in tokens: what LiteLLM makes of it for Anthropic.
_EFFORT_TOKENS = {
    "minimal": 1024,
    "low": 1024,
    "medium": 2048,
    "high": 4096,
    "xhigh": 8192,
    "max": 16_384,
}

# Fields by which the gateway decides something: a server that reads any spelling would find two of them.
_SPELLED = frozenset({
    "model", "messages", "stream", "stream_options", "service_tier", "tools", "functions", "thinking",
    "reasoning", "reasoning_effort", "web_search_options", "modalities", "response_format",
})  # fmt: skip


class Output(NamedTuple):
    """
    The output that a request lets a model write.

    Fields:
        limit: tokens of one answer; None where the caller sets no bound.
        thinking: tokens of these that are for thinking, as far as the caller says.
        answers: how many answers are asked for.
    """

    limit: int | None = None
    thinking: int = 0
    answers: int = 1


def read_output(body: dict[str, Any]) -> Output:
    """Return what the body says; raises InvalidField for a bound that is no whole number."""
    check_spelling(body, _SPELLED)
    limit: int | None = None
    thinking, answers = 0, 1
    for path, name, key, holder, is_thinking in _options(body):
        if name in _LIMITS and not is_thinking:
            least = -2 if name in _UNLIMITED_BELOW_ONE else 1
            if (value := _count(path, holder[key], least)) is not None and value > 0:
                limit = max(limit or 0, value)
        elif name in _LIMITS or name in _THOUGHTS:
            thinking = max(thinking, _count(path, holder[key], -1) or 0)
        elif name in _EFFORTS:
            effort = text({path: holder[key]}, path)
            thinking = max(thinking, _EFFORT_TOKENS.get((effort or "").casefold(), 0))
        elif name in _ANSWERS:
            answers = max(answers, _count(path, holder[key], 1) or 1)
    return Output(limit, thinking, answers)


def bounded(fields: dict[str, Any], name: str, tokens: int | None) -> None:
    """
    Write the one bound of an answer's tokens under this name, and take away every other one.

    Args:
        fields: the request, which is changed in place.
        name: what the vendor calls the bound.
        tokens: the bound; None: the largest that the request has, if it has one.
    """
    found = [
        (holder, key)
        for _, plain, key, holder, is_thinking in _options(fields)
        if plain in _LIMITS and not is_thinking
    ]
    values = [holder.pop(key) for holder, key in found]
    if tokens is None:
        given = (int(value) for value in values if isinstance(value, int | float) and value > 0)
        tokens = max(given, default=None)
    if tokens is not None:
        fields[name] = tokens
    spelled = [key for key in fields if key != "n" and key.casefold() == "n"]
    if spelled:
        counts = [count for key in ("n", *spelled) if isinstance(count := fields.get(key), int)]
        for key in spelled:
            del fields[key]
        fields["n"] = max(counts, default=1)


def _options(
    fields: dict[str, Any], path: str = "", is_thinking: bool = False, depth: int = 1
) -> Iterator[tuple[str, str, str, dict[str, Any], bool]]:
    """Yield path, plain name, key, holder, and whether it is about thoughts, for each option that counts."""
    for key, value in fields.items():
        if isinstance(value, dict):
            name = _plain(key)
            if name not in _CONTENT and depth < _DEEPEST:
                inside = is_thinking or name in _THINKING
                yield from _options(value, f"{path}{key}.", inside, depth + 1)
        elif key not in _ORDINARY and value is not None and (name := _plain(key)) in _COUNTED:
            yield f"{path}{key}", name, key, fields, is_thinking


_COUNTED = _LIMITS | _THOUGHTS | _EFFORTS | _ANSWERS


def _plain(key: str) -> str:
    return key.casefold().replace("_", "").replace("-", "")


def _count(path: str, value: Any, least: int) -> int | None:
    return whole_number({path: value}, path, least, MOST_TOKENS)
