"""Fields that would steer a request never reach a provider; a number out of bounds is told with its bound."""

import re
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from serve_app.errors import InvalidRequest
from serve_app.formats.json_body import (
    STEERING,
    InvalidField,
    cost_limit,
    flag,
    number,
    parameters_of,
    parse_body,
    text,
    tokens,
    whole,
    whole_number,
)

HI = {"messages": [{"role": "user", "content": "hi"}]}


@pytest.mark.parametrize("name", sorted(STEERING))
def test_a_steering_field_is_refused_by_name(name: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        parse_body(orjson.dumps({**HI, name: "http://127.0.0.1:9"}))

    assert (refused.value.status, refused.value.code) == (400, "forbidden_field")
    assert refused.value.param == name
    assert "127.0.0.1" not in refused.value.message


@pytest.mark.parametrize(
    ("more", "path"),
    [
        (
            {"user_config": {"model_list": [{"litellm_params": {"api_base": "x"}}]}},
            "user_config.model_list[0].litellm_params.api_base",
        ),
        ({"fallbacks": [{"model": "m", "api_base": "x"}]}, "fallbacks[0].api_base"),
        ({"extra_body": {"api_key": "x"}}, "extra_body.api_key"),
        ({"extra_body": {"metadata": {"extra_headers": {}}}}, "extra_body.metadata.extra_headers"),
        ({"chat_template_kwargs": {"chat_template": "{{ x }}"}}, "chat_template_kwargs.chat_template"),
        ({"tools": [{"type": "advisor", "api_base": "x"}]}, "tools[0].api_base"),
        ({"output_config": {"api_base": "x"}}, "output_config.api_base"),
    ],
)
def test_it_is_refused_inside_other_fields_too(more: dict[str, Any], path: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        parse_body(orjson.dumps({**HI, **more}))

    assert refused.value.param == path


@pytest.mark.parametrize(
    "more",
    [
        {"messages": [{"role": "user", "content": [{"type": "text", "text": "x", "api_base": "y"}]}]},
        {
            "tools": [
                {"type": "function", "function": {"name": "f", "parameters": {"properties": {"api_key": {}}}}}
            ]
        },
        {"functions": [{"name": "f", "parameters": {"properties": {"base_url": {}}}}]},
        {
            "response_format": {
                "type": "json_schema",
                "json_schema": {"schema": {"properties": {"api_key": {}}}},
            }
        },
        {"chat_template_kwargs": {"enable_thinking": False}},
        {"system": [{"type": "text", "text": "x", "api_base": "y"}]},
        {"tools": [{"name": "f", "input_schema": {"properties": {"api_key": {}}}}]},
        {"tools": [{"name": "f", "input_schema": {}, "input_examples": [{"base_url": "x"}]}]},
        {"output_config": {"format": {"schema": {"properties": {"api_key": {}}}}}},
        {"metadata": {"base_url": "https://my.own/page", "deep": [{"api_key": "of mine"}]}},
        {"seed": 7, "made_up_tomorrow": {"deep": [1, {"er": None}]}},
    ],
)
def test_what_people_and_their_tools_say_may_use_any_word(more: dict[str, Any]) -> None:
    assert parse_body(orjson.dumps({**HI, **more})) == {**HI, **more}


json = st.recursive(
    st.none() | st.integers(-5, 5) | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
)


@given(
    st.dictionaries(st.text(max_size=3), json, max_size=4), st.lists(st.text(max_size=3), max_size=5), json
)
def test_wherever_it_is_hidden_it_is_found(body: dict[str, Any], way: list[str], value: Any) -> None:
    hidden: Any = {"api_base": value}
    for step in way:
        hidden = [hidden] if step == "" else {step: hidden}

    with pytest.raises(InvalidRequest):
        parse_body(orjson.dumps({**body, "somewhere": hidden}))


@pytest.mark.parametrize(
    ("value", "told"),
    [(2**31, "at most 2147483647, not 2147483648"), (0, "at least 1, not 0"), (10**20, "not 1e+20")],
)
def test_a_number_out_of_bounds_is_told_with_its_digits_and_its_bound(value: int, told: str) -> None:
    with pytest.raises(InvalidField, match=re.escape(told)):
        tokens({"max_tokens": value}, "max_tokens")


KINDS = [
    ({}, "an object"),
    ([], "a list"),
    ("hi", "a text"),
    (True, "true or false"),
    (None, "null"),
    (5, "a number"),
    (0.5, "a number"),
]


@pytest.mark.parametrize(("value", "name"), KINDS[1:], ids=str)
def test_a_body_that_is_no_object_is_told_what_it_is(value: Any, name: str) -> None:
    with pytest.raises(InvalidRequest, match=f"The body must be a JSON object, not {name}") as refused:
        parse_body(orjson.dumps(value))

    assert (refused.value.status, refused.value.code) == (400, "invalid_json")


READ = [
    (text, (str,), "a valid string", "string_type"),
    (flag, (bool,), "true or false", "bool_type"),
    (lambda body, field: number(body, field, 0), (int, float), "a number", "float_type"),
]


@pytest.mark.parametrize(("value", "name"), KINDS, ids=str)
@pytest.mark.parametrize(("read", "taken", "wanted", "kind"), READ, ids=["text", "flag", "number"])
def test_a_field_is_of_its_type_or_null_or_told_what_it_is(
    read: Any, taken: tuple[type, ...], wanted: str, kind: str, value: Any, name: str
) -> None:
    if value is None or type(value) in taken:
        assert read({"field": value}, "field") == (value if value is not None or read is not flag else False)
        return
    with pytest.raises(InvalidField) as wrong:
        read({"field": value}, "field")

    assert wrong.value.message == f"field: Input should be {wanted}, not {name}"
    assert wrong.value.detail == [
        {"loc": ["body", "field"], "msg": f"Input should be {wanted}, not {name}", "type": kind}
    ]
    assert (wrong.value.status, wrong.value.code, wrong.value.param) == (422, "invalid_value", "field")


def test_a_field_that_is_not_there_is_nothing() -> None:
    assert text({}, "f") is number({}, "f", 0) is whole_number({}, "f") is whole({}, "f") is None
    assert not flag({}, "f")


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (-1, "at least 0, not -1"),
        (11, "at most 10, not 11"),
        (10.5, "at most 10, not 10.5"),
        (10**15 - 1, "at most 10, not 999999999999999"),
        (10**15, "at most 10, not 1e+15"),
        (-(10**15), "at least 0, not -1e+15"),
    ],
)
def test_a_number_beyond_a_bound_is_told_with_it(value: float, told: str) -> None:
    with pytest.raises(InvalidField) as wrong:
        number({"f": value}, "f", 0, 10)

    assert wrong.value.message == f"f: Input should be {told}"
    assert number({"f": 0}, "f", 0, 10) == 0
    assert number({"f": 10}, "f", 0, 10) == 10


