"""OpenAI's Responses, as the gateway asks it of a format (`formats/base.py`)."""

import hashlib
from collections.abc import Iterator, Mapping
from typing import Any

from serve_app.errors import GatewayError
from serve_app.formats.base import Chunk
from serve_app.formats.chat_request import ChatRequest
from serve_app.formats.exact_json import dumps, loads
from serve_app.formats.openai_chat.images import image_parts
from serve_app.formats.openai_error import openai_error
from serve_app.formats.openai_responses.events import (
    TERMINAL,
    chars_said,
    event_of,
    events_in,
    next_number,
    response_in,
    text_in,
    type_in,
    usage_in,
)
from serve_app.formats.openai_responses.items import in_chat_words, items_of, last_user_text
from serve_app.formats.openai_responses.request import read_responses
from serve_app.formats.sse import spliced, with_member
from serve_app.pricing.usage import Usage
from serve_app.providers.catalogue.wire_format import WireFormat


class OpenAIResponses:
    """The format of `POST /v1/responses`."""

    name = WireFormat.OPENAI_RESPONSES
    end = b""  # the last event says that the response is whole

    def parse(self, body: bytes) -> ChatRequest:
        return read_responses(body)

    def response(self, body: bytes, members: Mapping[str, object]) -> bytes:
        for name, value in members.items():
            body = spliced(body, name, value)
        return body

    def error(self, error: GatewayError) -> bytes:
        return openai_error(error)

    def last_user_text(self, body: bytes) -> str:
        return last_user_text(items_of(loads(body)))

    def with_system_text(self, body: bytes, text: str) -> bytes:
        fields: dict[str, Any] = loads(body)
        instructions = fields.get("instructions")
        return dumps({**fields, "instructions": f"{instructions}\n\n{text}" if instructions else text})

    def count_images(self, body: bytes) -> int:
        return sum(1 for _ in image_parts(in_chat_words(items_of(loads(body)))))

    def chunks(self, block: bytes) -> Iterator[Chunk]:
        return map(_chunk, events_in(block))

    def count_chars(self, block: bytes) -> int:
        return chars_said(block)

    def first_block(self, block: bytes, members: Mapping[str, object]) -> bytes:
        """
        Return the first block with members at the top of its first event, beside `response`.

        Clients replace their `response` by that of a later event, and a typed one may refuse members of it
        that it does not know; those of an event are ignored by all of them. Nothing is parsed for it.
        """
        for name, value in members.items():
            block = with_member(block, name, value)
        return block

    def rewritten(self, chunk: Chunk, text: str, answer_id: str | None) -> bytes:
        """Return the event as it is: none is plain, because later events repeat what was said before."""
        return event_of(chunk.payload)

    def usage_block(self, first_block: bytes, usage: Usage) -> bytes:
        return b""  # the last event has it, and nothing may follow that one

    def error_block(self, error: GatewayError, first_block: bytes = b"", last_block: bytes = b"") -> bytes:
        """
        Return the event that ends a response that failed.

        Args:
            error: why it failed.
            first_block: the first block that the caller was sent: it has the response's id.
            last_block: the last one: it has the number of the last event.
        """
        begun = next((found for payload in events_in(first_block) if (found := response_in(payload))), {})
        given = begun.get("id")
        response = {
            "object": "response",
            "created_at": 0,
            "model": None,
            "output": [],
            **begun,
            "id": given if isinstance(given, str) else _made_up_id(first_block),
            "status": "failed",
            "error": {
                "code": error.code,
                "message": error.told,
                "type": error.kind,
                "param": error.param,
            },
        }
        number = next_number(last_block or first_block)
        return event_of({"type": "response.failed", "response": response, "sequence_number": number})


OPENAI_RESPONSES = OpenAIResponses()


def _made_up_id(block: bytes) -> str:
    return f"resp_{hashlib.blake2b(block, digest_size=16).hexdigest()}"


def _chunk(payload: dict[str, Any]) -> Chunk:
    response = response_in(payload)
    is_end = type_in(payload) in TERMINAL
    given = response.get("id")
    usage = usage_in(response) if response else None
    return Chunk(
        payload=payload,
        text=text_in(payload),
        is_plain=False,
        is_end=is_end,
        is_needed=True,
        answer_id=given if isinstance(given, str) else None,
        usage=usage,
    )
