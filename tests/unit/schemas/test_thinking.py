"""Whether a caller asks a model to think."""

from typing import Any

import pytest

from serve_app.schemas.thinking import asks_to_think


@pytest.mark.parametrize(
    "body",
    [
        {"reasoning_effort": "high"},
        {"reasoning": {"effort": "low"}},
        {"thinking": {"type": "enabled", "budget_tokens": 2048}},
        {"thinking": {"type": "adaptive"}},
        {"think": True},
        {"enable_thinking": True},
        {"chat_template_kwargs": {"enable_thinking": True}},
    ],
    ids=str,
)
def test_every_vendors_word_for_it_is_understood(body: dict[str, Any]) -> None:
    assert asks_to_think(body)


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"reasoning_effort": "none"},
        {"reasoning_effort": "minimal"},
        {"reasoning": {"effort": "none"}},
        {"reasoning": {"enabled": False}},
        {"thinking": {"type": "disabled"}},
        {"think": False},
        {"chat_template_kwargs": "odd"},
    ],
    ids=str,
)
def test_who_says_no_or_nothing_asks_for_none(body: dict[str, Any]) -> None:
    assert not asks_to_think(body)
