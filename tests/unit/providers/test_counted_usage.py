"""Counting what an upstream did not tell."""

import asyncio
import logging
from typing import Any

import orjson
import pytest

from serve_app.formats.openai_chat.chunks import frame_of
from serve_app.pricing.usage import Usage
from serve_app.providers import counted_usage as module
from serve_app.providers.base import Call
from serve_app.providers.counted_usage import PER_IMAGE, PER_MESSAGE, Said, counted, listener_for, said_in
from serve_app.providers.frames import ChatFrames
from serve_app.providers.tokenizer import O200K, Tokenizer

HELLO = {"role": "user", "content": "Hello, world!"}  # a role is one token, this text four


def call(model: str = "gpt-4o", **fields: Any) -> Call:
    return Call(model, orjson.dumps(fields), timeout_s=5)


def answer(*texts: str) -> dict[str, Any]:
    return {"choices": [{"index": n, "message": {"content": text}} for n, text in enumerate(texts)]}


def usage_of(asked: Call, said: Said | None = None) -> Usage | None:
    return asyncio.run(counted(asked, said))


def read_by(**fields: Any) -> int:
    usage = usage_of(call(**fields))
    assert usage is not None
    return usage.input_tokens


def test_a_chat_is_counted_message_by_message() -> None:
    read = PER_MESSAGE + 2 * (PER_MESSAGE + 1 + 4)

    usage = usage_of(call(messages=[HELLO, HELLO]), said_in(answer("Hello, world!", "Hello")))

    assert usage == Usage(read, 4 + 1, estimated=True)


def test_parts_pictures_and_tools_are_counted() -> None:
    plain = read_by(messages=[HELLO])
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
    parts = [{"type": "text", "text": "Hello, world!"}, image]

    assert read_by(messages=[{"role": "user", "content": parts}]) == plain + PER_IMAGE
    assert read_by(messages=[HELLO], tools=[{"type": "function"}]) > plain
    called = {
        "role": "assistant",
        "content": None,
        "tool_calls": [{"function": {"name": "f", "arguments": "{}"}}],
    }
    assert read_by(messages=[HELLO, called]) > plain + PER_MESSAGE


@pytest.mark.parametrize(
    ("given", "tokens"),
    [("Hello, world!", 4), (["Hello", "Hello"], 2), ([1, 2, 3], 3), ([[1, 2], [3]], 3), ([], 0)],
)
def test_an_embedding_is_counted_by_its_texts_or_its_tokens(given: Any, tokens: int) -> None:
    asked = call("text-embedding-3-small", input=given)

    assert usage_of(asked, said_in({"data": []})) == Usage(tokens, 0, estimated=True)


def test_what_nobody_can_count_is_left_to_the_router() -> None:
    asked = call("llama3.1:8b", messages=[HELLO])

    assert usage_of(asked, said_in(answer("Hello"))) is None
    assert listener_for(asked) is None


@pytest.mark.parametrize("error", [OSError("gone"), ValueError("damaged"), ImportError("no tiktoken")])
def test_an_answer_is_not_lost_because_it_cannot_be_counted(
    error: Exception, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(self: Tokenizer, text: str) -> int:
        raise error

    monkeypatch.setattr(Tokenizer, "count", fail)
    with caplog.at_level(logging.WARNING, "sekha.providers"):
        assert usage_of(call(messages=[HELLO]), said_in(answer("Hello"))) is None
    assert str(error) in caplog.text


def test_a_stream_is_heard_word_by_word_wherever_it_is_cut() -> None:
    said = listener_for(call(messages=[HELLO]))
    assert said is not None
    frames = ChatFrames("p", wants_usage=False, choices=2, said=said)
    pieces = [
        {"role": "assistant", "content": ""},
        {"content": "Hello"},
        {"content": ", world", "role": "assistant"},
        {"content": "!"},
    ]
    stream = b": comment\n\n" + b"".join(
        frame_of({"choices": [{"index": 0, "delta": delta}], "usage": None}) for delta in pieces
    )
    stream += frame_of({"choices": [{"index": 1, "delta": {"tool_calls": [{"function": {"name": "x"}}]}}]})
    for at in range(0, len(stream), 7):
        frames.feed(stream[at : at + 7])

    assert usage_of(call(messages=[HELLO]), said) == Usage(
        PER_MESSAGE + PER_MESSAGE + 1 + 4, 5, estimated=True
    )


def test_of_a_long_stream_the_rest_is_counted_by_its_length(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_KEPT", 5)
    said = Said()
    for _ in range(9):
        said.listen({"choices": [{"delta": {"content": "Hello"}}]})

    assert said.count(Tokenizer(O200K)) == 1 + 8 * 5 // 4


@pytest.mark.parametrize(
    "chunk",
    [
        None,
        [],
        {},
        {"choices": None},
        {"choices": ["x"]},
        {"choices": [{"delta": None}]},
        {
            "choices": [
                {"delta": {"content": 7, "tool_calls": ["x", {"function": "f"}, {"function": {"name": 1}}]}}
            ]
        },
        {"choices": [{"delta": {"content": ["x", {"text": None}]}}]},
    ],
)
def test_what_says_nothing_counts_nothing(chunk: Any) -> None:
    said = Said()
    said.listen(chunk)

    assert usage_of(call(messages=[]), said) == Usage(PER_MESSAGE, 0, estimated=True)
