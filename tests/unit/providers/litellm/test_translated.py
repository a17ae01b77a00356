"""Conversations on their way to a vendor with a format of its own."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serve_app.providers.litellm.translated import broken_arguments, unknown_word, without_empty_texts


def called(arguments: Any) -> dict[str, Any]:
    return {"id": "c", "type": "function", "function": {"name": "look", "arguments": arguments}}


def test_empty_texts_are_left_out_and_what_stands_beside_them_stays() -> None:
    image = {"type": "image_url", "image_url": {"url": "data:,x"}}
    empty = {"type": "text", "text": ""}
    messages = [
        {"role": "system", "content": ""},
        {"role": "user", "content": [empty, image, {"type": "text", "text": " \n"}]},
        {"role": "assistant", "content": "", "tool_calls": [called("{}")]},
        {"role": "tool", "tool_call_id": "c", "content": [empty]},
        {"role": "assistant", "content": "  "},
        {"role": "user", "content": [empty]},
        {"role": "user", "content": "go on"},
    ]

    assert without_empty_texts(messages) == [
        {"role": "user", "content": [image]},
        {"role": "assistant", "content": None, "tool_calls": [called("{}")]},
        {"role": "tool", "tool_call_id": "c", "content": ""},
        {"role": "user", "content": "go on"},
    ]


texts = st.sampled_from(["", " ", "a", "b\n"])
contents = (
    st.none() | texts | st.lists(st.builds(lambda text: {"type": "text", "text": text}, texts), max_size=3)
)
messages = st.lists(
    st.fixed_dictionaries({"role": st.sampled_from(["user", "assistant", "tool"]), "content": contents}),
    max_size=5,
)


@given(messages)
def test_no_word_is_lost_with_the_empty_texts(said: list[dict[str, Any]]) -> None:
    def words(of: list[dict[str, Any]]) -> list[str]:
        parts = [m["content"] if isinstance(m["content"], list) else [{"text": m["content"]}] for m in of]
        return [part["text"] for these in parts for part in these if (part["text"] or "").strip()]

    assert words(without_empty_texts(said)) == words(said)


@pytest.mark.parametrize("arguments", ["", " ", "{}", '{"a": [1]}', None, {}])
def test_whole_arguments_pass(arguments: Any) -> None:
    assert broken_arguments([{"role": "assistant", "tool_calls": [called(arguments)]}]) is None


@pytest.mark.parametrize("arguments", ['{"secret": ', "[1]", '"secret"', "7", 7, "{'secret': 1}"])
def test_cut_arguments_are_named_by_their_place_and_not_repeated(arguments: Any) -> None:
    said = [
        {"role": "user", "content": "hi"},
        {"role": "assistant", "tool_calls": [called("{}"), called(arguments)]},
    ]

    broken = broken_arguments(said)

    assert broken is not None
    assert broken.param == "messages[1].tool_calls[1].function.arguments"
    assert "secret" not in broken.message


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"tool_choice": "get_weather"}, "tool_choice"),
        ({"response_format": {"type": "xml"}}, "response_format.type"),
    ],
)
def test_a_word_that_no_translator_knows_is_named(fields: dict[str, Any], param: str) -> None:
    unknown = unknown_word(fields)

    assert unknown is not None
    assert unknown.param == param


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"tool_choice": "required", "response_format": {"type": "json_schema"}},
        {"tool_choice": {"type": "function", "function": {"name": "f"}}, "response_format": None},
    ],
)
def test_the_words_of_openai_are_known(fields: dict[str, Any]) -> None:
    assert unknown_word(fields) is None
