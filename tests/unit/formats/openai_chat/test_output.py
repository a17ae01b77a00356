"""How long answers may be, as callers write it."""

from typing import Any

import pytest

from serve_app.formats.json_body import InvalidField
from serve_app.formats.openai_chat.output import _COUNTED, _ORDINARY, Output, _plain, bounded, read_output


@pytest.mark.parametrize(
    ("body", "output"),
    [
        ({}, Output()),
        ({"max_tokens": None}, Output()),
        ({"max_tokens": 1, "Max_Tokens": 9}, Output(9)),
        ({"max-tokens": 9}, Output(9)),
        ({"options": {"num_predict": -1}}, Output()),
        ({"extra_body": {"options": {"num_predict": 9}}}, Output(9)),
        ({"thinking": {"type": "enabled", "budget_tokens": 9}}, Output(None, 9)),
        ({"extra_body": {"google": {"thinking_config": {"thinking_budget": 9}}}}, Output(None, 9)),
        ({"generationConfig": {"thinkingConfig": {"thinkingBudget": -1}}}, Output()),
        ({"reasoning": {"max_tokens": 9, "effort": "low"}}, Output(None, 1024)),
        ({"reasoning_effort": "high"}, Output(None, 4096)),
        ({"reasoning_effort": "none"}, Output()),
        ({"output_config": {"effort": "max"}}, Output(None, 16_384)),
        ({"n": 2, "best_of": 3}, Output(answers=3)),
        ({"n": 2, "N": 5}, Output(answers=5)),
    ],
)
def test_a_bound_is_found_by_any_of_its_names(body: dict[str, Any], output: Output) -> None:
    assert read_output(body) == output


@pytest.mark.parametrize("where", ["messages", "tools", "metadata", "response_format", "tool_choice"])
def test_what_people_and_schemas_say_is_no_option(where: str) -> None:
    body = {where: {"max_tokens": "many", "effort": "high", "n": 7}}

    assert read_output(body) == Output()
    bounded(body, "max_tokens", 5)
    assert body == {where: {"max_tokens": "many", "effort": "high", "n": 7}, "max_tokens": 5}


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"max_output_tokens": "100000"}, "max_output_tokens"),
        ({"options": {"num_predict": "100000"}}, "options.num_predict"),
        ({"options": {"num_predict": -3}}, "options.num_predict"),
        ({"Max_Tokens": 0}, "Max_Tokens"),
        ({"max_tokens": True}, "max_tokens"),
        ({"max_tokens": 2**31}, "max_tokens"),
        ({"thinking": {"budget_tokens": 1.5}}, "thinking.budget_tokens"),
        ({"reasoning_effort": 3}, "reasoning_effort"),
        ({"Model": "dearer"}, "Model"),
        ({"Service_Tier": "priority"}, "Service_Tier"),
        ({"Me\N{LATIN SMALL LETTER LONG S}sages": []}, "Me\N{LATIN SMALL LETTER LONG S}sages"),
    ],
)
def test_what_a_server_might_read_in_another_way_is_refused_by_its_name(
    body: dict[str, Any], param: str
) -> None:
    with pytest.raises(InvalidField) as refused:
        read_output(body)

    assert refused.value.param == param


def test_exactly_one_bound_is_left() -> None:
    fields = {
        "max_tokens": 1, "Max_Tokens": 2, "options": {"num_predict": 3, "seed": 1}, "N": 4, "n": 2,
        "thinking": {"budget_tokens": 5}, "reasoning": {"max_tokens": 6},
    }  # fmt: skip

    bounded(fields, "max_completion_tokens", 9)

    assert fields == {
        "options": {"seed": 1}, "thinking": {"budget_tokens": 5}, "reasoning": {"max_tokens": 6},
        "max_completion_tokens": 9, "n": 4,
    }  # fmt: skip


def test_without_a_bound_of_ours_the_largest_of_the_request_stays() -> None:
    fields = {"max_tokens": 1, "options": {"num_predict": 3}}

    bounded(fields, "max_tokens", None)

    assert fields == {"options": {}, "max_tokens": 3}
    untouched: dict[str, Any] = {"temperature": 1}
    bounded(untouched, "max_tokens", None)
    assert untouched == {"temperature": 1}


