"""
The fields of a chat request that a later stage relies on, each with its check.

A field that is not in the table passes through as it is; so does what a vendor adds to those that are.
Null is the same as absent.
"""

from collections.abc import Mapping
from typing import Any

from serve_app.formats.field_checks import (
    Check,
    an_object,
    between,
    objects,
    texts,
    whole_between,
    wrong,
)
from serve_app.formats.field_checks import check_fields as run_checks
from serve_app.formats.json_body import MOST_DOLLARS, MOST_TOKENS, InvalidField, flag, text

MOST_ANSWERS = 128


def check_fields(body: dict[str, Any]) -> None:
    """InvalidField 422 when a field is of the wrong kind or out of bounds, InvalidRequest 400 below it."""
    run_checks(body, CHECKS)


def _stop(body: dict[str, Any], name: str) -> None:
    if not isinstance(body[name], str):
        if not isinstance(body[name], list):
            raise InvalidField(name, "Input should be a text or a list of texts", "list_type")
        texts(body, name)


def _stream_options(body: dict[str, Any], name: str) -> None:
    an_object(body, name)
    if not isinstance(body[name].get("include_usage"), bool | None):
        raise wrong(f"{name}.include_usage", "should be true or false")


def _biases(body: dict[str, Any], name: str) -> None:
    an_object(body, name)
    if not all(type(bias) in (int, float) for bias in body[name].values()):
        raise wrong(name, "every bias should be a number")


def _tools(body: dict[str, Any], name: str) -> None:
    objects(body, name)
    for place, tool in enumerate(body[name]):
        path = f"{name}[{place}]"
        if not isinstance(tool.get("type"), str | None):
            raise wrong(f"{path}.type", "should be a text")
        if tool.get("type") == "function" or "function" in tool:
            _function(tool.get("function"), f"{path}.function")


def _functions(body: dict[str, Any], name: str) -> None:
    objects(body, name)
    for place, function in enumerate(body[name]):
        _function(function, f"{name}[{place}]")


def _function(function: Any, path: str) -> None:
    if not isinstance(function, dict):
        raise wrong(path, "a tool of type function needs an object with a name here")
    if not isinstance(function.get("name"), str) or not function["name"]:
        raise wrong(f"{path}.name", "a function needs a name")
    if not isinstance(function.get("description"), str | None):
        raise wrong(f"{path}.description", "should be a text")
    if not isinstance(function.get("parameters"), dict | None):
        raise wrong(f"{path}.parameters", "should be a JSON schema, an object")
    if not isinstance(function.get("strict"), bool | None):
        raise wrong(f"{path}.strict", "should be true or false")


def _tool_choice(body: dict[str, Any], name: str) -> None:
    choice = body[name]
    if isinstance(choice, str):
        return
    if not isinstance(choice, dict) or not isinstance(choice.get("type"), str | None):
        raise wrong(name, "should be a text or an object with a type")
    if choice.get("type") == "function" or "function" in choice:
        function = choice.get("function")
        if not isinstance(function, dict) or not isinstance(function.get("name"), str):
            raise wrong(f"{name}.function.name", "the choice of a function needs its name")


def _function_call(body: dict[str, Any], name: str) -> None:
    choice = body[name]
    if not isinstance(choice, str) and not (isinstance(choice, dict) and isinstance(choice.get("name"), str)):
        raise wrong(name, "should be a text or an object with a name")


def _response_format(body: dict[str, Any], name: str) -> None:
    an_object(body, name)
    wanted = body[name]
    if not isinstance(wanted.get("type"), str):
        raise wrong(f"{name}.type", "should be text, json_object or json_schema")
    if wanted["type"] == "json_schema":
        schema = wanted.get("json_schema")
        if not isinstance(schema, dict):
            raise wrong(f"{name}.json_schema", "should be an object with name and schema")
        if not isinstance(schema.get("name"), str):
            raise wrong(f"{name}.json_schema.name", "a schema needs a name")
        if not isinstance(schema.get("schema"), dict):
            raise wrong(f"{name}.json_schema.schema", "should be a JSON schema, an object")


CHECKS: Mapping[str, Check] = {
    "model": text,
    "preferred_model": text,
    "require_vision": flag,
    "require_audio": flag,
    "max_cost": between(0, MOST_DOLLARS),
    "context_size": whole_between(1, MOST_TOKENS),
    "temperature": between(0, 2),
    "top_p": between(0, 1),
    "min_p": between(0, 1),
    "presence_penalty": between(-2, 2),
    "frequency_penalty": between(-2, 2),
    "n": whole_between(1, MOST_ANSWERS),
    "seed": whole_between(),
    "top_k": whole_between(),
    "top_logprobs": whole_between(),
    "max_tokens": whole_between(1, MOST_TOKENS),
    "max_completion_tokens": whole_between(1, MOST_TOKENS),
    "logit_bias": _biases,
    "logprobs": flag,
    "stop": _stop,
    "stream": flag,
    "stream_options": _stream_options,
    "user": text,
    "reasoning_effort": text,
    "store": flag,
    "parallel_tool_calls": flag,
    "metadata": an_object,
    "modalities": texts,
    "audio": an_object,
    "prediction": an_object,
    "thinking": an_object,
    "web_search_options": an_object,
    "tools": _tools,
    "tool_choice": _tool_choice,
    "functions": _functions,
    "function_call": _function_call,
    "response_format": _response_format,
}
