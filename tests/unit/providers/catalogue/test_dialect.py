"""What happens to a parameter on its way to a vendor that speaks another dialect."""

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from serve_app.config.parameters import OUTPUT_LIMITS, Parameters
from serve_app.config.provider import ProviderConfig
from serve_app.providers.catalogue.dialect import GONE, NEUTRAL, Dialect, matters, told
from serve_app.providers.catalogue.rows import VENDORS
from serve_app.providers.dialects import dialect_for, dialect_of

HI = [{"role": "user", "content": "hi"}]

# Each parameter with values that ask for something, of every kind a caller may send.
ASKED: dict[str, list[Any]] = {
    "seed": [7, 0],
    "n": [2, 1],
    "temperature": [0, 0.2, 1, 1.5, 2],
    "top_p": [0.1, 1],
    "top_k": [40],
    "stop": ["END", ["a", "b"], []],
    "logprobs": [True, False],
    "top_logprobs": [5, 0],
    "logit_bias": [{"50256": -100}, {}],
    "frequency_penalty": [0.5, 0],
    "presence_penalty": [-0.5, 0],
    "max_tokens": [9],
    "max_completion_tokens": [11],
    "response_format": [
        {"type": "text"},
        {"type": "json_object"},
        {"type": "json_schema", "json_schema": {"name": "a", "schema": {}}},
    ],
    "service_tier": ["flex", "auto"],
    "parallel_tool_calls": [True, False],
    "metadata": [{"a": "b"}, {}],
    "store": [True, False],
    "user": ["u-1"],
    "safety_identifier": ["s-1"],
    "reasoning_effort": ["none", "low", "high"],
    "verbosity": ["low"],
    "thinking": [{"type": "enabled", "budget_tokens": 1024}],
    "betas": [["a-2025"], []],
    "modalities": [["text"], ["text", "audio"]],
    "audio": [{"voice": "alloy", "format": "wav"}],
    "prediction": [{"type": "content", "content": "x"}],
    "web_search_options": [{}, {"search_context_size": "low"}],
    "prompt_cache_key": ["k"],
    "prompt_cache_retention": ["24h"],
    "tools": [[{"type": "function", "function": {"name": "f"}}]],
    "tool_choice": ["auto", "required"],
    "functions": [[{"name": "f"}]],
    "function_call": ["auto"],
    "unheard_of": [{"a": [1]}],
}

bodies = st.fixed_dictionaries(
    {"model": st.just("m"), "messages": st.just(HI)},
    optional={name: st.sampled_from([*values, None]) for name, values in ASKED.items()},
)
of_the_table = st.sampled_from([family.dialect for row in VENDORS.values() for family in row.families])
dialects = of_the_table | st.builds(
    Dialect,
    drops=st.frozensets(st.sampled_from([*ASKED, "response_format.json_schema"])),
    while_reasoning=st.frozensets(st.sampled_from([*ASKED])),
    renames=st.sampled_from([{}, {"seed": "random_seed"}]),
    output_limit=st.sampled_from([None, *OUTPUT_LIMITS]),
)


@given(bodies, dialects)
def test_every_parameter_is_carried_renamed_or_told(body: dict[str, Any], dialect: Dialect) -> None:
    sent = copy.deepcopy(body)
    dropped = dialect.fit(sent)

    carried = (body[name] for name in OUTPUT_LIMITS if body.get(name) is not None and name not in dropped)
    limit = next(carried, None)
    for name, value in body.items():
        if value is None or name in dropped:
            continue
        if name in OUTPUT_LIMITS and dialect.output_limit:
            assert sent[dialect.output_limit] == limit
            continue
        new = dialect.renames.get(name, name)
        assert sent.get(new, GONE) == value or (new not in sent and value == NEUTRAL.get(name, GONE))
    added = sent.keys() - body.keys() - {dialect.output_limit, *dialect.renames.values()}
    assert not added
    assert list(dropped) == sorted(set(dropped))


