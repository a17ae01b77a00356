"""
The fields of a Responses request that a later stage relies on, each with its check.

A field that is not in the table passes through as it is; so does what a vendor adds to those that are.
Null is the same as absent.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from serve_app.errors import InvalidRequest
from serve_app.formats.json_body import (
    MOST_DOLLARS,
    MOST_TOKENS,
    InvalidField,
    flag,
    number,
    text,
    whole_number,
)
from serve_app.formats.openai_chat.fields import CHECKS as OF_CHATS

Check = Callable[[dict[str, Any], str], object]

# Fields by which the gateway decides something: a server that reads any spelling would find two of them.
_SPELLED = frozenset({
    "background", "container", "conversation", "include", "input", "instructions", "max_tool_calls", "model",
    "previous_response_id", "prompt", "reasoning", "service_tier", "store", "stream", "text", "tool_choice",
    "tools",
})  # fmt: skip

# What this API does not have, and servers that speak it often have: checked as in a chat.
SAMPLING = ("top_k", "min_p", "seed", "presence_penalty", "frequency_penalty")

_NAMED = ("function", "custom", "namespace")


def check_fields(body: dict[str, Any]) -> None:
    """
    Check the fields of a body.

    Raises:
        InvalidField: 422, a field is of the wrong kind or out of bounds.
        InvalidRequest: 400, something within a field is not what it must be.
    """
    for name in body:
        if name not in _SPELLED and (usual := name.casefold()) in _SPELLED:
            raise InvalidField(name, f"Write this field as '{usual}'", "extra_forbidden")
        check = CHECKS.get(name)
        if check is not None and body[name] is not None:
            check(body, name)


def tools_in(tools: Any, path: str) -> Iterator[tuple[dict[str, Any], str]]:
    """
    Yield every tool of a list with its path: also the members of a namespace, after it.

    Raises:
        InvalidRequest: 400, the list or a tool is not what it must be.
    """
    if not isinstance(tools, list):
        raise wrong(path, "should be a list of tools")
    for place, tool in enumerate(tools):
        here = f"{path}[{place}]"
        if not isinstance(tool, dict) or not isinstance(tool.get("type"), str):
            raise wrong(here, "a tool should be an object with a type")
        yield tool, here
        if tool["type"] == "namespace":
            for member, where in tools_in(tool.get("tools"), f"{here}.tools"):
                if member["type"] not in ("function", "custom"):
                    raise wrong(f"{where}.type", "a namespace holds tools of type function and custom")
                yield member, where


def check_tools(tools: Any, path: str) -> None:
    """
    Check a list of tools.

    Raises:
        InvalidRequest: 400, the list or a tool is not what it must be.
    """
    for tool, here in tools_in(tools, path):
        has_name = isinstance(tool.get("name"), str) and tool["name"] != ""
        if tool["type"] in _NAMED and not has_name:
            raise wrong(f"{here}.name", f"a tool of type {tool['type']} needs a name")
        if not isinstance(tool.get("description"), str | None):
            raise wrong(f"{here}.description", "should be a text")
        if tool["type"] == "function":
            if not isinstance(tool.get("parameters"), dict | None):
                raise wrong(f"{here}.parameters", "should be a JSON schema, an object")
            if not isinstance(tool.get("strict"), bool | None):
                raise wrong(f"{here}.strict", "should be true or false")


def wrong(path: str, message: str) -> InvalidRequest:
    """Return the refusal of what is at this path."""
    return InvalidRequest(f"{path}: {message}", param=path, code="invalid_value")


def _between(least: float, most: float) -> Check:
    return lambda body, name: number(body, name, least, most)


def _whole(least: float = float("-inf"), most: float = float("inf")) -> Check:
    return lambda body, name: whole_number(body, name, least, most)


def _object(body: dict[str, Any], name: str) -> None:
    if not isinstance(body[name], dict):
        raise InvalidField(name, "Input should be an object", "dict_type")


def _texts(body: dict[str, Any], name: str) -> None:
    value = body[name]
    if not (isinstance(value, list) and all(isinstance(item, str) for item in value)):
        raise InvalidField(name, "Input should be a list of texts", "list_type")


def _reasoning(body: dict[str, Any], name: str) -> None:
    _object(body, name)
    for word in ("effort", "summary", "generate_summary"):
        if not isinstance(body[name].get(word), str | None):
            raise wrong(f"{name}.{word}", "should be a text")


def _text(body: dict[str, Any], name: str) -> None:
    _object(body, name)
    if not isinstance(body[name].get("verbosity"), str | None):
        raise wrong(f"{name}.verbosity", "should be a text")
    wanted = body[name].get("format")
    if wanted is None:
        return
    path = f"{name}.format"
    if not isinstance(wanted, dict) or not isinstance(wanted.get("type"), str):
        raise wrong(f"{path}.type", "should be text, json_object or json_schema")
    if wanted["type"] == "json_schema":
        if not isinstance(wanted.get("name"), str):
            raise wrong(f"{path}.name", "a schema needs a name")
        if not isinstance(wanted.get("schema"), dict):
            raise wrong(f"{path}.schema", "should be a JSON schema, an object")


def _tools(body: dict[str, Any], name: str) -> None:
    if not isinstance(body[name], list):
        raise InvalidField(name, "Input should be a list of objects", "list_type")
    check_tools(body[name], name)


def _tool_choice(body: dict[str, Any], name: str) -> None:
    choice = body[name]
    if isinstance(choice, str):
        return
    if not isinstance(choice, dict) or not isinstance(choice.get("type"), str):
        raise wrong(name, "should be a text or an object with a type")
    if choice["type"] in ("function", "custom") and not isinstance(choice.get("name"), str):
        raise wrong(f"{name}.name", f"the choice of a tool of type {choice['type']} needs its name")
    if choice["type"] == "allowed_tools":
        allowed = choice.get("tools")
        if not isinstance(allowed, list) or not all(isinstance(tool, dict) for tool in allowed):
            raise wrong(f"{name}.tools", "should be a list of objects")


CHECKS: Mapping[str, Check] = {
    "model": text,
    "preferred_model": text,
    "require_vision": flag,
    "require_audio": flag,
    "max_cost": _between(0, MOST_DOLLARS),
    "context_size": _whole(1, MOST_TOKENS),
    "instructions": text,
    "previous_response_id": text,
    "temperature": _between(0, 2),
    "top_p": _between(0, 1),
    "top_logprobs": _whole(0),
    "max_output_tokens": _whole(1, MOST_TOKENS),
    "max_tool_calls": _whole(0, MOST_TOKENS),
    "stream": flag,
    "stream_options": _object,
    "store": flag,
    "background": flag,
    "parallel_tool_calls": flag,
    "include": _texts,
    "metadata": _object,
    "user": text,
    "reasoning": _reasoning,
    "text": _text,
    "tools": _tools,
    "tool_choice": _tool_choice,
    **{name: OF_CHATS[name] for name in SAMPLING},
}
