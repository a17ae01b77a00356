"""
The fields of a chat request that a later stage relies on, each with its check.

A field that is not in the table passes through as it is; so does what a vendor adds to those that are.
Null is the same as absent.
"""

from collections.abc import Callable, Mapping
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

MOST_ANSWERS = 128

Check = Callable[[dict[str, Any], str], object]


def check_fields(body: dict[str, Any]) -> None:
    """InvalidField 422 when a field is of the wrong kind or out of bounds, InvalidRequest 400 below it."""
    for name in body:
        check = CHECKS.get(name)
        if check is not None and body[name] is not None:
            check(body, name)


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


def _objects(body: dict[str, Any], name: str) -> None:
    value = body[name]
    if not (isinstance(value, list) and all(isinstance(item, dict) for item in value)):
        raise InvalidField(name, "Input should be a list of objects", "list_type")


def _stop(body: dict[str, Any], name: str) -> None:
    if not isinstance(body[name], str):
        if not isinstance(body[name], list):
            raise InvalidField(name, "Input should be a text or a list of texts", "list_type")
        _texts(body, name)


def _stream_options(body: dict[str, Any], name: str) -> None:
    _object(body, name)
    if not isinstance(body[name].get("include_usage"), bool | None):
        raise _wrong(f"{name}.include_usage", "should be true or false")


def _biases(body: dict[str, Any], name: str) -> None:
    _object(body, name)
    if not all(type(bias) in (int, float) for bias in body[name].values()):
        raise _wrong(name, "every bias should be a number")


def _tools(body: dict[str, Any], name: str) -> None:
    _objects(body, name)
    for place, tool in enumerate(body[name]):
        path = f"{name}[{place}]"
        if not isinstance(tool.get("type"), str | None):
            raise _wrong(f"{path}.type", "should be a text")
        if tool.get("type") == "function" or "function" in tool:
            _function(tool.get("function"), f"{path}.function")


def _functions(body: dict[str, Any], name: str) -> None:
    _objects(body, name)
    for place, function in enumerate(body[name]):
        _function(function, f"{name}[{place}]")


def _function(function: Any, path: str) -> None:
    if not isinstance(function, dict):
        raise _wrong(path, "a tool of type function needs an object with a name here")
    if not isinstance(function.get("name"), str) or not function["name"]:
        raise _wrong(f"{path}.name", "a function needs a name")
    if not isinstance(function.get("description"), str | None):
        raise _wrong(f"{path}.description", "should be a text")
    if not isinstance(function.get("parameters"), dict | None):
        raise _wrong(f"{path}.parameters", "should be a JSON schema, an object")
    if not isinstance(function.get("strict"), bool | None):
        raise _wrong(f"{path}.strict", "should be true or false")


def _tool_choice(body: dict[str, Any], name: str) -> None:
    choice = body[name]
    if isinstance(choice, str):
        return
    if not isinstance(choice, dict) or not isinstance(choice.get("type"), str | None):
        raise _wrong(name, "should be a text or an object with a type")
    if choice.get("type") == "function" or "function" in choice:
        function = choice.get("function")
        if not isinstance(function, dict) or not isinstance(function.get("name"), str):
            raise _wrong(f"{name}.function.name", "the choice of a function needs its name")


def _function_call(body: dict[str, Any], name: str) -> None:
    choice = body[name]
    if not isinstance(choice, str) and not (isinstance(choice, dict) and isinstance(choice.get("name"), str)):
        raise _wrong(name, "should be a text or an object with a name")


def _response_format(body: dict[str, Any], name: str) -> None:
    _object(body, name)
    wanted = body[name]
    if not isinstance(wanted.get("type"), str):
        raise _wrong(f"{name}.type", "should be text, json_object or json_schema")
    if wanted["type"] == "json_schema":
        schema = wanted.get("json_schema")
        if not isinstance(schema, dict):
            raise _wrong(f"{name}.json_schema", "should be an object with name and schema")
        if not isinstance(schema.get("name"), str):
            raise _wrong(f"{name}.json_schema.name", "a schema needs a name")
        if not isinstance(schema.get("schema"), dict):
            raise _wrong(f"{name}.json_schema.schema", "should be a JSON schema, an object")


def _wrong(path: str, message: str) -> InvalidRequest:
    return InvalidRequest(f"{path}: {message}", param=path, code="invalid_value")


CHECKS: Mapping[str, Check] = {
    "model": text,
    "preferred_model": text,
    "require_vision": flag,
    "require_audio": flag,
    "max_cost": _between(0, MOST_DOLLARS),
    "context_size": _whole(1, MOST_TOKENS),
    "temperature": _between(0, 2),
    "top_p": _between(0, 1),
    "min_p": _between(0, 1),
    "presence_penalty": _between(-2, 2),
    "frequency_penalty": _between(-2, 2),
    "n": _whole(1, MOST_ANSWERS),
    "seed": _whole(),
    "top_k": _whole(),
    "top_logprobs": _whole(),
    "max_tokens": _whole(1, MOST_TOKENS),
    "max_completion_tokens": _whole(1, MOST_TOKENS),
    "logit_bias": _biases,
    "logprobs": flag,
    "stop": _stop,
    "stream": flag,
    "stream_options": _stream_options,
    "user": text,
    "reasoning_effort": text,
    "store": flag,
    "parallel_tool_calls": flag,
    "metadata": _object,
    "modalities": _texts,
    "audio": _object,
    "prediction": _object,
    "thinking": _object,
    "web_search_options": _object,
    "tools": _tools,
    "tool_choice": _tool_choice,
    "functions": _functions,
    "function_call": _function_call,
    "response_format": _response_format,
}