@given(bodies, dialects)
def test_what_would_be_lost_is_known_before_a_request_is_changed(
    body: dict[str, Any], dialect: Dialect
) -> None:
    before = copy.deepcopy(body)
    foreseen = dialect.lost(body)

    assert body == before
    assert dialect.fit(body) == foreseen


@given(bodies)
def test_a_model_that_nobody_knows_gets_everything(body: dict[str, Any]) -> None:
    sent = copy.deepcopy(body)

    assert dialect_of("openai_compatible", "my-own-model").fit(sent) == ()
    assert sent == body


@given(bodies, of_the_table)
def test_a_request_that_fits_is_left_as_it_is(body: dict[str, Any], dialect: Dialect) -> None:
    dialect.fit(body)
    again = copy.deepcopy(body)

    assert dialect.fit(again) == ()
    assert again == body


def fit(type_: str, model_id: str, **asked: Any) -> tuple[dict[str, Any], tuple[str, ...]]:
    """The parameters as they are sent, and what was dropped."""
    fields: dict[str, Any] = {"messages": HI, **asked}
    dropped = dialect_of(type_, model_id).fit(fields)
    del fields["messages"]
    return fields, dropped


REASONING = ["gpt-5", "gpt-5-mini-2025-08-07", "gpt-5.1", "gpt-5.4", "o1", "o3", "o3-mini", "o4-mini"]


@pytest.mark.parametrize("type_", ["openai", "openai_compatible"])
@pytest.mark.parametrize("model_id", [*REASONING, "gpt-5-chat-latest", "openai/gpt-5"])
def test_reasoning_models_of_openai_get_their_name_of_the_output_limit(type_: str, model_id: str) -> None:
    assert fit(type_, model_id, max_tokens=9) == ({"max_completion_tokens": 9}, ())


@pytest.mark.parametrize("model_id", REASONING)
def test_reasoning_models_of_openai_get_no_penalties(model_id: str) -> None:
    assert fit("openai", model_id, presence_penalty=1) == ({}, ("presence_penalty",))


@pytest.mark.parametrize(
    "model_id", ["gpt-4o", "gpt-4o-mini", "gpt-oss-120b", "o1-like-model", "gpt-50-tales", "my-gpt-5"]
)
def test_other_models_get_what_was_sent(model_id: str) -> None:
    asked = {"max_tokens": 9, "temperature": 0.3, "logprobs": True, "stop": ["a"]}

    assert fit("openai_compatible", model_id, **asked) == (asked, ())


def test_a_fixed_temperature_passes_and_another_one_is_told() -> None:
    assert fit("openai", "gpt-5", temperature=1) == ({"temperature": 1}, ())
    assert fit("openai", "gpt-5", temperature=0.2) == ({}, ("temperature",))


def test_sampling_goes_to_a_model_that_does_not_reason() -> None:
    assert fit("openai", "gpt-5.1", temperature=0.2) == ({"temperature": 0.2}, ())
    quiet = {"temperature": 0.2, "reasoning_effort": "none"}
    assert fit("openai", "gpt-5.1", **quiet) == (quiet, ())
    reasoning = {"temperature": 0.2, "reasoning_effort": "high"}
    assert fit("openai", "gpt-5.1", **reasoning) == ({"reasoning_effort": "high"}, ("temperature",))


def test_claude_gets_a_temperature_in_its_range() -> None:
    assert fit("anthropic", "claude-3-haiku-20240307", temperature=1.5) == (
        {"temperature": 1},
        ("temperature",),
    )


def test_claude_gets_temperature_or_top_p_and_not_both() -> None:
    both = {"temperature": 0.5, "top_p": 0.9}

    assert fit("anthropic", "claude-sonnet-4-5-20250929", **both) == ({"temperature": 0.5}, ("top_p",))
    assert fit("anthropic", "claude-sonnet-4-5", top_p=0.9) == ({"top_p": 0.9}, ())
    assert fit("anthropic", "claude-sonnet-4-20250514", **both) == (both, ())
    assert fit("anthropic", "claude-opus-4-7", **both) == ({}, ("temperature", "top_p"))