def test_what_is_passed_over_as_ordinary_counts_nothing() -> None:
    assert not {name for name in _ORDINARY if _plain(name) in _COUNTED}


@pytest.mark.parametrize("name", sorted(_ORDINARY - {"messages", "tools", "tool_choice", "metadata"}))
def test_a_bound_within_an_ordinary_field_counts_as_within_any_other(name: str) -> None:
    assert read_output({name: {"max_tokens": 7}}).limit == 7


LIMITS = [
    "max_tokens", "max_completion_tokens", "max_output_tokens", "maxOutputTokens", "max_new_tokens",
    "max_tokens_to_sample", "max_generated_tokens", "num_predict", "n_predict",
]  # fmt: skip
THOUGHTS = [
    "budget_tokens",
    "thinking_budget",
    "thinkingBudget",
    "thinking_token_budget",
    "max_reasoning_tokens",
]


@pytest.mark.parametrize("name", LIMITS)
def test_each_vendors_name_for_the_bound_is_one(name: str) -> None:
    body = {name: 9, "options": {"extra": {name: 7}}}

    assert read_output(body) == Output(9)
    bounded(body, "max_tokens", None)
    assert body == {"options": {"extra": {}}, "max_tokens": 9}


@pytest.mark.parametrize("name", THOUGHTS)
def test_each_vendors_name_for_the_bound_of_thoughts_is_one_and_stays(name: str) -> None:
    body: dict[str, Any] = {name: 9, "options": {name: 12}}

    assert read_output(body) == Output(None, 12)
    bounded(body, "max_tokens", 5)
    assert body == {name: 9, "options": {name: 12}, "max_tokens": 5}


@pytest.mark.parametrize("name", ["n", "N", "best_of", "candidate_count", "num_return_sequences"])
def test_each_vendors_name_for_the_number_of_answers_is_one(name: str) -> None:
    assert read_output({name: 3}) == Output(answers=3)
    assert read_output({name: None}) == Output()
    with pytest.raises(InvalidField):
        read_output({name: 0})


@pytest.mark.parametrize(
    ("effort", "tokens"),
    [
        ("none", 0),
        ("minimal", 1024),
        ("low", 1024),
        ("Medium", 2048),
        ("high", 4096),
        ("xhigh", 8192),
        ("max", 16_384),
        ("unheard-of", 0),
    ],
)
def test_an_effort_asks_for_so_many_tokens_of_thinking(effort: str, tokens: int) -> None:
    assert read_output({"reasoning_effort": effort}) == Output(None, tokens)
    assert read_output({"reasoning": {"effort": effort}}) == Output(None, tokens)


@pytest.mark.parametrize("name", ["num_predict", "n_predict"])
@pytest.mark.parametrize(("value", "limit"), [(-2, None), (-1, None), (0, None), (1, 1)])
def test_a_server_of_ones_own_may_write_without_a_bound(name: str, value: int, limit: int | None) -> None:
    assert read_output({name: value}) == Output(limit)


def test_an_option_is_found_five_objects_deep_and_no_deeper() -> None:
    deep: dict[str, Any] = {"max_tokens": 9}
    for _ in range(4):
        deep = {"options": deep}

    assert read_output(deep) == Output(9)
    assert read_output({"options": deep}) == Output()


def test_a_bound_that_is_named_deep_within_is_refused_with_its_path() -> None:
    with pytest.raises(InvalidField) as refused:
        read_output({"extra_body": {"options": {"max_tokens": "many"}}})

    assert refused.value.param == "extra_body.options.max_tokens"


@pytest.mark.parametrize(
    ("fields", "left"),
    [
        ({"N": 4}, {"n": 4}),
        ({"N": "many"}, {"n": 1}),
        ({"n": 3, "N": 2}, {"n": 3}),
        ({"n": 3}, {"n": 3}),
        ({"max_tokens": 0}, {}),
        ({"max_tokens": "many"}, {}),
        ({"max_tokens": 5.0, "Max_Tokens": 3}, {"max_tokens": 5}),
    ],
)
def test_of_what_is_spelled_in_several_ways_one_is_sent(fields: dict[str, Any], left: dict[str, Any]) -> None:
    bounded(fields, "max_tokens", None)

    assert fields == left
