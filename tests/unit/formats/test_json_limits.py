"""A body is as deep and as full as every later stage can handle; others are refused at a bounded price."""

import tracemalloc
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from serve_app.errors import InvalidRequest
from serve_app.formats.exact_json import dumps
from serve_app.formats.json_body import parse_body
from serve_app.formats.json_limits import check_count, check_shape
from serve_app.formats.openai_chat.request import read_chat

HI = {"messages": [{"role": "user", "content": "hi"}]}


def nested(levels: int, inner: Any = 1) -> Any:
    for _ in range(levels):
        inner = {"a": inner}
    return inner


def placed(value: Any, place: str) -> dict[str, Any]:
    """A chat body with the value somewhere in it."""
    tool = {"type": "function", "function": {"name": "f", "parameters": {"properties": value}}}
    part = {"type": "text", "text": "x", "cache_control": value}
    return {
        "metadata": {**HI, "metadata": value},
        "message": {"messages": [{"role": "user", "content": "hi", "extra": value}]},
        "part": {"messages": [{"role": "user", "content": [part]}]},
        "tools": {**HI, "tools": [tool]},
        "response_format": {
            **HI,
            "response_format": {"type": "json_schema", "json_schema": {"name": "n", "schema": value}},
        },
        "unknown": {**HI, "made_up_tomorrow": [value]},
    }[place]


PLACES = ["metadata", "message", "part", "tools", "response_format", "unknown"]


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("levels", [101, 249, 254, 900, 5000])
def test_a_body_nested_too_deep_is_refused_wherever_that_is(place: str, levels: int) -> None:
    hole = "XXXX"
    raw = orjson.dumps(placed(hole, place)).replace(b'"XXXX"', b'{"a":' * levels + b"1" + b"}" * levels)

    with pytest.raises(InvalidRequest) as refused:
        read_chat(raw)

    assert (refused.value.status, refused.value.code) == (400, "body_too_deep")


@pytest.mark.parametrize("place", PLACES)
def test_a_body_of_ninety_levels_passes_and_can_be_written_again(place: str) -> None:
    body = placed(nested(90), place)

    assert parse_body(dumps(body)) == body


def depth_of(value: Any) -> int:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else None
    return 0 if inner is None else 1 + max(map(depth_of, inner), default=0)


def values_of(value: Any) -> int:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return 1 + sum(map(values_of, inner))


json = st.recursive(
    st.none() | st.text('",[{\\', max_size=4),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text('",[{\\', max_size=3), inner, max_size=3)
    ),
    max_leaves=20,
)


@given(json, st.integers(90, 110))
def test_depth_is_counted_as_a_plain_recursion_counts_it(inner: Any, levels: int) -> None:
    body = nested(levels, inner)

    if depth_of(body) <= 100:
        check_shape(orjson.dumps(body), body)
    else:
        with pytest.raises(InvalidRequest):
            check_shape(orjson.dumps(body), body)


@given(json, st.integers(-3, 3))
def test_values_are_counted_exactly_whatever_stands_in_strings(inner: Any, more: int) -> None:
    raw, most = orjson.dumps(inner), values_of(inner) - more

    def check() -> None:
        check_count(raw, most)
        check_shape(raw, inner, most)

    if more <= 0:
        check()
    else:
        with pytest.raises(InvalidRequest) as refused:
            check()
        assert (refused.value.status, refused.value.code) == (413, "too_many_values")


@pytest.mark.parametrize(
    "raw", [b"[" + b"1," * 10 + b"1]", b"[" * 11 + b"]" * 11], ids=["commas", "brackets"]
)
def test_many_commas_or_many_brackets_are_each_enough_to_refuse_a_text_unparsed(raw: bytes) -> None:
    check_count(raw, most=11)
    with pytest.raises(InvalidRequest):
        check_count(raw, most=10)


def test_a_text_full_of_commas_and_brackets_is_one_value() -> None:
    said = 'a,[{"\\' * 300_000

    assert read_chat(orjson.dumps({"messages": [{"role": "user", "content": said}]})).input_tokens > 100_000


def peak_of_refusing(raw: bytes) -> int:
    """Bytes of memory that were in use at once while the body was read."""
    tracemalloc.start()
    try:
        with pytest.raises(InvalidRequest):
            parse_body(raw)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    "raw",
    [
        b'{"%b":[%b]}' % (b"k" * 300_000, b",".join([b"[]"] * 10_000 + [b'{"api_base":1}'])),
        b'{"x":[%b]}' % b",".join([b"[]"] * 2_000_000),
        b'{"x":[%b]}' % b",".join([b'""'] * 2_000_000),
    ],
    ids=["a long key over a long list", "lists", "texts"],
)
def test_a_hostile_body_takes_memory_in_proportion_to_its_size(raw: bytes) -> None:
    assert peak_of_refusing(raw) < 30 * len(raw)
