"""A request in Anthropic's words, made ready for one model."""

from collections.abc import Callable, Mapping
from typing import Any

from serve_app.formats.exact_json import loads
from serve_app.formats.json_body import HINTS, WHOLE_NUMBERS
from serve_app.formats.openai_chat.hosted_tools import limit_uses
from serve_app.formats.openai_chat.output import bounded
from serve_app.providers.base import Call
from serve_app.providers.bodies import Fitted
from serve_app.providers.catalogue.dialect import Dialect, told

# What Anthropic's API and OpenAI's call by the same name, so that the dialect's rules hold for both.
_SAME_NAMES = frozenset({"temperature", "top_p", "top_k", "thinking"})
_NOT_WHILE_THINKING = ("temperature", "top_k")

LEAST_BUDGET = 1024  # tokens of thinking; the API takes no less

# Tokens of thinking for an effort, where a model takes no effort; and the other way round.
BUDGETS = {"minimal": 1024, "low": 1024, "medium": 4096, "high": 16_384, "xhigh": 32_768, "max": 65_536}
_EFFORTS = ((2048, "low"), (8192, "medium"), (24_576, "high"))


def messages_dialects(dialect: Callable[[str], Dialect]) -> Callable[[str], Dialect]:
    """Return what each model takes of a request in Anthropic's words, from what it takes in OpenAI's."""
    known: dict[str, Dialect] = {}

    def of(model_id: str) -> Dialect:
        found = known.get(model_id)
        if found is None:
            found = _in_messages(dialect(model_id))
            if len(known) < 1024:
                known[model_id] = found
        return found

    return of


def fitted_messages(call: Call, dialect: Dialect) -> Fitted:
    """
    Return the request as the caller wrote it, without what was meant for the gateway, and with our model.

    The bound of the answer's tokens is the call's, because that is what was reserved. What the model does not
    take is left out and listed. Thoughts that Anthropic has not signed are left out: it refuses them, and
    they come from another vendor.
    """
    fields: dict[str, Any] = loads(call.body)
    for hint in (*HINTS, "provider"):
        fields.pop(hint, None)
    for name in WHOLE_NUMBERS:
        value = fields.get(name)
        if isinstance(value, float) and value.is_integer():
            fields[name] = int(value)
    fields["model"] = call.model
    output_config = fields.pop("output_config", None)  # in its schema any word may stand
    bounded(fields, "max_tokens", call.output_tokens)
    if output_config is not None:
        fields["output_config"] = output_config
    if call.limits_tools:
        limit_uses(fields)
    dropped = list(dialect.fit(fields))
    dropped += _fit_thinking(fields, dialect)
    if not dialect.takes_system_turns and b'"system"' in call.body:
        _say_as_user(fields.get("messages"))
    _leave_out_unsigned(fields)
    return Fitted(fields, told(dropped) if dropped else ())


def _in_messages(dialect: Dialect) -> Dialect:
    return Dialect(
        drops=dialect.drops & _SAME_NAMES,
        only={name: value for name, value in dialect.only.items() if name in _SAME_NAMES},
        at_most={name: value for name, value in dialect.at_most.items() if name in _SAME_NAMES},
        not_with={name: value for name, value in dialect.not_with.items() if name in _SAME_NAMES},
        thinks_by_budget=dialect.thinks_by_budget,
        thinks_by_effort=dialect.thinks_by_effort,
        takes_system_turns=dialect.takes_system_turns,
    )


def _fit_thinking(fields: dict[str, Any], dialect: Dialect) -> list[str]:
    """Ask for thinking as the model takes it, in place; return what is lost by that."""
    dropped: list[str] = []
    if dialect.thinks_by_budget:
        dropped += _by_budget(fields)
    elif dialect.thinks_by_effort:
        dropped += _by_effort(fields)
    thinking = fields.get("thinking")
    if isinstance(thinking, dict) and thinking.get("type") == "enabled":
        dropped += _within_bound(fields, thinking)
    if isinstance(thinking, dict) and thinking.get("type") in ("enabled", "adaptive"):
        for name in _NOT_WHILE_THINKING:
            if name in fields:
                value = fields.pop(name)
                if not (name == "temperature" and value == 1):
                    dropped.append(name)
    return dropped


