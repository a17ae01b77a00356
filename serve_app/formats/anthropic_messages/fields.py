"""
The fields of a request for a message that a later stage relies on, each with its check.

A field that is not in the table passes through as it is. Null is the same as absent.
"""

from collections.abc import Mapping
from typing import Any

from serve_app.formats.field_checks import (
    Check,
    an_object,
    between,
    check_spelling,
    objects,
    texts,
    whole_between,
    wrong,
)
from serve_app.formats.field_checks import check_fields as run_checks
from serve_app.formats.json_body import MOST_DOLLARS, MOST_TOKENS, InvalidField, flag, text

# Fields by which the gateway decides something: a server that reads any spelling would find two of them.
_SPELLED = frozenset({
    "model", "messages", "system", "stream", "max_tokens", "tools", "tool_choice", "thinking",
    "output_config", "service_tier", "speed", "cache_control", "container", "mcp_servers", "thread",
    "fallbacks", "user_profile_id",
})  # fmt: skip


def check_fields(body: dict[str, Any]) -> None:
    """InvalidField 422 when a field is of the wrong kind or out of bounds, InvalidRequest 400 below it."""
    check_spelling(body, _SPELLED)
    run_checks(body, CHECKS)
    if body.get("max_tokens") is None:
        raise InvalidField("max_tokens", "Field required", "missing")


def _tools(body: dict[str, Any], name: str) -> None:
    objects(body, name)
    for place, tool in enumerate(body[name]):
        path = f"{name}[{place}]"
        if not isinstance(tool.get("type"), str | None):
            raise wrong(f"{path}.type", "should be a text")
        if tool.get("type") not in (None, "custom"):
            continue
        if not isinstance(tool.get("name"), str) or not tool["name"]:
            raise wrong(f"{path}.name", "a tool needs a name")
        if not isinstance(tool.get("description"), str | None):
            raise wrong(f"{path}.description", "should be a text")
        if not isinstance(tool.get("input_schema"), dict):
            raise wrong(f"{path}.input_schema", "should be a JSON schema, an object")


def _tool_choice(body: dict[str, Any], name: str) -> None:
    an_object(body, name)
    choice = body[name]
    if not isinstance(choice.get("type"), str):
        raise wrong(f"{name}.type", "should be auto, any, tool or none")
    if choice["type"] == "tool" and not isinstance(choice.get("name"), str):
        raise wrong(f"{name}.name", "a choice of type tool needs the name of one")
    if not isinstance(choice.get("disable_parallel_tool_use"), bool | None):
        raise wrong(f"{name}.disable_parallel_tool_use", "should be true or false")


def _thinking(body: dict[str, Any], name: str) -> None:
    an_object(body, name)
    thinking = body[name]
    if not isinstance(thinking.get("type"), str):
        raise wrong(f"{name}.type", "should be adaptive, enabled, between_tools or disabled")
    if (budget := thinking.get("budget_tokens")) is not None:
        path = f"{name}.budget_tokens"
        whole_between(0, MOST_TOKENS)({path: budget}, path)


def _output_config(body: dict[str, Any], name: str) -> None:
    an_object(body, name)
    if not isinstance(body[name].get("effort"), str | None):
        raise wrong(f"{name}.effort", "should be a text")
    if not isinstance(body[name].get("format"), dict | None):
        raise wrong(f"{name}.format", "should be an object")


def _metadata(body: dict[str, Any], name: str) -> None:
    an_object(body, name)
    if not isinstance(body[name].get("user_id"), str | None):
        raise wrong(f"{name}.user_id", "should be a text")


CHECKS: Mapping[str, Check] = {
    "model": text,
    "preferred_model": text,
    "require_vision": flag,
    "require_audio": flag,
    "max_cost": between(0, MOST_DOLLARS),
    "context_size": whole_between(1, MOST_TOKENS),
    "max_tokens": whole_between(0, MOST_TOKENS),
    "temperature": between(0, 1),
    "top_p": between(0, 1),
    "top_k": whole_between(0),
    "stop_sequences": texts,
    "stream": flag,
    "metadata": _metadata,
    "service_tier": text,
    "speed": text,
    "cache_control": an_object,
    "thinking": _thinking,
    "output_config": _output_config,
    "tools": _tools,
    "tool_choice": _tool_choice,
}
