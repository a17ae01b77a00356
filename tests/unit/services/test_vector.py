"""Vectors in the answers of models."""

from typing import Any

import pytest

from serve_app.services.vector import tokens_used, vector_fields, vector_in


def test_the_first_vector_is_read() -> None:
    assert vector_in({"data": [{"embedding": [0.5, 1]}, {"embedding": [2]}]}) == [0.5, 1]


@pytest.mark.parametrize(
    "answer",
    [{}, {"data": None}, {"data": []}, {"data": [1]}, {"data": [{}]}]
    + [{"data": [{"embedding": value}]} for value in ("AAAA", [], [None], ["1"], [True], [float("inf")])],
)
def test_anything_else_is_no_vector(answer: dict[str, Any]) -> None:
    assert vector_in(answer) is None


@pytest.mark.contract(68)
def test_an_empty_text_is_sent_as_a_space() -> None:
    assert vector_fields("") == {"input": " "}
    assert vector_fields("hi") == {"input": "hi"}


@pytest.mark.contract(68)
def test_tokens_are_estimated_at_four_characters_each() -> None:
    assert [tokens_used(text) for text in ("", "abc", "abcd", "a" * 1000)] == [0, 0, 1, 250]
