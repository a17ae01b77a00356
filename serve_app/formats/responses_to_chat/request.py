"""A Responses request as a chat request."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from serve_app.formats.json_body import HINTS
from serve_app.formats.openai_responses.fields import SAMPLING
from serve_app.formats.openai_responses.items import items_of, tools_in_items
from serve_app.formats.responses_to_chat.messages import MessageWriter
from serve_app.formats.responses_to_chat.tools import ToolTable, chat_choice

# Carried under the same name. Only what the caller's format has checked may be in here: a member of a chat's
# that it does not know (`messages`, `audio`) would reach the upstream unseen.
_SAME = frozenset({
    "stream", "temperature", "top_p", "parallel_tool_calls", "metadata", "user", "safety_identifier",
    "service_tier", "prompt_cache_key", "provider", *SAMPLING, *HINTS,
})  # fmt: skip
# What is written in other words below, or is about the transport and the gateway's own store.
_READ_HERE = frozenset({
    "model", "input", "instructions", "tools", "tool_choice", "text", "reasoning", "max_output_tokens",
    "include", "top_logprobs", "store", "background", "stream_options", "previous_response_id",
    "client_metadata", "conversation", "prompt",
})  # fmt: skip
_ASK_FOR_NOTHING: Mapping[str, Any] = {"truncation": "disabled"}  # values that lose nothing if left out
_KNOWN = _SAME | _READ_HERE
_ENCRYPTED = "reasoning.encrypted_content"
_LOGPROBS = "message.output_text.logprobs"


class ChatBody(NamedTuple):
    """
    A chat request.

    Fields:
        fields: its members.
        table: what its functions stand for.
        dropped: what of the caller's request it does not have.
    """

    fields: dict[str, Any]
    table: ToolTable
    dropped: set[str]


def chat_body(asked: Mapping[str, Any]) -> ChatBody:
    """
    Return a Responses request, which is checked already, as a chat request.

    Raises:
        InvalidRequest: 400, the request has what a chat cannot have and what must not be left out.
    """
    items, table = items_of(asked), ToolTable()
    table.add(asked.get("tools") or ())
    for tools, _ in tools_in_items(items):
        table.add(tools)
    writer = MessageWriter(table)
    writer.write(items)
    messages = writer.messages
    if instructions := asked.get("instructions"):
        messages = [{"role": "system", "content": instructions}, *messages]
    passed = {name: value for name, value in asked.items() if name in _SAME}
    fields: dict[str, Any] = {"model": asked.get("model"), "messages": messages, **passed}
    if asked.get("stream"):
        fields["stream_options"] = {"include_usage": True}  # the last event has the usage
    choice = chat_choice(asked.get("tool_choice"), table)
    if table.functions:
        fields["tools"] = table.functions
        if choice is not None:
            fields["tool_choice"] = choice
    else:
        fields.pop("parallel_tool_calls", None)
    dropped = {
        name
        for name, value in asked.items()
        if name not in _KNOWN and value is not None and value != _ASK_FOR_NOTHING.get(name)
    }
    _write_output(asked, fields, dropped)
    return ChatBody(fields, table, dropped | table.dropped | writer.dropped)


def _write_output(asked: Mapping[str, Any], fields: dict[str, Any], dropped: set[str]) -> None:
    """Write what bounds and shapes the output; note what a chat does not have of it."""
    if (limit := asked.get("max_output_tokens")) is not None:
        fields["max_tokens"] = limit
    reasoning, text = asked.get("reasoning") or {}, asked.get("text") or {}
    if (effort := reasoning.get("effort")) is not None:
        fields["reasoning_effort"] = effort
    dropped |= {
        f"reasoning.{name}" for name in ("context", "mode") if reasoning.get(name) not in (None, "auto")
    }
    if (verbosity := text.get("verbosity")) is not None:
        fields["verbosity"] = verbosity
    wanted = text.get("format") or {"type": "text"}
    if wanted["type"] == "json_schema":
        schema = {name: wanted[name] for name in _SCHEMA if wanted.get(name) is not None}
        fields["response_format"] = {"type": "json_schema", "json_schema": schema}
    elif wanted["type"] != "text":
        fields["response_format"] = wanted
    include = asked.get("include") or []
    if _LOGPROBS in include:
        fields["logprobs"] = True
        if (most := asked.get("top_logprobs")) is not None:
            fields["top_logprobs"] = most
    if set(include) - {_ENCRYPTED, _LOGPROBS}:
        dropped.add("include")


_SCHEMA = ("name", "description", "schema", "strict")
