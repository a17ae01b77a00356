"""What is set aside before a call."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serve_app.config.model import ModelTask
from serve_app.gateway.affordable_targets import most_usage
from serve_app.pricing.price import Price
from serve_app.pricing.price_list import TABLE, bundled_catalogue
from serve_app.pricing.usage import Tier, Usage
from serve_app.pricing.worst_case import worst_case
from serve_app.routing.requirements import Requirements
from serve_app.routing.target import targets_of
from tests.support.settings import two_providers

PRICE = Price(3_000_000, 15_000_000)


def set_aside(price: Price, most: Usage, writes_cache: bool = False, marks_cache: bool = False) -> int:
    """Nano-dollars."""
    return price.cost(worst_case(price, most, writes_cache, marks_cache=marks_cache))


def test_everything_is_read_and_the_answer_is_as_long_as_it_may_be() -> None:
    assert set_aside(PRICE, Usage(1000, 200)) == 1000 * 3 + 200 * 15
    assert set_aside(PRICE, Usage(1000)) == 3000


CHAT = Requirements(ModelTask.CHAT_SMART, input_tokens=10)
[TARGET] = [target for target in targets_of(two_providers()) if target.name == "first/first-chat"]


@pytest.mark.parametrize(
    ("wanted", "most"),
    [
        (CHAT, Usage(10, 4096)),
        (CHAT._replace(output_limit=200), Usage(10, 200)),
        (CHAT._replace(output_limit=200, answers=3), Usage(10, 600)),
        (CHAT._replace(answers=3), Usage(10, 3 * 4096)),
        (CHAT._replace(task=ModelTask.EMBEDDING, output_limit=200), Usage(10)),
        (CHAT._replace(output_limit=1, service_tier="priority"), Usage(10, 1, tier=Tier.PRIORITY)),
        (CHAT._replace(output_limit=1, service_tier="flex"), Usage(10, 1)),
        (CHAT._replace(output_limit=1, service_tier="batch"), Usage(10, 1)),
    ],
)
def test_an_answer_is_as_long_and_as_dear_as_its_caller_lets_it_be(wanted: Requirements, most: Usage) -> None:
    """A discount counts when the vendor has given it: who asks for one may not get it."""
    assert most_usage(TARGET, wanted) == most._replace(estimated=True)


def test_no_answer_is_longer_than_all_a_model_can_hold() -> None:
    small = replace(TARGET, context_window=1000)

    assert most_usage(small, CHAT).output == 1000 - 12, "beside what it reads, and a quarter more of that"


def test_the_answer_may_be_all_reasoning_where_that_is_dearer() -> None:
    price = Price(1_000_000, 2_000_000, reasoning=9_000_000)

    assert set_aside(price, Usage(10, 5)) == 10 * 1 + 5 * 9


def test_what_may_be_kept_in_the_cache_is_set_aside_for() -> None:
    price = Price(4_000_000, 0, cache_write_5m=5_000_000, cache_write_1h=8_000_000)

    assert set_aside(price, Usage(10, 5)) == 40
    assert set_aside(price, Usage(10, 5), writes_cache=True) == 80
    assert set_aside(price, Usage(10, 5), marks_cache=True) == 50, "the gateway's own marks are for 5 minutes"
    assert set_aside(price, Usage(10, 5), writes_cache=True, marks_cache=True) == 80


def test_long_prompts_and_other_tiers_are_set_aside_for_at_their_own_prices() -> None:
    gpt = bundled_catalogue().price("gpt-5.4", "openai")
    assert gpt is not None

    # Above 272,000 tokens: 5 and 22.50 dollars a million instead of 2.50 and 15.
    assert set_aside(gpt, Usage(272_000, 10)) == 272_000 * 2_500 + 10 * 15_000
    assert set_aside(gpt, Usage(272_001, 10)) == 272_001 * 5_000 + 10 * 22_500
    # In a hurry: 5 and 30.
    assert set_aside(gpt, Usage(1000, 10, tier=Tier.PRIORITY)) == 1000 * 5_000 + 10 * 30_000


def test_the_catalogue_knows_how_long_an_answer_can_be() -> None:
    catalogue = bundled_catalogue()

    assert catalogue.max_output("gpt-4o", "openai") == 16_384  # priced by our table, which says nothing of it
    assert catalogue.max_output("openai/gpt-4o-2024-08-06", "openai") == 16_384
    assert catalogue.max_output("claude-sonnet-4-5", "anthropic") == 64_000
    assert catalogue.max_output("llama3.1:8b", "vllm") is None
    assert catalogue.max_output(None) is None


tokens = st.integers(0, 10_000)


@given(tokens, tokens, tokens, st.sampled_from(["gpt-4o", "claude-3-5-sonnet", "deepseek-chat"]))
def test_no_answer_within_its_limits_costs_more_than_was_set_aside(
    read: int, written: int, thought: int, model: str
) -> None:
    price = TABLE[model].price
    answer = Usage(read, written, reasoning=thought)

    assert price.cost(answer) <= set_aside(price, Usage(read, written + thought))


def test_a_machine_may_be_needed_alone_for_as_long_as_an_answer_may_take() -> None:
    hourly = Price(0).with_machine(3_600_000)  # a nano-dollar a millisecond

    assert set_aside(hourly, Usage(1000, 200, machine_ms=120_000)) == 120_000
    assert set_aside(hourly, Usage(1000, machine_ms=120_000), writes_cache=True) == 120_000
