"""Splicing into JSON without parsing it."""

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from serve_app.formats.sse import event, spliced, with_member

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
OBJECTS = st.dictionaries(st.text(), JSON, max_size=4)


@given(OBJECTS, JSON)
def test_a_member_joins_any_object(body: dict[str, object], value: object) -> None:
    body.pop("sekha", None)

    assert orjson.loads(spliced(orjson.dumps(body), "sekha", value)) == {**body, "sekha": value}


@given(OBJECTS, st.lists(OBJECTS, max_size=3))
def test_a_member_joins_the_first_frame_and_no_other(
    first: dict[str, object], others: list[dict[str, object]]
) -> None:
    first.pop("sekha", None)
    block = b"".join(event(orjson.dumps(frame)) for frame in (first, *others))

    frames = with_member(block, "sekha", {"a": 1}).split(b"\n\n")

    assert orjson.loads(frames[0][6:]) == {**first, "sekha": {"a": 1}}
    assert [orjson.loads(frame[6:]) for frame in frames[1:-1]] == others


@pytest.mark.parametrize("block", [b": keep-alive\n\n", b"data: [1]\n\n", b""])
def test_a_block_without_an_object_stays_as_it_is(block: bytes) -> None:
    assert with_member(block, "sekha", 1) == block


def test_a_frame_with_windows_line_ends_is_spliced_too() -> None:
    assert with_member(b'data: {"a":1}\r\n\r\n', "b", 2) == b'data: {"a":1,"b":2}\r\n\r\n'
