"""A chat request as a Messages request."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

from serve_app.formats.chat_to_messages.content import text_block
from serve_app.formats.chat_to_messages.conversation import Conversation
from serve_app.formats.chat_to_messages.tools import Tools
from serve_app.formats.checked_members import not_carried, object_at, text_at
from serve_app.formats.json_body import HINTS
from serve_app.formats.translated_ids import ToolNames
from serve_app.providers.catalogue.dialect import matters

# Carried under the same name. Some callers write Anthropic's own parameters into a chat request.
_SAME = frozenset({"model", "stream", "provider", "thinking", "top_k", "cache_control", *HINTS})
_READ = frozenset({
    "messages", "tools", "functions", "tool_choice", "function_call", "parallel_tool_calls", "stream_options",
    "max_tokens", "max_completion_tokens", "temperature", "top_p", "stop", "user", "safety_identifier",
    "service_tier", "response_format", "reasoning_effort", "modalities", "audio",
})  # fmt: skip
_KNOWN = _SAME | _READ

_HOTTEST = 1  # temperature; a chat goes to 2
_MOST_BREAKPOINTS = 4
_EFFORTS: Mapping[str, str] = MappingProxyType({
    "minimal": "low", "low": "low", "medium": "medium", "high": "high", "xhigh": "xhigh", "max": "max",
})  # fmt: skip
_SERVICE_TIERS: Mapping[str, str] = MappingProxyType({
    "auto": "auto", "default": "standard_only", "priority": "auto", "fast": "auto",
})  # fmt: skip
_ONLY_JSON = "Answer with one JSON object and with nothing else."


class MessagesRequest(NamedTuple):
    """
    A chat request, translated.

    Fields:
        body: the Messages request.
        custom: the names of the tools that take a text, as the upstream knows them.
    """

    body: dict[str, Any]
    custom: frozenset[str]


def messages_request(body: dict[str, Any], names: ToolNames, dropped: set[str]) -> MessagesRequest:
    """
    Translate a chat request.

    Args:
        body: the caller's chat request.
        names: gets the names of the tools.
        dropped: gets the names of the parameters that are lost.

    Raises:
        InvalidRequest: 400, the body holds what no message can carry and what must not be left out.
    """
    _refuse_meant(body)
    conversation = Conversation(body.get("messages"), names, dropped)
    asked = {name: value for name, value in body.items() if name in _SAME and value is not None}
    tools = Tools(body, names, dropped)
    for name, add in _ADD.items():
        if body.get(name) is not None:
            add(body[name], asked, dropped)
    if (body.get("response_format") or {}).get("type") == "json_object":
        conversation.system.append(text_block(_ONLY_JSON))
    if conversation.system:
        asked["system"] = conversation.system
    asked["messages"] = conversation.turns
    if tools.tools:
        asked["tools"] = tools.tools
    if tools.choice is not None:
        asked["tool_choice"] = tools.choice
    dropped.update(name for name, value in body.items() if name not in _KNOWN and matters(name, value))
    _bound_breakpoints(asked, dropped)
    return MessagesRequest(asked, frozenset(tools.custom))


def _refuse_meant(body: dict[str, Any]) -> None:
    """Refuse what an answer without it would not be an answer to."""
    modalities = body.get("modalities") or ()
    if body.get("audio") or any(modality != "text" for modality in modalities):
        name = "audio" if body.get("audio") else "modalities"
        raise not_carried(name, "An answer in sound", "ask for text")


def _limit(value: Any, asked: dict[str, Any], _: set[str]) -> None:
    asked["max_tokens"] = int(value)


def _temperature(value: Any, asked: dict[str, Any], dropped: set[str]) -> None:
    asked["temperature"] = min(value, _HOTTEST)
    if value > _HOTTEST:
        dropped.add("temperature")


def _top_p(value: Any, asked: dict[str, Any], dropped: set[str]) -> None:
    if "temperature" not in asked:
        asked["top_p"] = value
    elif matters("top_p", value):
        dropped.add("top_p")


def _stop(value: Any, asked: dict[str, Any], dropped: set[str]) -> None:
    stops = [value] if isinstance(value, str) else value
    kept = [stop for stop in stops if stop.strip()]
    if kept:
        asked["stop_sequences"] = kept
    if len(kept) < len(stops):
        dropped.add("stop")


def _user(value: Any, asked: dict[str, Any], _: set[str]) -> None:
    asked["metadata"] = {"user_id": text_at(value, "safety_identifier")}


def _service_tier(value: Any, asked: dict[str, Any], dropped: set[str]) -> None:
    if isinstance(value, str) and value in _SERVICE_TIERS:
        asked["service_tier"] = _SERVICE_TIERS[value]
    else:
        dropped.add("service_tier")


def _response_format(value: Any, asked: dict[str, Any], dropped: set[str]) -> None:
    kind = value.get("type")
    if kind == "json_schema":
        described = object_at(value.get("json_schema"), "response_format.json_schema")
        schema = object_at(described.get("schema"), "response_format.json_schema.schema")
        asked.setdefault("output_config", {})["format"] = {"type": "json_schema", "schema": schema}
    elif kind not in ("text", "json_object"):
        dropped.add("response_format")


def _reasoning_effort(value: Any, asked: dict[str, Any], dropped: set[str]) -> None:
    if value == "none":
        asked.setdefault("thinking", {"type": "disabled"})
    elif isinstance(value, str) and value in _EFFORTS:
        asked.setdefault("output_config", {})["effort"] = _EFFORTS[value]
    else:
        dropped.add("reasoning_effort")


def _bound_breakpoints(asked: dict[str, Any], dropped: set[str]) -> None:
    """Leave the last marks of what is to be cached, in the order of the prompt: there may be four."""
    turns = (block for turn in asked["messages"] for block in turn["content"])
    marked = [
        block
        for block in (*asked.get("tools", ()), *asked.get("system", ()), *turns)
        if "cache_control" in block
    ]
    most = _MOST_BREAKPOINTS - ("cache_control" in asked)
    for block in marked[: max(0, len(marked) - most)]:
        del block["cache_control"]
        dropped.add("messages.cache_control")


_ADD: Mapping[str, Callable[[Any, dict[str, Any], set[str]], None]] = MappingProxyType({
    "max_tokens": _limit,
    "max_completion_tokens": _limit,  # the newer name comes last, so that it counts
    "temperature": _temperature,
    "top_p": _top_p,
    "stop": _stop,
    "user": _user,
    "safety_identifier": _user,
    "service_tier": _service_tier,
    "response_format": _response_format,
    "reasoning_effort": _reasoning_effort,
})  # fmt: skip
