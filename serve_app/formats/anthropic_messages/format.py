"""Anthropic's Messages, as the gateway asks it of a format (`formats/base.py`)."""

from collections.abc import Iterator, Mapping
from typing import Any

from serve_app.errors import GatewayError
from serve_app.formats.anthropic_messages.blocks import blocks_in
from serve_app.formats.anthropic_messages.error import messages_error
from serve_app.formats.anthropic_messages.events import (
    BLOCK_DELTA,
    PING,
    START,
    chars_said,
    delta_in,
    event_of,
    events_in,
    usage_in,
    usage_of_message,
    with_members,
)
from serve_app.formats.anthropic_messages.messages import contents_of, last_user_text, with_system_text
from serve_app.formats.anthropic_messages.request import read_messages
from serve_app.formats.base import Chunk
from serve_app.formats.chat_request import ChatRequest
from serve_app.formats.exact_json import dumps, loads
from serve_app.formats.sse import event, spliced
from serve_app.pricing.usage import Usage
from serve_app.providers.catalogue.wire_format import WireFormat


class AnthropicMessages:
    """The format of `POST /v1/messages`."""

    name = WireFormat.ANTHROPIC_MESSAGES
    end = b""  # `message_stop` is an event like the others

    def parse(self, body: bytes) -> ChatRequest:
        return read_messages(body)

    def response(self, body: bytes, members: Mapping[str, object]) -> bytes:
        for name, value in members.items():
            body = spliced(body, name, value)
        return body

    def error(self, error: GatewayError) -> bytes:
        return messages_error(error)

    def last_user_text(self, body: bytes) -> str:
        return last_user_text(loads(body))

    def with_system_text(self, body: bytes, text: str) -> bytes:
        return dumps(with_system_text(loads(body), text))

    def count_images(self, body: bytes) -> int:
        return sum(block.get("type") == "image" for block in blocks_in(contents_of(loads(body))))

    def chunks(self, block: bytes) -> Iterator[Chunk]:
        return (_chunk(payload) for payload in events_in(block) if payload["type"] != PING)

    def count_chars(self, block: bytes) -> int:
        return chars_said(block)

    def first_block(self, block: bytes, members: Mapping[str, object]) -> bytes:
        return with_members(block, members)

    def rewritten(self, chunk: Chunk, text: str, answer_id: str | None) -> bytes:
        payload = chunk.payload
        if payload["type"] == BLOCK_DELTA:
            payload = {**payload, "delta": {**payload["delta"], "text": text}}
        elif payload["type"] == START and answer_id is not None:
            payload = {**payload, "message": {**payload["message"], "id": answer_id}}
        return event_of(payload["type"], payload)

    def usage_block(self, first_block: bytes, usage: Usage) -> bytes:
        return b""  # it is a part of `message_delta`, without which a stream is not whole

    def error_block(self, error: GatewayError, first_block: bytes = b"", last_block: bytes = b"") -> bytes:
        return event(messages_error(error), b"error")


ANTHROPIC_MESSAGES = AnthropicMessages()


def _chunk(payload: dict[str, Any]) -> Chunk:
    """
    Read an event.

    An answer is plain as long as it is one block of text. After its start and after the end of the block, no
    text can follow: a continuation leaves out what opens a block, because the caller has that already.
    """
    match payload:
        case {"type": "message_start", "message": {"content": []} as message}:
            answer_id = message.get("id")
            known = answer_id if isinstance(answer_id, str) else None
            return _plain(payload, answer_id=known, text_may_follow=False)
        case {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}:
            return _plain(payload, text_may_follow=True)
        case {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": str(text)}}:
            return _plain(payload, text=text)
        case {"type": "content_block_stop", "index": 0}:
            return _plain(payload, is_needed=True, text_may_follow=False)
        case {"type": "message_delta"}:
            is_end = bool(delta_in(payload).get("stop_reason"))
            usage = usage_of_message(usage_in(payload))
            return _plain(payload, is_end=is_end, is_needed=True, usage=usage)
        case {"type": "message_stop"}:
            return _plain(payload, is_needed=True)
    return _plain(payload)._replace(is_plain=False)


def _plain(payload: dict[str, Any], **fields: Any) -> Chunk:
    usual = {"text": "", "is_end": False, "is_needed": False, "answer_id": None, "usage": None}
    return Chunk(payload, is_plain=True, **{**usual, **fields})
