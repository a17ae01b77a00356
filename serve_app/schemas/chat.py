"""`POST /v1/chat/completions`, as far as the gateway must understand it (contract 1.4)."""

from typing import Any, NamedTuple

import orjson

from serve_app.accounting.usage import estimate_tokens
from serve_app.errors import InvalidRequest
from serve_app.schemas.body import InvalidField, cost_limit, flag, number, parse_body, text, whole_number
from serve_app.schemas.images import check_images

DEFAULT_OUTPUT_TOKENS = 500  # contract 3.3: what an answer is reckoned at when nobody set a limit


class ChatRequest(NamedTuple):
    """
    A chat request: the caller's bytes, and what routing needs to know of them.

    `input_tokens` is counted at four characters a token over the texts of the messages; `output_limit` is the
    most tokens one answer may have, None where the caller says nothing, `answers` how many are asked for;
    `writes_cache`: parts of the input are marked to be kept. `max_cost` is in nano-dollars.
    """

    raw: bytes
    model: str | None
    stream: bool
    wants_usage: bool
    images: int
    input_tokens: int
    output_tokens: int
    output_limit: int | None = None
    answers: int = 1
    service_tier: str | None = None
    writes_cache: bool = False
    preferred_model: str | None = None
    require_vision: bool = False
    require_audio: bool = False
    max_cost: int | None = None
    context_size: int | None = None


def read_chat(raw: bytes) -> ChatRequest:
    """Parse and check; InvalidRequest (400) and InvalidField (422) say what is wrong."""
    body = parse_body(raw)
    messages = _messages(body)
    number(body, "temperature", 0, 2)
    limit = whole_number(body, "max_completion_tokens", 1) or whole_number(body, "max_tokens", 1)
    stream = flag(body, "stream")
    answers = whole_number(body, "n", 1) or 1
    options = body.get("stream_options")
    return ChatRequest(
        raw=raw,
        model=text(body, "model"),
        stream=stream,
        wants_usage=stream and isinstance(options, dict) and bool(options.get("include_usage")),
        images=check_images(messages),
        input_tokens=estimate_tokens(_text_length(messages) + _length_of_tools(body)),
        output_tokens=(limit or DEFAULT_OUTPUT_TOKENS) * answers,
        output_limit=limit,
        answers=answers,
        service_tier=_tier(body),
        writes_cache=b'"cache_control"' in raw,
        preferred_model=text(body, "preferred_model"),
        require_vision=flag(body, "require_vision"),
        require_audio=flag(body, "require_audio"),
        max_cost=cost_limit(body),
        context_size=whole_number(body, "context_size", 1),
    )


def _tier(body: dict[str, Any]) -> str | None:
    """Some vendors let it be other than a text, and then it changes no price that we know of."""
    tier = body.get("service_tier")
    return tier if isinstance(tier, str) else None


def _messages(body: dict[str, Any]) -> list[dict[str, Any]]:
    messages = body.get("messages")
    if messages is None:
        raise InvalidField("messages", "Field required", "missing")
    if not isinstance(messages, list):
        raise InvalidField("messages", "Input should be a valid list", "list_type")
    if not messages:
        raise InvalidRequest("No messages provided", param="messages")
    for message in messages:
        if not isinstance(message, dict) or not isinstance(message.get("role"), str):
            raise InvalidField("messages", "Every message should be an object with a role", "model_type")
        content = message.get("content")
        if not isinstance(content, str | list | None):
            raise InvalidField("messages", "A content should be a text or a list of parts", "model_type")
        if isinstance(content, list):
            _check_parts(content)
    return messages


def _check_parts(parts: list[Any]) -> None:
    for part in parts:
        if not isinstance(part, dict) or not isinstance(part.get("type"), str):
            raise InvalidField(
                "messages", "A part of a content should be an object with a type", "model_type"
            )
        if part["type"] == "text" and not isinstance(part.get("text"), str):
            raise InvalidField("messages", "A part of type text should have a text", "model_type")


def _length_of_tools(body: dict[str, Any]) -> int:
    """Tools and response formats are read by the model as well, and paid for."""
    tools = body.get("tools")
    if tools is not None and not (isinstance(tools, list) and all(isinstance(t, dict) for t in tools)):
        raise InvalidField("tools", "Input should be a list of objects", "list_type")
    if not isinstance(body.get("response_format"), dict | None):
        raise InvalidField("response_format", "Input should be an object", "dict_type")
    return sum(
        len(orjson.dumps(body[name])) for name in ("tools", "functions", "response_format") if name in body
    )


def _text_length(messages: list[dict[str, Any]]) -> int:
    length = 0
    for message in messages:
        content = message.get("content")
        if isinstance(content, str):
            length += len(content)
        elif content:
            length += sum(len(part["text"]) for part in content if part["type"] == "text")
    return length
