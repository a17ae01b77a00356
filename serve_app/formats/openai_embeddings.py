"""`POST /v1/embeddings`, as far as the gateway must understand it."""

from collections.abc import Mapping
from typing import Any

from serve_app.errors import GatewayError
from serve_app.formats.embedding_request import EmbeddingRequest
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
from serve_app.formats.openai_error import openai_error
from serve_app.formats.routing_fields import read_wishes
from serve_app.formats.sse import spliced
from serve_app.pricing.prompt import Prompt
from serve_app.pricing.usage import estimate_tokens
from serve_app.providers.catalogue.wire_format import WireFormat


class OpenAIEmbeddings:
    """The format of `POST /v1/embeddings`."""

    name = WireFormat.OPENAI_EMBEDDINGS

    def parse(self, body: bytes) -> EmbeddingRequest:
        return read_embedding(body)

    def response(self, body: bytes, members: Mapping[str, object]) -> bytes:
        for name, value in members.items():
            body = spliced(body, name, value)
        return body

    def error(self, error: GatewayError) -> bytes:
        return openai_error(error)


OPENAI_EMBEDDINGS = OpenAIEmbeddings()


def read_embedding(raw: bytes) -> EmbeddingRequest:
    """Parse and check; InvalidRequest (400, 413) and InvalidField (422) say what is wrong."""
    raw = raw.removeprefix(BOM)
    body = parse_body(raw)
    if "input" not in body:
        raise InvalidField("input", "Field required", "missing")
    tokens(body, "dimensions")
    text(body, "encoding_format")
    text(body, "user")
    return EmbeddingRequest(
        raw=raw,
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
