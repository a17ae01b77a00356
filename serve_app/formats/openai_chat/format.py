"""OpenAI's chat completions, as the gateway asks it of a format (`formats/base.py`)."""

from collections.abc import Iterator, Mapping
from typing import Any

from serve_app.errors import GatewayError
from serve_app.formats.base import Chunk
from serve_app.formats.chat_request import ChatRequest
from serve_app.formats.exact_json import dumps, loads
from serve_app.formats.openai_chat.chunks import (
    DONE,
    chars_said,
    choices_in,
    chunks_in,
    frame_of,
    is_plain_text,
    text_of,
    usage_chunk,
    usage_in,
)
from serve_app.formats.openai_chat.images import image_parts
from serve_app.formats.openai_chat.messages import last_user_text, with_system_text
from serve_app.formats.openai_chat.request import read_chat
from serve_app.formats.openai_error import openai_error
from serve_app.formats.sse import event, spliced, with_member
from serve_app.pricing.usage import Usage
from serve_app.providers.catalogue.wire_format import WireFormat


class OpenAIChat:
    """The format of `POST /v1/chat/completions`."""

    name = WireFormat.OPENAI_CHAT
    end = DONE

    def parse(self, body: bytes) -> ChatRequest:
        return read_chat(body)

    def response(self, body: bytes, members: Mapping[str, object]) -> bytes:
        for name, value in members.items():
            body = spliced(body, name, value)
        return body

    def error(self, error: GatewayError) -> bytes:
        return openai_error(error)

    def last_user_text(self, body: bytes) -> str:
        return last_user_text(_messages(body))

    def with_system_text(self, body: bytes, text: str) -> bytes:
        fields: dict[str, Any] = loads(body)
        return dumps({**fields, "messages": with_system_text(fields["messages"], text)})

    def count_images(self, body: bytes) -> int:
        return sum(1 for _ in image_parts(_messages(body)))

    def chunks(self, block: bytes) -> Iterator[Chunk]:
        return map(_chunk, chunks_in(block))

    def count_chars(self, block: bytes) -> int:
        return chars_said(block)

    def first_block(self, block: bytes, members: Mapping[str, object]) -> bytes:
        for name, value in members.items():
            block = with_member(block, name, value)
        return block

    def rewritten(self, chunk: Chunk, text: str, answer_id: str | None) -> bytes:
        payload = {**chunk.payload, **({} if answer_id is None else {"id": answer_id})}
        if "choices" in payload:
            choices = enumerate(choices_in(payload))
            payload["choices"] = [_with_text(choice, "" if place else text) for place, choice in choices]
        return frame_of(payload)

    def usage_block(self, first_block: bytes, usage: Usage) -> bytes:
        return frame_of(usage_chunk(next(chunks_in(first_block), {}), usage))

    def error_block(self, error: GatewayError, first_block: bytes = b"", last_block: bytes = b"") -> bytes:
        return event(openai_error(error))


OPENAI_CHAT = OpenAIChat()


def _messages(body: bytes) -> list[dict[str, Any]]:
    messages: list[dict[str, Any]] = loads(body)["messages"]
    return messages


def _chunk(payload: dict[str, Any]) -> Chunk:
    choices = choices_in(payload)
    text, is_plain, is_end = "", True, False
    for choice in choices:
        text += text_of(choice)
        is_plain = is_plain and is_plain_text(choice)
        is_end = is_end or bool(choice.get("finish_reason"))
    answer_id = payload.get("id")
    if not isinstance(answer_id, str):
        answer_id = None
    usage = usage_in(payload) if "usage" in payload else None
    return Chunk(payload, text, is_plain, is_end, is_end or not choices, answer_id, usage)


def _with_text(choice: dict[str, Any], text: str) -> dict[str, Any]:
    delta = choice.get("delta")
    if not isinstance(delta, dict) or "content" not in delta:
        return choice
    return {**choice, "delta": {**delta, "content": text}}
