"""A request in Anthropic's words, as one model takes it."""

import json
from typing import Any

import pytest

from serve_app.providers.anthropic.outgoing_request import fitted_messages, messages_dialects
from serve_app.providers.base import Call
from serve_app.providers.bodies import Fitted
from serve_app.providers.catalogue.dialect import Dialect
from serve_app.providers.catalogue.rows import VENDORS

HI = [{"role": "user", "content": "hi"}]
BUDGET, EFFORT, BOTH = "claude-sonnet-4-5", "claude-opus-4-8", "claude-opus-4-6"
THOUGHT = {"type": "thinking", "thinking": "hm", "signature": "c2ln"}


def dialect_of(model_id: str) -> Dialect:
    return VENDORS["anthropic"].dialect(model_id)


def fitted(model_id: str = BOTH, tokens: int | None = None, **fields: Any) -> Fitted:
    body = {"messages": HI, "max_tokens": 8192, **fields}
    call = Call(model_id, json.dumps(body).encode(), 5.0, output_tokens=tokens)
    return fitted_messages(call, messages_dialects(dialect_of)(model_id))


def test_a_request_keeps_what_it_says_under_our_models_name() -> None:
    given = {"system": [{"type": "text", "text": "s"}], "metadata": {"user_id": "u"}, "x_new": [1]}

    request = fitted(**given, model="auto")

    assert request.fields == {**given, "messages": HI, "max_tokens": 8192, "model": BOTH}
    assert request.dropped == ()


def test_what_is_meant_for_the_gateway_stays_here() -> None:
    hints = {"max_cost": 1, "models": ["a"], "provider": {"order": ["x"]}, "preferred_model": "m"}

    assert not fitted(**hints).fields.keys() & hints.keys()


@pytest.mark.parametrize("given", [8192, 8192.0, 1])
def test_the_bound_of_tokens_is_the_one_that_was_reserved(given: float) -> None:
    assert fitted(tokens=500, max_tokens=given).fields["max_tokens"] == 500


@pytest.mark.parametrize("other", ["max_completion_tokens", "max_output_tokens", "maxTokens"])
def test_no_other_bound_is_sent_beside_it(other: str) -> None:
    request = fitted(tokens=500, **{other: 100_000, "options": {"num_predict": 9}})

    assert request.fields["max_tokens"] == 500
    assert other not in request.fields
    assert request.fields["options"] == {}


def test_a_bound_of_nothing_fills_the_cache() -> None:
    assert fitted(tokens=0, max_tokens=0).fields["max_tokens"] == 0


def test_a_word_in_a_schema_is_no_bound() -> None:
    wanted = {"format": {"type": "json_schema", "schema": {"max_tokens": 7, "n": 1}}}

    assert fitted(tokens=500, output_config=wanted).fields["output_config"] == wanted


def test_tools_of_the_vendor_get_a_bound_where_one_was_reserved() -> None:
    tools = [{"type": "web_search_20250305", "name": "web_search"}]
    body = json.dumps({"messages": HI, "max_tokens": 9, "tools": tools}).encode()
    call = Call(BOTH, body, 5.0, limits_tools=True)

    assert fitted_messages(call, Dialect()).fields["tools"][0]["max_uses"] == 5


# Thinking


@pytest.mark.parametrize(
    ("effort", "most", "budget"),
    [
        ("low", 8192, 1024), ("medium", 20_000, 4096), ("high", 64_000, 16_384), ("max", 200_000, 65_536),
        ("high", 8192, 4096), ("new", 20_000, 4096),
    ],
)  # fmt: skip
def test_an_effort_becomes_a_budget_within_the_bound_where_the_model_takes_no_effort(
    effort: str, most: int, budget: int
) -> None:
    request = fitted(BUDGET, max_tokens=most, output_config={"effort": effort})

    assert request.fields["thinking"] == {"type": "enabled", "budget_tokens": budget}
    assert "output_config" not in request.fields
    assert request.dropped == ()


def test_thinking_that_adapts_becomes_a_budget_there() -> None:
    request = fitted(BUDGET, thinking={"type": "adaptive", "display": "omitted"})

    assert request.fields["thinking"] == {"type": "enabled", "budget_tokens": 4096}


@pytest.mark.parametrize(
    ("asked", "lost"),
    [
        ({"thinking": {"type": "adaptive"}}, "thinking"),
        ({"output_config": {"effort": "low"}}, "output_config.effort"),
    ],
)
def test_a_bound_without_room_for_thoughts_leaves_them_out_and_says_so(
    asked: dict[str, Any], lost: str
) -> None:
    request = fitted(BUDGET, max_tokens=2047, **asked)

    assert "thinking" not in request.fields
    assert request.dropped == (lost,)