def test_the_newer_of_two_names_of_the_output_limit_counts() -> None:
    assert fit("ollama", "llama3", max_tokens=9, max_completion_tokens=11) == ({"max_tokens": 11}, ())


def test_a_null_under_another_name_is_left_out() -> None:
    nulls = {"max_tokens": 9, "max_completion_tokens": None, "seed": None}

    assert fit("mistral", "mistral-large-latest", **nulls) == ({"max_tokens": 9}, ())


@pytest.mark.parametrize(
    ("type_", "model_id", "includes", "requires"),
    [
        ("anthropic", "claude-opus-4-7", True, True),
        ("anthropic", "a-new-model", True, True),
        ("bedrock", "anthropic.Claude-v2", True, True),
        ("litellm", "vertex_ai/claude-sonnet-4-5", True, True),
        ("openrouter", "anthropic/claude-sonnet-4.5", True, False),
        ("openai_compatible", "claude-sonnet-4-5", True, False),
        ("ollama", "my-claude-like-model", True, False),
        ("openai", "gpt-5", False, False),
        ("gemini", "gemini-3-pro", False, False),
        ("bedrock", "titan", False, False),
    ],
)
def test_claude_thinks_within_its_limit_and_its_native_api_requires_one(
    type_: str, model_id: str, includes: bool, requires: bool
) -> None:
    dialect = dialect_of(type_, model_id)

    assert (dialect.limit_includes_thinking, dialect.requires_limit) == (includes, requires)


def test_mistral_gets_its_own_name_of_the_seed() -> None:
    assert fit("mistral", "mistral-large-latest", seed=7) == ({"random_seed": 7}, ())


def test_one_type_of_response_format_may_be_taken_and_another_not() -> None:
    schema = {"type": "json_schema", "json_schema": {"name": "a", "schema": {}}}

    assert fit("deepseek", "deepseek-chat", response_format=schema) == ({}, ("response_format",))
    anything = {"response_format": {"type": "json_object"}}
    assert fit("deepseek", "deepseek-chat", **anything) == (anything, ())


@pytest.mark.parametrize(
    "type_", ["ollama", "vllm", "lmstudio", "mistral", "deepseek", "moonshot", "together"]
)
def test_a_developers_message_is_the_systems_where_there_is_no_such_role(type_: str) -> None:
    fields = {"messages": [{"role": "developer", "content": "be short"}, *HI]}

    assert dialect_of(type_, "m").fit(fields) == ()
    assert [message["role"] for message in fields["messages"]] == ["system", "user"]


def test_groq_gets_no_names_in_messages() -> None:
    fields = {"messages": [{"role": "user", "name": "Ann", "content": "hi"}]}

    assert dialect_of("groq", "llama-3.3-70b-versatile").fit(fields) == ("messages.name",)
    assert fields["messages"] == HI


def test_a_vendor_without_a_row_promises_only_what_is_ordinary() -> None:
    unknown = dialect_of("cohere_chat", "command-r")

    assert unknown.lost({"messages": HI, "temperature": 0.3, "stream": True, "n": 1}) == ()
    assert unknown.lost({"messages": HI, "seed": 7, "logit_bias": {"1": 1}}) == ("logit_bias", "seed")


@given(st.lists(st.text(), max_size=100))
def test_a_list_of_dropped_parameters_can_stand_in_a_header(names: list[str]) -> None:
    listed = told(names)

    assert len(listed) <= 32
    for name in listed:
        assert 1 <= len(name) <= 64
        assert name.isascii()
        assert name.isprintable()
        assert not set(name) & set(" ,:;\r\n")


