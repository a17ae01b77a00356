"""A Messages request as a chat request."""

import hashlib
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from serve_app.formats.checked_members import not_carried, object_at, refused, text_at
from serve_app.formats.json_body import HINTS
from serve_app.formats.messages_to_chat.conversation import Conversation, system_message
from serve_app.formats.messages_to_chat.tools import add_tools
from serve_app.formats.strict_schema import is_strict
from serve_app.formats.translated_ids import ToolNames

# Carried under the same name; the gateway's own words are the provider's to take out.
_SAME = frozenset({"model", "max_tokens", "stream", "temperature", "top_p", "provider", *HINTS})
_READ = frozenset({
    "messages", "system", "tools", "tool_choice", "stop_sequences", "metadata", "service_tier", "speed",
    "thinking", "output_config",
})  # fmt: skip

_KNOWN = _SAME | _READ

_MOST_STOPS = 4  # of a chat request
_SERVICE_TIERS: Mapping[str, str] = MappingProxyType({"auto": "auto", "standard_only": "default"})

# The effort that thinking of so many tokens stands for: below the number. More is the highest.
_EFFORTS = ((2_048, "low"), (8_192, "medium"), (24_576, "high"))
_HIGHEST_EFFORT = "xhigh"


def chat_request(body: dict[str, Any], names: ToolNames, dropped: set[str]) -> dict[str, Any]:
    """
    Return the chat request.

    Args:
        body: the caller's Messages request.
        names: gets the names of the tools.
        dropped: gets the names of the parameters that are lost.

    Raises:
        InvalidRequest: 400, the body holds what a chat cannot carry and what must not be left out.
    """
    if body.get("max_tokens") == 0:
        message = "0 fills a cache of prompts, which this model has not; ask for at least 1"
        raise refused("max_tokens", message, code="unsupported_content")
    conversation = Conversation(body.get("messages"), names, dropped)
    chat = {name: value for name, value in body.items() if name in _SAME and value is not None}
    chat["messages"] = system_message(body.get("system"), dropped) + conversation.messages
    add_tools(body, chat, names, dropped)
    for name, add in _ADD.items():
        if body.get(name) is not None:
            add(body[name], chat, dropped)
    if conversation.effort is not None:
        chat["reasoning_effort"] = conversation.effort
    if "reasoning_effort" not in chat and body.get("thinking") is not None:
        dropped.add("thinking")
    dropped.update(name for name, value in body.items() if name not in _KNOWN and value is not None)
    return chat


def _stops(value: Any, chat: dict[str, Any], _: set[str]) -> None:
    if not isinstance(value, list) or not all(isinstance(stop, str) for stop in value):
        raise refused("stop_sequences", "should be a list of texts")
    if len(value) > _MOST_STOPS:
        raise not_carried("stop_sequences", f"More than {_MOST_STOPS} of them", "send fewer")
    if value:
        chat["stop"] = value


def _metadata(value: Any, chat: dict[str, Any], dropped: set[str]) -> None:
    """Name the user by a hash: Claude Code's id is longer than a chat takes, and tells of the account."""
    for name, member in object_at(value, "metadata").items():
        if name == "user_id" and isinstance(member, str) and member:
            chat["user"] = hashlib.sha256(member.encode("utf-8", "surrogatepass")).hexdigest()
        elif member is not None:
            dropped.add(f"metadata.{name}")


def _service_tier(value: Any, chat: dict[str, Any], dropped: set[str]) -> None:
    if isinstance(value, str) and value in _SERVICE_TIERS:
        chat["service_tier"] = _SERVICE_TIERS[value]
    else:
        dropped.add("service_tier")


def _speed(value: Any, chat: dict[str, Any], dropped: set[str]) -> None:
    if value == "fast":
        chat["service_tier"] = "priority"
    elif value != "standard":
        dropped.add("speed")


def _thinking(value: Any, chat: dict[str, Any], dropped: set[str]) -> None:
    thinking = object_at(value, "thinking")
    if thinking.get("type") == "disabled":
        chat["reasoning_effort"] = "none"
    elif thinking.get("type") == "enabled":
        budget = thinking.get("budget_tokens")
        if isinstance(budget, int | float):
            fitting = (effort for below, effort in _EFFORTS if budget < below)
            chat["reasoning_effort"] = next(fitting, _HIGHEST_EFFORT)
    if thinking.get("display") == "omitted":
        dropped.add("thinking.display")


def _output_config(value: Any, chat: dict[str, Any], dropped: set[str]) -> None:
    for name, member in object_at(value, "output_config").items():
        if name == "effort" and member is not None:
            effort = text_at(member, "output_config.effort")
            if chat.get("reasoning_effort") != "none":
                chat["reasoning_effort"] = effort
        elif name == "format" and member is not None:
            _format(object_at(member, "output_config.format"), chat)
        elif member is not None:
            dropped.add(f"output_config.{name}")


def _format(wanted: dict[str, Any], chat: dict[str, Any]) -> None:
    if wanted.get("type") != "json_schema":
        raise refused("output_config.format.type", "should be json_schema")
    schema = object_at(wanted.get("schema"), "output_config.format.schema")
    described: dict[str, Any] = {"name": "answer", "schema": schema}
    if is_strict(schema):
        described["strict"] = True
    chat["response_format"] = {"type": "json_schema", "json_schema": described}


_ADD: Mapping[str, Callable[[Any, dict[str, Any], set[str]], None]] = MappingProxyType({
    "stop_sequences": _stops,
    "metadata": _metadata,
    "service_tier": _service_tier,
    "speed": _speed,
    "thinking": _thinking,
    "output_config": _output_config,
})  # fmt: skip
