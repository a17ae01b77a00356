"""
The usage of an answer, counted here because the upstream did not report it.

Only where the model's tokenizer is known; otherwise the router estimates it from lengths.
"""

import asyncio
import io
import logging
from collections.abc import Iterator, Mapping
from typing import Any

from serve_app.formats.exact_json import dumps, loads
from serve_app.formats.openai_chat.images import image_parts
from serve_app.pricing.usage import CHARS_PER_TOKEN, Usage
from serve_app.providers.base import Call
from serve_app.providers.tokenizer import Tokenizer, tokenizer_for

logger = logging.getLogger("sekha.providers")

MOST_KEPT = 1_000_000  # characters of a stream that are kept until its end; the rest is counted by length
PER_MESSAGE = 3  # tokens around each message, and once more before the answer (OpenAI's cookbook)
PER_IMAGE = 765  # tokens of a picture of 1024 by 1024, as gpt-4o counts it

_SPOKEN = frozenset({"content", "refusal", "reasoning_content", "reasoning"})


class Said:
    """The text of an answer, kept to be counted."""

    def __init__(self) -> None:
        self._text = io.StringIO()
        self._kept = 0
        self._beyond = 0

    def listen(self, chunk: Any, part: str = "delta") -> None:
        """Keep the text of a chunk; of a whole answer, where `part` is `message`."""
        choices = chunk.get("choices") if isinstance(chunk, dict) else None
        for choice in choices if isinstance(choices, list) else ():
            message = choice.get(part) if isinstance(choice, dict) else None
            if message is None and isinstance(choice, dict) and isinstance(choice.get("text"), str):
                self._keep(choice["text"])  # of a text completion
                continue
            if isinstance(message, dict) and len(message) == 1 and isinstance(message.get("content"), str):
                self._keep(message["content"])  # one token of a stream: nearly every chunk
            else:
                for text in _spoken(message):
                    self._keep(text)

    def _keep(self, text: str) -> None:
        if self._kept < MOST_KEPT:
            self._kept += self._text.write(text)
        else:
            self._beyond += len(text)

    def count(self, tokenizer: Tokenizer) -> int:
        """Return the number of tokens in the text."""
        return tokenizer.count(self._text.getvalue()) + self._beyond // CHARS_PER_TOKEN


def said_in(answer: Mapping[str, Any]) -> Said:
    """Return the text of a whole answer."""
    said = Said()
    said.listen(answer, "message")
    return said


def listener_for(call: Call) -> Said | None:
    """Return a buffer for a stream's text, in case it reports no usage; None without a tokenizer."""
    return Said() if tokenizer_for(call.model) else None


async def counted(call: Call, said: Said | None) -> Usage | None:
    """
    Return the counted usage of a call and its answer; None where the tokenizer is not known.

    Counts in a thread: a long text takes seconds.
    """
    tokenizer = tokenizer_for(call.model)
    if tokenizer is None:
        return None
    try:
        return await asyncio.to_thread(_count, tokenizer, call.body, said)
    except (OSError, ValueError, ImportError) as error:
        logger.warning("the tokens of an answer of '%s' could not be counted: %s", call.model, error)
        return None


def _count(tokenizer: Tokenizer, body: bytes, said: Said | None) -> Usage:
    fields: dict[str, Any] = loads(body)
    written = said.count(tokenizer) if said else 0
    return Usage(_count_read(tokenizer, fields), written, estimated=True)


def _count_read(tokenizer: Tokenizer, fields: dict[str, Any]) -> int:
    if "input" in fields:
        return _count_input(tokenizer, fields["input"])
    if "messages" not in fields and "prompt" in fields:
        return _count_input(tokenizer, fields["prompt"])
    messages = fields.get("messages") or []
    tokens = PER_MESSAGE + PER_IMAGE * sum(1 for _ in image_parts(messages))
    for message in messages:
        tokens += PER_MESSAGE
        tokens += sum(tokenizer.count(text) for text in (str(message.get("role")), *_spoken(message)))
    tools = (dumps(fields[name]) for name in ("tools", "functions", "response_format") if name in fields)
    return tokens + sum(tokenizer.count(tool.decode()) for tool in tools)


def _count_input(tokenizer: Tokenizer, given: Any) -> int:
    """Count the input of an embedding or a text completion: a text, a token, or a list of these."""
    if isinstance(given, str):
        return tokenizer.count(given)
    if isinstance(given, list):
        return sum(_count_input(tokenizer, part) for part in given)
    return 1


def _spoken(message: Any) -> Iterator[str]:
    """Yield the texts of a message or of a delta: content, parts of type text, tool calls."""
    if not isinstance(message, Mapping):
        return
    for name, value in message.items():
        if name in _SPOKEN and isinstance(value, str):
            yield value
        elif name == "content" and isinstance(value, list):
            parts = (part.get("text") for part in value if isinstance(part, Mapping))
            yield from (text for text in parts if isinstance(text, str))
        elif name == "tool_calls" and isinstance(value, list):
            yield from _called(value)


def _called(calls: list[Any]) -> Iterator[str]:
    for call in calls:
        function = call.get("function") if isinstance(call, Mapping) else None
        if isinstance(function, Mapping):
            yield from (text for name in ("name", "arguments") if isinstance(text := function.get(name), str))