@pytest.mark.parametrize("kind", [{"type": "enabled", "budget_tokens": 2000}, {"type": "disabled"}])
def test_a_budget_of_the_callers_counts_more_than_an_effort(kind: dict[str, Any]) -> None:
    request = fitted(BUDGET, thinking=kind, output_config={"effort": "high", "format": {"type": "x"}})

    assert request.fields["thinking"] == kind
    assert request.fields["output_config"] == {"format": {"type": "x"}}
    assert request.dropped == ("output_config.effort",)


@pytest.mark.parametrize(
    ("budget", "effort"), [(1024, "low"), (2048, "medium"), (8192, "high"), (24_576, "xhigh")]
)
def test_a_budget_becomes_an_effort_where_the_model_takes_no_budget(budget: int, effort: str) -> None:
    thinking = {"type": "enabled", "budget_tokens": budget, "display": "omitted"}

    request = fitted(EFFORT, max_tokens=64_000, thinking=thinking)

    assert request.fields["thinking"] == {"type": "adaptive", "display": "omitted"}
    assert request.fields["output_config"] == {"effort": effort}
    assert request.dropped == ("thinking.budget_tokens",)


def test_thoughts_never_get_more_than_the_answer_that_was_reserved() -> None:
    thinking = {"type": "enabled", "budget_tokens": 30_000}

    request = fitted(BUDGET, tokens=8192, thinking=thinking)

    assert request.fields["thinking"] == {"type": "enabled", "budget_tokens": 8191}
    assert request.dropped == ("thinking.budget_tokens",)
    assert fitted(BUDGET, max_tokens=500, thinking=thinking).fields["thinking"] == thinking  # an error there


def test_an_effort_of_the_callers_counts_more_than_the_budget() -> None:
    thinking = {"type": "enabled", "budget_tokens": 30_000}

    request = fitted(EFFORT, thinking=thinking, output_config={"effort": "low"})

    assert request.fields["output_config"] == {"effort": "low"}


@pytest.mark.parametrize("kind", ["adaptive", "disabled", "between_tools"])
def test_a_model_that_takes_both_gets_what_was_asked(kind: str) -> None:
    asked = {"thinking": {"type": kind}, "output_config": {"effort": "low"}}

    assert asked.items() <= fitted(BOTH, **asked).fields.items()


@pytest.mark.parametrize("model_id", [BUDGET, BOTH])
def test_a_temperature_while_thinking_is_left_out_and_told(model_id: str) -> None:
    thinking = {"type": "enabled", "budget_tokens": 2000}

    request = fitted(model_id, thinking=thinking, temperature=0, top_k=5)

    assert not {"temperature", "top_k"} & request.fields.keys()
    assert request.dropped == ("temperature", "top_k")


def test_the_usual_temperature_is_left_out_while_thinking_without_a_word() -> None:
    request = fitted(BOTH, thinking={"type": "adaptive"}, temperature=1)

    assert "temperature" not in request.fields
    assert request.dropped == ()


def test_without_thinking_a_temperature_stays() -> None:
    assert fitted(BOTH, thinking={"type": "disabled"}, temperature=0).fields["temperature"] == 0


def test_a_thought_that_an_effort_became_counts_as_thinking_too() -> None:
    request = fitted(BUDGET, output_config={"effort": "high"}, temperature=0.2)

    assert request.dropped == ("temperature",)


def test_what_new_models_refuse_is_left_out_and_told() -> None:
    request = fitted(EFFORT, temperature=0.5, top_p=0.9, top_k=5)

    assert not {"temperature", "top_p", "top_k"} & request.fields.keys()
    assert request.dropped == ("temperature", "top_k", "top_p")


# Thoughts of other vendors


@pytest.mark.parametrize(
    "unsigned",
    [
        {"type": "thinking", "thinking": "hm"},
        {"type": "thinking", "thinking": "hm", "signature": ""},
        {"type": "thinking", "thinking": "hm", "signature": None},
    ],
)
def test_thoughts_that_nobody_has_signed_are_left_out(unsigned: dict[str, Any]) -> None:
    text = {"type": "text", "text": "x"}
    said = {"role": "assistant", "content": [unsigned, THOUGHT, text]}

    assert fitted(messages=[*HI, said, *HI]).fields["messages"][1]["content"] == [THOUGHT, text]


def test_a_message_that_held_nothing_else_is_left_out_with_them() -> None:
    said = {"role": "assistant", "content": [{"type": "thinking", "thinking": "hm"}]}

    assert fitted(messages=[*HI, said, *HI]).fields["messages"] == [*HI, *HI]


def test_an_empty_message_and_one_of_text_stay_as_they_are() -> None:
    messages = [*HI, {"role": "assistant", "content": []}, {"role": "user", "content": '"thinking"'}]

    assert fitted(messages=messages).fields["messages"] == messages
