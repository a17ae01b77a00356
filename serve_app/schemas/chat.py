"""`POST /v1/chat/completions`, as far as the gateway must understand it (contract 1.4)."""

from dataclasses import dataclass
from typing import Any

from serve_app.accounting.usage import estimate_tokens
from serve_app.errors import InvalidRequest
from serve_app.schemas.body import InvalidField, cost_limit, flag, number, parse_body, text, whole_number
from serve_app.schemas.images import check_images

DEFAULT_OUTPUT_TOKENS = 500  # contract 3.3: what an answer is reckoned at when nobody set a limit


@dataclass(frozen=True, slots=True)
class ChatRequest:
    """
    A chat request: the caller's bytes, and what routing needs to know of them.

    `input_tokens` is counted at four characters a token over the texts of the messages; `max_cost` is in
    nano-dollars.
    """

    raw: bytes
    model: str | None
    stream: bool
    wants_usage: bool
    images: int
    input_tokens: int
    output_tokens: int
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
    options = body.get("stream_options")
    return ChatRequest(
        raw=raw,
        model=text(body, "model"),
        stream=stream,
        wants_usage=stream and isinstance(options, dict) and bool(options.get("include_usage")),
        images=check_images(messages),
        input_tokens=estimate_tokens(_text_length(messages)),
        output_tokens=limit or DEFAULT_OUTPUT_TOKENS,
        preferred_model=text(body, "preferred_model"),
        require_vision=flag(body, "require_vision"),
        require_audio=flag(body, "require_audio"),
        max_cost=cost_limit(body),
        context_size=whole_number(body, "context_size", 1),
    )


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
        if not isinstance(message.get("content"), str | list | None):
            raise InvalidField("messages", "A content should be a text or a list of parts", "model_type")
    return messages


def _text_length(messages: list[dict[str, Any]]) -> int:
    length = 0
    for message in messages:
        content = message.get("content")
        if isinstance(content, str):
            length += len(content)
        elif content:
            length += sum(len(part.get("text") or "") for part in content if isinstance(part, dict))
    return length
