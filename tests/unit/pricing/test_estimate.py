"""Questions about cost, and their answers."""

import logging

import pytest

from serve_app.pricing.estimate import (
    compare_costs,
    estimate_cost,
    estimate_cost_from_text,
    find_cheapest_model,
    get_model_pricing,
)
from serve_app.pricing.price_list import TABLE, PriceCatalogue


@pytest.mark.contract(51)
def test_a_known_a_local_and_an_unknown_model(caplog: pytest.LogCaptureFixture) -> None:
    assert estimate_cost("gpt-4o", 1000, 500) == 0.0125
    assert estimate_cost("llama3.1:8b", 1000, 500) == 0.0
    with caplog.at_level(logging.WARNING):
        assert estimate_cost("unknown-model", 1000, 500) == 0.0
    assert "unknown-model" in caplog.text


@pytest.mark.contract(52)
def test_odd_numbers_of_tokens_are_priced_exactly() -> None:
    assert estimate_cost("gpt-4o", 0, 0) == 0
    assert estimate_cost("gpt-4o", -1, 500) == 0.0
    assert estimate_cost("gpt-4o", 500, -1) == 0.0
    assert estimate_cost("gpt-4o", 1000) > 0
    assert estimate_cost("gpt-4o", 0, 1000) > 0


@pytest.mark.parametrize("model_id", [name for name, entry in TABLE.items() if not entry.embedding])
@pytest.mark.contract(52)
def test_what_is_written_costs_no_less_than_what_is_read(model_id: str) -> None:
    assert estimate_cost(model_id, 0, 1000) >= estimate_cost(model_id, 1000, 0)


@pytest.mark.contract(53)
def test_comparing_names_every_model() -> None:
    assert compare_costs(["gpt-4o", "unknown-model"], 1000, 500) == {"gpt-4o": 0.0125, "unknown-model": 0.0}
    assert compare_costs([], 1000, 500) == {}


@pytest.mark.contract(54)
def test_the_cheapest_of_several() -> None:
    assert find_cheapest_model(["gpt-4o", "gpt-4o-mini", "llama3.1:8b"], 1000, 500) == "llama3.1:8b"
    assert find_cheapest_model(["gpt-4o", "gpt-4o-mini"], 1000, 500) == "gpt-4o-mini"
    assert find_cheapest_model(["gpt-4o"], 1000, 500) == "gpt-4o"
    assert find_cheapest_model([], 1000, 500) is None


@pytest.mark.contract(55)
def test_the_cheapest_within_a_limit() -> None:
    assert find_cheapest_model(["gpt-4o", "gpt-4o-mini", "claude-3-sonnet"], 1000, 500, max_cost=0.01) == (
        "gpt-4o-mini"
    )
    assert find_cheapest_model(["gpt-4o", "gpt-4o-mini"], 1000, 500, max_cost=0.0000001) is None
    assert find_cheapest_model(["gpt-4o", "mistral:7b"], 1000, 500, max_cost=0.0) == "mistral:7b"
    assert find_cheapest_model(["gpt-4o"], 1000, 500, max_cost=0.0125) == "gpt-4o"


def test_a_model_without_a_price_is_never_the_cheapest() -> None:
    assert find_cheapest_model(["nope", "gpt-4o"], 1000, 500) == "gpt-4o"
    assert find_cheapest_model(["nope"], 1000, 500) == "nope"
    assert find_cheapest_model(["nope"], 1000, 500, max_cost=1.0) is None


def test_among_equals_the_first_listed_is_the_cheapest() -> None:
    assert find_cheapest_model(["mistral:7b", "llama3.1:8b"], 1000, 500) == "mistral:7b"


@pytest.mark.contract(56)
def test_pricing_per_thousand_tokens() -> None:
    mini = get_model_pricing("gpt-4o-mini-2024-07-18")

    assert mini is not None
    assert mini == get_model_pricing("gpt-4o-mini")
    assert (mini.input_cost_per_1k, mini.output_cost_per_1k) == (0.00015, 0.0006)
    assert mini.embedding_cost_per_1k is None
    assert [get_model_pricing(name) for name in (None, "", "nope")] == [None, None, None]