def test_a_whole_number_may_be_written_with_a_point_and_a_broken_one_may_not() -> None:
    found = whole_number({"f": 100.0}, "f")

    assert (found, type(found)) == (100, int)
    assert whole({"f": 3.0}, "f") == 3
    with pytest.raises(InvalidField, match=re.escape("f: Input should be a whole number, not 1.5")):
        whole_number({"f": 1.5}, "f")


def test_tokens_go_from_one_to_the_largest_number_of_32_bits() -> None:
    assert tokens({"f": 1}, "f") == 1
    assert tokens({"f": 2_147_483_647}, "f") == 2_147_483_647


def test_a_cost_limit_is_read_in_dollars() -> None:
    assert cost_limit({}) is None
    assert cost_limit({"max_cost": 0}) == 0
    assert cost_limit({"max_cost": 0.25}) == 250_000_000
    assert cost_limit({"max_cost": 1_000_000_000}) == 10**18
    for wrong in (-0.1, 1_000_000_001):
        with pytest.raises(InvalidField):
            cost_limit({"max_cost": wrong})


def test_the_vendors_parameters_are_all_but_what_is_said_and_what_routing_reads() -> None:
    body = {"model": "m", "messages": [], "input": "", "provider": {}, "models": [], "data_policy": "any"}

    assert parameters_of({**body, "seed": 5, "tools": []}) == {"seed": 5, "tools": []}


@pytest.mark.parametrize(
    ("names", "shown"),
    [
        (["a" * 187], "o." + "a" * 187 + ".api_key"),
        (["a" * 190], "o." + "a" * 190 + ".api_key"),
        (["a" * 191], "…." + "a" * 191 + ".api_key"),
        (["b" * 50, "a" * 191], "…." + "a" * 191 + ".api_key"),
        (["a" * 300], "…" + "a" * 192 + ".api_key"),
    ],
    ids=["short", "just short enough", "too long", "deep", "a name too long"],
)
def test_the_end_of_a_long_path_is_told(names: list[str], shown: str) -> None:
    hidden: Any = {"api_key": "x"}
    for name in reversed(names):
        hidden = {name: hidden}

    with pytest.raises(InvalidRequest) as refused:
        parse_body(orjson.dumps({"o": hidden}))

    assert refused.value.param == shown
