"""How much a stream has said, when nobody else tells."""

import json

import pytest

from serve_app.pricing.usage import chars_said


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
