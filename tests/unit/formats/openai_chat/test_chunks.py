"""The chunks of a stream: what is read of them, and how they are written."""

import json
from typing import Any

import pytest

from serve_app.formats.openai_chat.chunks import (
    chars_said,
    chunks_in,
    frame_of,
    is_plain_text,
    text_in,
    usage_chunk,
    usage_in,
)
from serve_app.pricing.usage import Usage


def frame(**delta: object) -> bytes:
    return b"data: " + json.dumps({"choices": [{"index": 0, "delta": delta}]}).encode() + b"\n\n"


@pytest.mark.parametrize(
    ("block", "chars"),
    [
        (frame(content="a"), 1),
        (frame(content="b" * 400), 400),
        (frame(content="a") + frame(content="b") + frame(content="c" * 30), 32),
        (frame(reasoning_content="think " * 10), 60),
        (frame(reasoning="think " * 10), 60),
        (frame(tool_calls=[{"function": {"arguments": "x" * 50}}]), 50),
        (frame(reasoning="think " * 10, reasoning_content="think " * 10), 60),  # one thought, told twice
        (frame(content='say "content": "nothing"\n' * 3), 75),
        (frame(content="一二三四五六七八"), 8),  # characters, however they are written
        ('data: {"content": "一二三四五六七八"}\n\n'.encode(), 8),
        (b'data: {"content": "half a pair: \\ud83d"}\n\n', 19),
        (frame(role="assistant", content=None), 0),
        (b'data: {"choices":[{"delta":{"content":"' + b"d" * 40 + b'"}}]}\n\n', 40),
        (b": a comment\n\n", 0),
        (b"", 0),
    ],
)
def test_a_block_says_as_much_as_its_text(block: bytes, chars: int) -> None:
    assert chars_said(block) == chars


def test_the_chunks_of_a_block_are_read_and_what_is_none_is_left_out() -> None:
    first, second = {"id": "1", "choices": []}, {"id": "2", "choices": []}
    noise = b": keep-alive\n\n" + b"data: ping\n\ndata: 7\n\n" + b'data: {"choices": [{"del\n\n'

    block = frame_of(first) + noise + frame_of(second) + b"data: [DONE]\n\n"

    assert list(chunks_in(block)) == [first, second]


def test_a_chunk_with_half_a_character_is_read_and_written_back() -> None:
    block = b'data: {"choices":[{"index":0,"delta":{"content":"\\ud83d"}}]}\n\n'

    [chunk] = chunks_in(block)

    assert text_in(chunk) == "\ud83d"
    assert frame_of(chunk) == block


@pytest.mark.parametrize(
    ("chunk", "text"),
    [
        ({"choices": [{"delta": {"content": "a"}}, {"index": 1, "delta": {"content": "b"}}]}, "ab"),
        ({"choices": [{"delta": {"content": None}}, {"delta": None}, {}]}, ""),
        ({"choices": [{"delta": {"content": [{"type": "text", "text": "a"}]}}]}, ""),
        ({"choices": [{"delta": {"reasoning_content": "a"}}]}, ""),
        ({"choices": None}, ""),
        ({}, ""),
    ],
)
def test_the_text_of_a_chunk_is_what_is_written_for_the_caller(chunk: dict[str, Any], text: str) -> None:
    assert text_in(chunk) == text


def test_a_usage_that_the_upstream_did_not_report_is_written_in_the_words_of_the_first_chunk() -> None:
    first = {"id": "a", "created": 5, "model": "m", "choices": [{"delta": {"content": "One"}}]}

    chunk = usage_chunk(first, Usage(3, 4, estimated=True))

    assert (chunk["id"], chunk["created"], chunk["model"], chunk["choices"]) == ("a", 5, "m", [])
    assert chunk["usage"] == {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7}
    assert usage_in(chunk) == Usage(3, 4)


@pytest.mark.parametrize("chunk", [{}, {"usage": None}, {"usage": "many"}, {"usage": {}}])
def test_a_chunk_without_a_usage_reports_none(chunk: dict[str, Any]) -> None:
    assert usage_in(chunk) is None


@pytest.mark.parametrize(
    ("choice", "is_plain"),
    [
        ({"index": 0, "delta": {"role": "assistant", "content": ""}}, True),
        ({"index": 0, "delta": {"content": "a", "refusal": None, "tool_calls": []}}, True),
        ({"delta": {}, "finish_reason": "stop"}, True),
        ({"index": 1, "delta": {"content": "a"}}, False),
        ({"delta": {"content": [{"type": "text", "text": "a"}]}}, False),
        ({"delta": {"refusal": "no"}}, False),
        ({"delta": {"tool_calls": [{"index": 0}]}}, False),
    ],
)
def test_plain_text_is_nothing_but_text_of_the_first_answer(choice: dict[str, Any], is_plain: bool) -> None:
    assert is_plain_text(choice) is is_plain
