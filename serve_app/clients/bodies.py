"""What a Python caller says, as a body in OpenAI's words."""

from collections.abc import Mapping, Sequence
from typing import Any

from serve_app.formats.exact_json import dumps

Messages = str | Sequence[Mapping[str, Any]]


def chat_body(messages: Messages, model: str | None, fields: Mapping[str, Any]) -> bytes:
    """The body of a chat; a text is one message of the user's."""
    spoken = [{"role": "user", "content": messages}] if isinstance(messages, str) else messages
    return _body({"messages": spoken}, model, fields)


def embedding_body(given: str | Sequence[Any], model: str | None, fields: Mapping[str, Any]) -> bytes:
    """The body of a request for vectors."""
    return _body({"input": given}, model, fields)


def _body(required: Mapping[str, Any], model: str | None, fields: Mapping[str, Any]) -> bytes:
    named = {} if model is None else {"model": model}
    return dumps({**fields, **named, **required})
