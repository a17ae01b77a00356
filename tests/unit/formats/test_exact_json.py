"""Numbers keep every digit from the caller's body to the vendor's."""

import json
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from serve_app.errors import InvalidRequest
from serve_app.formats.exact_json import dumps, loads
from serve_app.formats.json_body import parse_body
from serve_app.formats.openai_chat.request import read_chat
from serve_app.formats.openai_embeddings import read_embedding
from serve_app.providers.base import Call
from serve_app.providers.bodies import fields_of

HI: dict[str, Any] = {"messages": [{"role": "user", "content": "hi"}]}

value = st.recursive(
    st.integers(-(10**300), 10**300)
    | st.integers(-(2**66), 2**66)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.booleans()
    | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
)


@given(value)
def test_what_is_written_is_read_again_to_the_last_digit(given: Any) -> None:
    assert loads(dumps({"x": given})) == {"x": given}
    assert parse_body(dumps({"x": given})) == {"x": given}


def sent(raw: bytes) -> dict[str, Any]:
    """The fields that a provider gets for a body."""
    return fields_of(Call("gpt-4o", read_chat(raw).raw, timeout_s=1))


def test_a_whole_number_beyond_64_bits_reaches_the_provider_exactly() -> None:
    seed = 2**64 + 1
    tools = [{"type": "function", "function": {"name": "f", "parameters": {"maximum": -(10**40)}}}]

    fields = sent(json.dumps({**HI, "seed": seed, "tools": tools}).encode())

    assert fields["seed"] == seed
    assert fields["tools"] == tools
    assert str(seed).encode() in dumps(fields)


@pytest.mark.parametrize("number", ["1" * 400, "9" * 5000, "1e400", "NaN", "Infinity", "-Infinity"])
def test_what_is_no_finite_number_is_refused(number: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        read_chat(b'{"messages":[{"role":"user","content":"hi"}],"x":%b}' % number.encode())

    assert (refused.value.status, refused.value.code) == (400, "invalid_json")


def test_a_body_behind_a_byte_order_mark_is_read_and_passed_on_without_it() -> None:
    raw = b"\xef\xbb\xbf" + orjson.dumps(HI)

    assert sent(raw) == {**HI, "model": "gpt-4o"}
    assert read_embedding(b'\xef\xbb\xbf{"input":"hi"}').raw == b'{"input":"hi"}'


def test_a_whole_number_written_with_a_point_is_read_and_sent_as_one() -> None:
    raw = orjson.dumps({**HI, "max_tokens": 100.0, "n": 2.0, "seed": 1e3})

    read = read_chat(raw)

    assert (read.output_limit, read.answers) == (100, 2)
    assert json.dumps([sent(raw)[name] for name in ("max_tokens", "n", "seed")]) == "[100, 2, 1000]"


def test_what_is_meant_for_the_proxy_in_front_does_not_reach_the_provider() -> None:
    hints = {"folder": "/work", "excluded_folders": ["/private"], "context_budget": 2000, "context_size": 10}

    assert sent(orjson.dumps({**HI, **hints})) == {**HI, "model": "gpt-4o"}
