"""`POST /v1/embeddings`, as far as the gateway must understand it."""

from typing import Any

from serve_app.config.model import ModelTask
from serve_app.formats.json_body import (
    BOM,
    MOST_TOKENS,
    InvalidField,
    cost_limit,
    parameters_of,
    parse_body,
    text,
    tokens,
)
from serve_app.formats.links import links_in
from serve_app.formats.routing_fields import read_wishes
from serve_app.formats.task_format import TaskFormat
from serve_app.formats.task_request import TaskRequest
from serve_app.pricing.prompt import Prompt
from serve_app.pricing.usage import estimate_tokens
from serve_app.providers.catalogue.wire_format import WireFormat


def read_embedding(raw: bytes) -> TaskRequest:
    """Parse and check; InvalidRequest (400, 413) and InvalidField (422) say what is wrong."""
    raw = raw.removeprefix(BOM)
    body = parse_body(raw)
    if "input" not in body:
        raise InvalidField("input", "Field required", "missing")
    tokens(body, "dimensions")
    text(body, "encoding_format")
    text(body, "user")
    return TaskRequest(
        raw=raw,
        task=ModelTask.EMBEDDING,
        model=text(body, "model"),
        input_tokens=_tokens(body["input"]),
        prompt=Prompt(len(raw)),
        preferred_model=text(body, "preferred_model"),
        max_cost=cost_limit(body),
        links=_links(body.get("messages")),
        wishes=read_wishes(body),
        parameters=parameters_of(body),
    )


def _links(messages: Any) -> frozenset[str]:
    """Return where links lead that are to be embedded: vLLM takes the messages of a chat as well."""
    given = messages if isinstance(messages, list) else []
    return links_in(message.get("content") for message in given if isinstance(message, dict))


def _tokens(value: Any) -> int:
    """A text, a list of texts, a list of tokens, or a list of those: OpenAI takes all four."""
    if isinstance(value, str):
        return estimate_tokens(len(value))
    if isinstance(value, list) and value:
        if all(isinstance(item, str) for item in value):
            return sum(estimate_tokens(len(item)) for item in value)
        if _are_tokens(value):
            return len(value)
        if all(isinstance(item, list) and item and _are_tokens(item) for item in value):
            return sum(len(item) for item in value)
    raise InvalidField("input", "Input should be a text, a list of texts, or lists of tokens", "input_type")


def _are_tokens(value: list[Any]) -> bool:
    return all(_is_token(item) for item in value)


def _is_token(item: Any) -> bool:
    """JSON has one kind of number: 5.0 is a whole one."""
    is_whole = type(item) is int or (type(item) is float and item.is_integer())
    return is_whole and 0 <= item <= MOST_TOKENS


OPENAI_EMBEDDINGS = TaskFormat(WireFormat.OPENAI_EMBEDDINGS, read_embedding)
