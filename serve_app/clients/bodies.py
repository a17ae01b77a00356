"""The request bodies of the Python clients, in OpenAI's format."""

from collections.abc import Mapping, Sequence
from typing import Any

from serve_app.formats.exact_json import dumps

Messages = str | Sequence[Mapping[str, Any]]


def chat_body(messages: Messages, model: str | None, fields: Mapping[str, Any]) -> bytes:
    """Return the body of a chat request; a text is one message of the user."""
    spoken = [{"role": "user", "content": messages}] if isinstance(messages, str) else messages
    return _body({"messages": spoken}, model, fields)


def embedding_body(given: str | Sequence[Any], model: str | None, fields: Mapping[str, Any]) -> bytes:
    """Return the body of an embeddings request."""
    return _body({"input": given}, model, fields)


def _body(required: Mapping[str, Any], model: str | None, fields: Mapping[str, Any]) -> bytes:
    named = {} if model is None else {"model": model}
    return dumps({**fields, **named, **required})