def configured(
    provider: dict[str, Any] | None, model: dict[str, Any] | None, type_: str = "mistral"
) -> Dialect:
    models = [
        {"model_id": "m", "task": "chat_small"},
        {"model_id": "m", "task": "chat_smart", "parameters": model},
        {"model_id": "other", "task": "chat_small"},
    ]
    fields = {"id": "p", "type": type_, "models": models, "parameters": provider}
    return dialect_for(ProviderConfig.model_validate(fields), "m")


def test_what_an_operator_says_of_a_provider_counts_before_the_table() -> None:
    dialect = configured({"take": ["logprobs"], "drop": ["n"], "rename": {"max_tokens": "limit"}}, None)
    fields = {"logprobs": True, "n": 2, "max_completion_tokens": 9, "seed": 7}

    assert dialect.fit(fields) == ("n",)
    assert fields == {"logprobs": True, "limit": 9, "random_seed": 7}


def test_what_an_operator_says_of_a_model_counts_before_what_is_said_of_its_provider() -> None:
    dialect = configured({"drop": ["n"], "include_usage": False}, {"take": ["n"], "include_usage": True})

    assert dialect.include_usage
    assert dialect.fit({"n": 2}) == ()


def test_a_parameter_that_an_operator_renames_is_taken() -> None:
    fields = {"service_tier": "flex"}

    assert configured({"rename": {"service_tier": "tier"}}, None).fit(fields) == ()
    assert fields == {"tier": "flex"}


def test_an_operator_may_give_a_role_another_name() -> None:
    fields = {"messages": [{"role": "developer", "content": "x"}, {"role": "tool", "content": "y"}]}
    configured({"roles": {"tool": "function"}}, None).fit(fields)

    assert [message["role"] for message in fields["messages"]] == ["system", "function"]


@pytest.mark.parametrize(
    "wrong",
    [
        {"drop": ["messages"]},
        {"rename": {"model": "engine"}},
        {"drop": ["seed"], "take": ["seed"]},
        {"rename": {"seed": "x", "n": "x"}},
        {"rename": {"seed": "n", "n": "count"}},
        {"drop": ["a b"]},
        {"drop": ["a.b.c"]},
        {"dropp": ["seed"]},
    ],
)
def test_an_operators_mistake_is_named(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Parameters.model_validate(wrong)


@pytest.mark.parametrize(
    "messages", [[5], [None], [{"role": ["system"]}], {"role": "developer"}, "hi"], ids=str
)
@pytest.mark.parametrize("type_", ["mistral", "groq"])
def test_messages_that_are_none_are_left_as_they_are(type_: str, messages: Any) -> None:
    fields = {"input": "a cat", "messages": messages}

    assert dialect_of(type_, "m").fit(fields) == ()
    assert fields["messages"] == messages


@pytest.mark.parametrize(
    ("name", "before", "after", "is_lost"),
    [
        ("seed", None, GONE, False),
        ("seed", None, 5, False),
        ("seed", 5, GONE, True),
        ("seed", 5, 5, False),
        ("seed", 5, 6, True),
        ("n", 1, GONE, False),  # asks for nothing special
        ("n", 1, 2, True),
        ("n", True, GONE, True),  # is not 1
        ("logprobs", False, GONE, False),
        ("logprobs", 0, GONE, True),
        ("logprobs", False, 0, True),
        ("made_up", 1, GONE, True),
    ],
)
def test_something_is_lost_unless_it_was_null_neutral_or_stays(
    name: str, before: Any, after: Any, is_lost: bool
) -> None:
    assert matters(name, before, after) is is_lost


def test_names_in_a_header_are_clean_sorted_once_and_no_more_than_32() -> None:
    assert told(["b", "a", "b"]) == ("a", "b")
    assert told(["x y\r\nz", "é", "", "a-b.c_d"]) == ("_", "a-b.c_d", "x_y__z")
    assert told(["n" * 65]) == ("n" * 64,)
    assert len(told(str(number) for number in range(40))) == 32
