"""
The dialect of a model family: which of OpenAI's parameters it accepts.

A caller's parameter is passed on, renamed (nothing is lost), clamped to a documented bound, or dropped.
Clamped and dropped parameters are reported to the caller.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

OUTPUT_LIMITS = ("max_completion_tokens", "max_tokens")  # OpenAI's names for it, the newer first

GONE = object()  # in place of a value: it is not sent

MOST_TOLD = 32  # names in a list of dropped parameters
LONGEST_NAME = 64  # characters of a name in it

# Default values: leaving out a parameter with one of these changes nothing.
NEUTRAL: Mapping[str, Any] = MappingProxyType({
    "n": 1, "logprobs": False, "top_logprobs": 0, "logit_bias": {}, "frequency_penalty": 0,
    "presence_penalty": 0, "store": False, "metadata": {}, "stop": [], "service_tier": "auto",
    "parallel_tool_calls": True, "modalities": ["text"], "tool_choice": "auto", "betas": [],
    "response_format": {"type": "text"}, "temperature": 1, "top_p": 1,
})  # fmt: skip

# What every chat model accepts; for a vendor without a row nothing else is assumed.
ORDINARY = frozenset({
    "model", "messages", "stream", "stream_options", "temperature", "top_p", "stop", "tools", "tool_choice",
    "input", *OUTPUT_LIMITS,
})  # fmt: skip


@dataclass(frozen=True, slots=True)
class Dialect:
    """
    The parameters that a family of models accepts.

    drops: Parameters it does not take; `name.type` is one type of a `response_format`.
    while_reasoning: Parameters it takes only where `reasoning_effort` is absent or `none`.
    only: The one value it takes of a parameter; others are dropped.
    at_most: The highest value it takes of a number; above it the number is clamped, as documented.
    not_with: Parameters it does not take together with another one, which is carried instead.
    renames: Its own name for a parameter.
    output_limit: Its name for the limit of the output; None: it takes both names.
    limit_includes_thinking: Whether thinking counts within that limit, which must then be larger than it.
    requires_limit: Whether it refuses a request without that limit.
    thinks_by_budget: Whether Anthropic's `thinking` takes a budget of tokens alone, and no effort.
    takes_system_turns: Whether it takes instructions between the turns of a conversation (Anthropic's).
    thinks_by_effort: Whether it takes an effort alone, and no budget.
    roles: Its own name for a role of a message.
    message_drops: Members of a message it does not take.
    include_usage: Whether it takes `stream_options.include_usage`.
    encrypts_thoughts: Whether it hands its reasoning over, encrypted, to whoever asks for that (OpenAI's).
    is_known: False where only the translator knows what is taken.
    """

    drops: frozenset[str] = frozenset()
    while_reasoning: frozenset[str] = frozenset()
    only: Mapping[str, Any] = field(default_factory=dict)
    at_most: Mapping[str, float] = field(default_factory=dict)
    not_with: Mapping[str, str] = field(default_factory=dict)
    renames: Mapping[str, str] = field(default_factory=dict)
    output_limit: str | None = None
    limit_includes_thinking: bool = False
    requires_limit: bool = False
    thinks_by_budget: bool = False
    thinks_by_effort: bool = False
    takes_system_turns: bool = False
    roles: Mapping[str, str] = field(default_factory=dict)
    message_drops: frozenset[str] = frozenset()
    include_usage: bool = True
    encrypts_thoughts: bool = False
    is_known: bool = True
    watched: frozenset[str] = field(init=False, repr=False, compare=False)
    names: Mapping[str, str] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        dropped = (name.partition(".")[0] for name in self.drops)
        named = (self.while_reasoning, self.only, self.at_most, self.not_with, self.renames)
        # The newer of OpenAI's two names comes last, so that it counts.
        limits = dict.fromkeys(reversed(OUTPUT_LIMITS), self.output_limit) if self.output_limit else {}
        object.__setattr__(self, "watched", frozenset().union(dropped, *named, limits))
        object.__setattr__(self, "names", {**limits, **self.renames})

    def lost(self, asked: Mapping[str, Any]) -> tuple[str, ...]:
        """
        Return the parameters of a request that this family would not accept as they are, sorted.

        For an unknown vendor, these are all but the ordinary ones.
        """
        lost = [name for name, value in self._changes(asked).items() if matters(name, asked[name], value)]
        if not self.is_known:
            lost += [name for name in asked.keys() - ORDINARY - set(lost) if matters(name, asked[name])]
        return told(lost)

    def fit(self, fields: dict[str, Any]) -> tuple[str, ...]:
        """Adapt a request in place; return the parameters that were dropped or clamped, sorted."""
        changed: list[str] = []
        if self.roles:
            self._name_roles(fields.get("messages"))
        if self.message_drops:
            changed += self._drop_members(fields.get("messages"))
        if not self.watched.isdisjoint(fields):
            for name, value in self._changes(fields).items():
                before = fields[name]
                if value is GONE:
                    del fields[name]
                else:
                    fields[name] = value
                if matters(name, before, value):
                    changed.append(name)
            given = {name: fields.pop(name) for name in self.names if name in fields}
            fields.update({self.names[name]: value for name, value in given.items() if value is not None})
        return told(changed) if changed else ()

    def _changes(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        """Return each parameter that cannot be sent as it is, with its replacement or GONE."""
        changes: dict[str, Any] = {}
        reasons = asked.get("reasoning_effort") not in (None, "none")
        for name in self.watched.intersection(asked):
            value = asked[name]
            if (
                name in self.drops
                or (reasons and name in self.while_reasoning)
                or (name in self.only and value != self.only[name])
                or (name in self.not_with and asked.get(self.not_with[name]) is not None)
                or (isinstance(value, dict) and f"{name}.{value.get('type')}" in self.drops)
            ):
                changes[name] = GONE
            elif (most := self.at_most.get(name)) is not None and _is_above(value, most):
                changes[name] = most
        return changes

    def _name_roles(self, messages: Any) -> None:
        for message in _objects_in(messages):
            role = message.get("role")
            if isinstance(role, str) and (own := self.roles.get(role)) is not None:
                message["role"] = own

    def _drop_members(self, messages: Any) -> list[str]:
        """Drop members of messages in place; return the names of those that were present."""
        dropped = set()
        for message in _objects_in(messages):
            for name in self.message_drops:
                if name in message:
                    del message[name]
                    dropped.add(f"messages.{name}")
        return list(dropped)


def _objects_in(messages: Any) -> list[dict[str, Any]]:
    """Return the messages of a chat; none of a request without valid messages."""
    given = messages if isinstance(messages, list) else []
    return [message for message in given if isinstance(message, dict)]


def told(names: Iterable[str]) -> tuple[str, ...]:
    """Return names for use in a header: clean, short, sorted, and at most `MOST_TOLD`."""
    clean = {_clean(name) for name in names}
    return tuple(sorted(clean)[:MOST_TOLD])


def _clean(name: str) -> str:
    kept = "".join(c if c.isascii() and (c.isalnum() or c in "_.-") else "_" for c in name[:LONGEST_NAME])
    return kept or "_"


def matters(name: str, before: Any, after: Any = GONE) -> bool:
    """Return whether the change of a parameter matters to the caller: not if its value was the default."""
    if before is None:
        return False
    neutral = name in NEUTRAL and _same(before, NEUTRAL[name])
    return not neutral if after is GONE else not _same(before, after)


def _same(one: Any, other: Any) -> bool:
    """Equality without `True == 1`."""
    return bool(one == other) and isinstance(one, bool) == isinstance(other, bool)


def _is_above(value: Any, most: float) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and value > most