@pytest.mark.contract(57)
def test_an_embedding_pays_for_its_input_only() -> None:
    assert estimate_cost("text-embedding-3-small", 1000, is_embedding=True) == 0.00002
    assert estimate_cost("text-embedding-3-small", 1000, 500, is_embedding=True) == 0.00002
    assert estimate_cost("text-embedding-3-small", 1000, is_embedding=True) < estimate_cost("gpt-4o", 1000)
    pricing = get_model_pricing("text-embedding-3-small")
    assert pricing is not None
    assert pricing.embedding_cost_per_1k == 0.00002


@pytest.mark.parametrize(
    ("model_id", "cost"),
    [
        ("gpt-4o", 0.0125),
        ("gpt-4o-mini", 0.00045),
        ("gpt-4-turbo", 0.025),
        ("gpt-4", 0.06),
        ("gpt-3.5-turbo", 0.00125),
        ("claude-3-opus", 0.0525),
        ("claude-3-sonnet-20240229", 0.0105),
        ("claude-3-haiku", 0.000875),
        ("claude-3-5-haiku-20241022", 0.0035),
        ("kimi-2.5", 0.0002),
        ("moonshot-v1-8k", 0.00018),
        ("moonshot-v1-32k", 0.00036),
        ("moonshot-v1-128k", 0.0009),
        ("deepseek-v3", 0.00028),
    ],
)
def test_a_thousand_tokens_in_and_half_of_it_out_cost_what_the_contracts_table_says(
    model_id: str, cost: float
) -> None:
    assert estimate_cost(model_id, 1000, 500) == cost


def test_a_text_counts_a_token_for_four_characters() -> None:
    assert estimate_cost_from_text("gpt-4o", "x" * 4000, 500) == 0.0125
    assert estimate_cost_from_text("gpt-4o", "") == 0.0


def test_costs_are_rounded_to_six_decimals() -> None:
    assert estimate_cost("gpt-4o", 1) == 0.000005
    assert estimate_cost("gpt-4o-mini", 1) == 0.0


def test_another_price_list_may_be_asked() -> None:
    assert estimate_cost("gemini-2.5-flash", 1000, catalogue=PriceCatalogue()) == 0.0
    assert estimate_cost("gemini-2.5-flash", 1000) > 0.0


def test_what_writes_nothing_pays_for_what_is_read_alone() -> None:
    assert estimate_cost("gpt-4o", 1000) == estimate_cost("gpt-4o", 1000, 0) == 0.005
    assert estimate_cost_from_text("gpt-4o", "x" * 4000) == 0.005
    assert compare_costs(["gpt-4o"], 1000) == {"gpt-4o": 0.005}
    assert find_cheapest_model(["gpt-4o"], 1000, max_cost=0.005) == "gpt-4o"
    assert find_cheapest_model(["gpt-4o"], 1000, max_cost=0.004999) is None


def test_a_text_may_be_embedded_and_asked_of_another_price_list() -> None:
    assert estimate_cost_from_text("text-embedding-3-small", "x" * 4000, 500, is_embedding=True) == 0.00002
    assert estimate_cost_from_text("gemini-2.5-flash", "x" * 4000, catalogue=PriceCatalogue()) == 0.0
    assert compare_costs(["gemini-2.5-flash"], 1000, catalogue=PriceCatalogue()) == {"gemini-2.5-flash": 0.0}
    assert find_cheapest_model(["gemini-2.5-flash", "gpt-4o"], 1000, catalogue=PriceCatalogue()) == "gpt-4o"
    assert get_model_pricing("gemini-2.5-flash", PriceCatalogue()) is None
    assert get_model_pricing("gemini-2.5-flash") is not None