def _within_bound(fields: dict[str, Any], thinking: Mapping[str, Any]) -> list[str]:
    """
    Lower the budget of thoughts below the answer's bound, in place.

    A larger one is an error, unless a beta lets it count for all turns of a loop of tools: then the answer
    may be longer than was reserved.
    """
    most, budget = fields.get("max_tokens"), thinking.get("budget_tokens")
    if not isinstance(most, int) or not isinstance(budget, int) or budget < most or most <= LEAST_BUDGET:
        return []
    fields["thinking"] = {**thinking, "budget_tokens": most - 1}
    return ["thinking.budget_tokens"]


def _by_budget(fields: dict[str, Any]) -> list[str]:
    """An effort, or thinking that adapts to one, becomes a budget below the answer's bound."""
    effort = _take_effort(fields)
    thinking = fields.get("thinking")
    kind = thinking.get("type") if isinstance(thinking, dict) else None
    if kind in ("enabled", "disabled") or (kind is None and effort is None):
        return [] if effort is None else ["output_config.effort"]
    most = fields.get("max_tokens")
    budget = BUDGETS.get(effort or "medium", BUDGETS["medium"])
    if isinstance(most, int):
        budget = min(budget, most // 2)
    if budget < LEAST_BUDGET:
        fields.pop("thinking", None)
        return ["thinking"] if kind is not None else ["output_config.effort"]
    fields["thinking"] = {"type": "enabled", "budget_tokens": budget}
    return []


def _by_effort(fields: dict[str, Any]) -> list[str]:
    """A budget becomes an effort."""
    thinking = fields.get("thinking")
    if not isinstance(thinking, dict) or thinking.get("type") != "enabled":
        return []
    budget = thinking.get("budget_tokens")
    rest = {name: value for name, value in thinking.items() if name not in ("type", "budget_tokens")}
    fields["thinking"] = {"type": "adaptive", **rest}
    config = fields.get("output_config")
    config = dict(config) if isinstance(config, dict) else {}
    if isinstance(budget, int) and "effort" not in config:
        config["effort"] = next((effort for most, effort in _EFFORTS if budget < most), "xhigh")
        fields["output_config"] = config
    return ["thinking.budget_tokens"]


def _take_effort(fields: dict[str, Any]) -> str | None:
    """Remove the effort from a request, and return it."""
    config = fields.get("output_config")
    if not isinstance(config, dict) or "effort" not in config:
        return None
    effort = config["effort"]
    rest = {name: value for name, value in config.items() if name != "effort"}
    if rest:
        fields["output_config"] = rest
    else:
        del fields["output_config"]
    return effort if isinstance(effort, str) else None


def _say_as_user(messages: Any) -> None:
    """Let instructions between the turns be the user's; the server joins neighbours of one role."""
    for message in messages if isinstance(messages, list) else ():
        if isinstance(message, dict) and message.get("role") == "system":
            message["role"] = "user"


def _leave_out_unsigned(fields: dict[str, Any]) -> None:
    """Leave out thoughts without a signature, in place, and messages that hold nothing else."""
    messages = fields.get("messages")
    if isinstance(messages, list):
        fields["messages"] = [message for message in messages if _has_more_than_unsigned(message)]


def _has_more_than_unsigned(message: Any) -> bool:
    """Leave out the unsigned thoughts of a message, in place; tell whether anything is left of it."""
    content = message.get("content") if isinstance(message, dict) else None
    if not isinstance(content, list) or not any(map(_is_unsigned, content)):
        return True
    message["content"] = [block for block in content if not _is_unsigned(block)]
    return bool(message["content"])


def _is_unsigned(block: Any) -> bool:
    return isinstance(block, dict) and block.get("type") == "thinking" and not block.get("signature")
