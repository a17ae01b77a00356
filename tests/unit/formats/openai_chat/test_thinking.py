"""Whether a caller asks a model to think."""

from typing import Any

import pytest

from serve_app.formats.openai_chat.thinking import asks_to_think


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


SWITCHES = ["reasoning_effort", "reasoning", "thinking", "think", "enable_thinking"]


@pytest.mark.parametrize("word", ["none", "minimal", "disabled", "off", "false", "OFF", False, None, 0])
def test_each_word_for_no_is_one_in_every_field(word: object) -> None:
    assert not any(asks_to_think({name: word}) for name in SWITCHES)
    assert not asks_to_think({"chat_template_kwargs": {"enable_thinking": word, "thinking": word}})


@pytest.mark.parametrize("name", SWITCHES)
def test_each_field_asks_on_its_own(name: str) -> None:
    assert asks_to_think({name: "yes", **{other: "none" for other in SWITCHES if other != name}})


@pytest.mark.parametrize("name", ["enable_thinking", "thinking"])
def test_each_field_of_a_template_asks_on_its_own(name: str) -> None:
    assert asks_to_think({"chat_template_kwargs": {name: True}})


@pytest.mark.parametrize(
    ("switches", "asks"),
    [
        ({}, True),
        ({"effort": "low", "enabled": True}, True),
        ({"effort": "low", "enabled": False}, False),
        ({"type": "disabled", "effort": "low"}, False),
        ({"budget_tokens": 5}, True),
    ],
)
def test_an_object_asks_unless_one_of_its_switches_says_no(switches: dict[str, Any], asks: bool) -> None:
    assert asks_to_think({"thinking": switches}) is asks
