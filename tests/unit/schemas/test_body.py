"""Fields that would steer a request never reach a provider; a number out of bounds is told with its bound."""

import re
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from serve_app.errors import InvalidRequest
from serve_app.schemas.body import STEERING, InvalidField, parse_body, tokens

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
