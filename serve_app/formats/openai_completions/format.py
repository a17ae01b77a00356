"""OpenAI's text completions, as the gateway asks it of a format (`formats/base.py`)."""

from collections.abc import Iterator, Mapping
from typing import Any

from serve_app.errors import GatewayError
from serve_app.formats.base import Chunk
from serve_app.formats.chat_request import ChatRequest
from serve_app.formats.exact_json import dumps, loads
from serve_app.formats.openai_chat.chunks import DONE, choices_in, chunks_in, frame_of, usage_chunk, usage_in
from serve_app.formats.openai_completions.chunks import TEXT_COMPLETION, chars_said, is_plain_text, text_of
from serve_app.formats.openai_completions.request import read_completion
from serve_app.formats.openai_error import openai_error
from serve_app.formats.sse import event, spliced, with_member
from serve_app.pricing.usage import Usage
from serve_app.providers.catalogue.wire_format import WireFormat


class OpenAICompletions:
    """The format of `POST /v1/completions`."""

    name = WireFormat.OPENAI_COMPLETIONS
    end = DONE

    def parse(self, body: bytes) -> ChatRequest:
        return read_completion(body)

    def response(self, body: bytes, members: Mapping[str, object]) -> bytes:
        for name, value in members.items():
            body = spliced(body, name, value)
        return body

    def error(self, error: GatewayError) -> bytes:
        return openai_error(error)

    def last_user_text(self, body: bytes) -> str:
        prompt = loads(body)["prompt"]
        last = prompt[-1] if isinstance(prompt, list) else prompt
        return last if isinstance(last, str) else ""

    def with_system_text(self, body: bytes, text: str) -> bytes:
        """Put the text before each prompt that is a text: a completion has no instructions of its own."""
        fields: dict[str, Any] = loads(body)
        prompt = fields["prompt"]
        if isinstance(prompt, list):
            before = [f"{text}\n\n{part}" if isinstance(part, str) else part for part in prompt]
            return dumps({**fields, "prompt": before})
        return dumps({**fields, "prompt": f"{text}\n\n{prompt}"})

    def count_images(self, body: bytes) -> int:
        return 0

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
            payload["choices"] = [{**choice, "text": "" if place else text} for place, choice in choices]
        return frame_of(payload)

    def usage_block(self, first_block: bytes, usage: Usage) -> bytes:
        chunk = usage_chunk(next(chunks_in(first_block), {}), usage)
        return frame_of({**chunk, "object": TEXT_COMPLETION})

    def error_block(self, error: GatewayError, first_block: bytes = b"", last_block: bytes = b"") -> bytes:
        return event(openai_error(error))


OPENAI_COMPLETIONS = OpenAICompletions()


def _chunk(payload: dict[str, Any]) -> Chunk:
    choices = choices_in(payload)
    is_end = any(choice.get("finish_reason") for choice in choices)
    answer_id = payload.get("id")
    return Chunk(
        payload,
        "".join(map(text_of, choices)),
        all(map(is_plain_text, choices)),
        is_end,
        is_end or not choices,
        answer_id if isinstance(answer_id, str) else None,
        usage_in(payload),
    )
