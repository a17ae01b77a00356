"""`POST /v1/responses`, as far as the gateway must understand it."""

from collections.abc import Mapping, Sequence
from typing import Any

from serve_app.formats.chat_request import CACHE_MARKS, ChatRequest
from serve_app.formats.exact_json import dumps, has_member
from serve_app.formats.json_body import BOM, cost_limit, parameters_of, parse_body, whole
from serve_app.formats.links import links_in
from serve_app.formats.openai_chat.images import check_images, images_in_text, link_schemes
from serve_app.formats.openai_chat.output import read_output
from serve_app.formats.openai_chat.request import DEFAULT_OUTPUT_TOKENS, LEFT_TO_US
from serve_app.formats.openai_chat.thinking import asks_to_think
from serve_app.formats.openai_responses.account_objects import elements_of, refuse_stored, vendor_object
from serve_app.formats.openai_responses.fields import check_fields, tools_in
from serve_app.formats.openai_responses.hosted_tools import hosted_tools
from serve_app.formats.openai_responses.items import (
    Item,
    content_of,
    in_chat_words,
    items_of,
    parts_of,
    texts_of,
    tools_in_items,
    type_of,
)
from serve_app.formats.routing_fields import read_wishes
from serve_app.formats.vendor_objects import mcp_servers, refuse_other_models
from serve_app.pricing.prompt import prompt_of
from serve_app.pricing.usage import estimate_tokens

# What a request says, describes or is labelled with: no bound of the output is in there.
NO_OPTIONS = frozenset({"text", "instructions", "input", "tools", "metadata", "client_metadata"})
# What only this API has, and what says nothing to the model: no upstream has to take it.
_PROTOCOL = frozenset({
    "instructions", "store", "include", "background", "client_metadata", "prompt_cache_key",
    "prompt_cache_options", "prompt_cache_retention", "stream_options", "truncation",
})  # fmt: skip
_SIZED_ITEMS = ("message", "function_call_output", "custom_tool_call_output")
_PICTURE_ITEMS = ("image_generation_call", "computer_call_output")


def read_responses(raw: bytes) -> ChatRequest:
    """
    Parse and check a request that goes on from no stored response.

    Raises:
        InvalidRequest: 400 or 413, the body cannot be handled.
        InvalidField: 422, a field is missing or of the wrong kind.
    """
    raw = raw.removeprefix(BOM)
    body = parsed_fields(raw)
    refuse_stored(body)
    return read_fields(raw, body)


def parsed_fields(raw: bytes) -> dict[str, Any]:
    """
    Return the fields of a request, each checked by itself.

    Raises:
        InvalidRequest: 400 or 413, the body cannot be handled.
        InvalidField: 422, a field is of the wrong kind.
    """
    body = parse_body(raw.removeprefix(BOM))
    check_fields(body)
    return body


def read_fields(raw: bytes, body: dict[str, Any]) -> ChatRequest:
    """
    Return what routing needs to know of a request.

    Args:
        raw: the request's JSON.
        body: its fields, as `parsed_fields` returns them, with the whole conversation in `input`.

    Raises:
        InvalidRequest: 400, something within a field is not what it must be.
        InvalidField: 422, the input is missing or of the wrong kind.
    """
    items = items_of(body)
    output = read_output({name: value for name, value in body.items() if name not in NO_OPTIONS})
    found = _tools_of(body, items)
    refuse_other_models(found)
    tools = [tool for tool, _ in found]
    contents = in_chat_words(items)
    stream = bool(body.get("stream"))
    tier = body.get("service_tier")
    return ChatRequest(
        raw=raw,
        model=body.get("model"),
        stream=stream,
        wants_usage=stream,
        images=check_images(contents, param="input"),
        input_tokens=estimate_tokens(_text_length(body, items)),
        output_tokens=output.limit or DEFAULT_OUTPUT_TOKENS + output.thinking,
        prompt=prompt_of(len(raw), contents, bool(tools)),
        output_limit=output.limit,
        thinking=output.thinking,
        answers=output.answers,
        tools=hosted_tools(body, tools),
        service_tier=tier if isinstance(tier, str) else None,
        writes_cache=has_member(raw, body, CACHE_MARKS),
        thinks=asks_to_think(body),
        preferred_model=body.get("preferred_model"),
        require_vision=bool(body.get("require_vision")),
        require_audio=bool(body.get("require_audio")),
        max_cost=cost_limit(body),
        context_size=whole(body, "context_size"),
        written_images=images_in_text(items) if body.get("model") in LEFT_TO_US else 0,
        image_links=link_schemes(contents),
        links=links_in(content["content"] for content in contents),
        vendor_object=vendor_object(body),
        mcp_servers=mcp_servers(body, elements_of(body)),
        wishes=read_wishes(body),
        parameters=_parameters(body),
    )


def _tools_of(body: Mapping[str, Any], items: Sequence[Item]) -> list[tuple[dict[str, Any], str]]:
    """Return every tool of a request with its path: those of its items, and of namespaces, as well."""
    lists = [(body.get("tools") or [], "tools"), *tools_in_items(items)]
    return [found for tools, path in lists for found in tools_in(tools, path)]


def _parameters(body: dict[str, Any]) -> Mapping[str, Any]:
    """Return what is for the vendor, in the words of chat completions, as vendors' dialects have them."""
    given = {name: value for name, value in parameters_of(body).items() if name not in _PROTOCOL}
    reasoning, text = given.pop("reasoning", None) or {}, given.pop("text", None) or {}
    renamed = {
        "max_completion_tokens": given.pop("max_output_tokens", None),
        "reasoning_effort": reasoning.get("effort"),
        "response_format": text.get("format"),
        "verbosity": text.get("verbosity"),
    }
    return given | {name: value for name, value in renamed.items() if value is not None}


def _text_length(body: Mapping[str, Any], items: Sequence[Item]) -> int:
    """Return the bytes of what the model reads; pictures, sound and files are no text."""
    length = _bytes(body.get("instructions") or "")
    length += sum(len(dumps(body[name])) for name in ("tools", "text") if body.get(name))
    for item in items:
        if type_of(item) in _SIZED_ITEMS:
            length += sum(map(_bytes, texts_of(content_of(item))))
            length += sum(_bytes(part["refusal"]) for part in parts_of(item) if part["type"] == "refusal")
        elif type_of(item) not in _PICTURE_ITEMS:
            length += len(dumps(item))
    return length


def _bytes(written: str) -> int:
    """Return the length of the UTF-8, which is longer than the characters where it is not English."""
    return len(written) if written.isascii() else len(written.encode("utf-8", "surrogatepass"))
