"""How long answers may be, as callers write it."""

from typing import Any

import pytest

from serve_app.schemas.body import InvalidField
from serve_app.schemas.output import _COUNTED, _ORDINARY, Output, _plain, bounded, read_output


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
