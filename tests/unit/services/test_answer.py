"""What the answers of models say, whatever they are wrapped in."""

from typing import Any

import pytest

from serve_app.services.answer import object_in, text_of


def answer(content: Any) -> dict[str, Any]:
    return {"choices": [{"message": {"role": "assistant", "content": content}}]}


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ("  a text \n", "a text"),
        (
            [{"type": "text", "text": "a "}, {"type": "image"}, "x", {"type": "text", "text": "text"}],
            "a text",
        ),
        ("<think>Hm {1}.</think>\na text", "a text"),
        ("They wrote <think> once", "They wrote <think> once"),
        ("<think>never done", ""),
        ("thoughts whose beginning the server took</think>a text", "a text"),
        (None, ""),
        (7, ""),
        ({}, ""),
    ],
)
def test_the_text_of_an_answer_is_what_the_model_says_to_the_caller(content: Any, text: str) -> None:
    assert text_of(answer(content)) == text


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"choices": None},
        {"choices": []},
        {"choices": [None]},
        {"choices": [{}]},
        {"choices": [{"message": 1}]},
    ],
)
def test_an_answer_without_a_message_has_no_text(body: dict[str, Any]) -> None:
    assert text_of(body) == ""


@pytest.mark.parametrize(
    "text",
    [
        '{"a": 1}',
        '```json\n{"a": 1}\n```',
        '```\n{"a": 1}```',
        'Here it is {as asked}:\n```json\n{"a": 1}\n```\nAnything else?',
        'Sure! {"a": 1} Anything else?',
    ],
)
def test_the_object_is_found_in_a_fence_and_in_prose(text: str) -> None:
    assert object_in(text) == {"a": 1}


@pytest.mark.parametrize(
    "text", ["", "prose", "{", "}{", '{"a": 1', "[1]", "```", '{"a": 1e999}', "{" * 5000 + "}" * 5000]
)
def test_a_text_without_an_object_has_none(text: str) -> None:
    assert object_in(text) is None
