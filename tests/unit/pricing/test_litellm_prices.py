"""One row of LiteLLM's price file."""

from typing import Any

import pytest

from serve_app.config.model import ModelConfig
from serve_app.pricing.litellm_prices import max_output_of, price_of
from serve_app.pricing.price import MILLION, Price
from serve_app.pricing.price_list import bundled_catalogue, target_price
from serve_app.pricing.usage import Tier, Usage

DOLLARS_A_MILLION = 1e-6


def row(mode: str = "chat", **dollars_a_million: float) -> dict[str, Any]:
    named = {name: amount * DOLLARS_A_MILLION for name, amount in dollars_a_million.items()}
    return {"mode": mode, **named}


def read(mode: str = "chat", **dollars_a_million: float) -> Price:
    price = price_of(row(mode, **dollars_a_million))
    assert price is not None
    return price


def micro(dollars: float) -> int:
    """Dollars for a million tokens, in nano-dollars."""
    return round(dollars * 1000) * MILLION


def test_every_kind_of_token_is_read() -> None:
    price = read(
        input_cost_per_token=3,
        output_cost_per_token=15,
        cache_read_input_token_cost=0.3,
        cache_creation_input_token_cost=3.75,
        cache_creation_input_token_cost_above_1hr=6,
        output_cost_per_reasoning_token=16,
        input_cost_per_audio_token=32,
        output_cost_per_audio_token=64,
        input_cost_per_image_token=8,
        output_cost_per_image_token=40,
    )

    assert price == Price(*map(micro, (3, 15, 0.3, 3.75, 6, 16, 32, 64, 8, 40)))


def test_long_prompts_have_their_own_prices_and_the_usual_ones_for_the_rest() -> None:
    price = read(
        input_cost_per_token=3,
        output_cost_per_token=15,
        cache_read_input_token_cost=0.3,
        cache_creation_input_token_cost_above_1hr=6,
        input_cost_per_token_above_200k_tokens=6,
        output_cost_per_token_above_200k_tokens=22.5,
        cache_creation_input_token_cost_above_1hr_above_200k_tokens=12,
        input_cost_per_token_above_500k_tokens=9,
    )

    first = Price(micro(6), micro(22.5), cached_read=micro(0.3), cache_write_1h=micro(12))
    second = Price(micro(9), micro(15), cached_read=micro(0.3), cache_write_1h=micro(6))
    assert price.above == ((200_000, first), (500_000, second))


def test_a_service_tier_has_prices_of_its_own_at_every_length() -> None:
    price = read(
        input_cost_per_token=1,
        output_cost_per_token=10,
        output_cost_per_reasoning_token=12,
        cache_read_input_token_cost=0.1,
        input_cost_per_token_above_200k_tokens=2,
        input_cost_per_token_priority=1.8,
        output_cost_per_token_priority=18,
        input_cost_per_token_above_200k_tokens_priority=3.6,
        input_cost_per_token_flex=0.5,
        input_cost_per_token_batches=0.4,
    )

    fast, flex, batch = (dict(price.tiers)[tier] for tier in (Tier.PRIORITY, Tier.FLEX, Tier.BATCH))
    assert (fast.input, fast.output, fast.cached_read) == (micro(1.8), micro(18), micro(0.1))
    assert fast.reasoning is None  # as its output
    assert dict(fast.above)[200_000].input == micro(3.6)
    assert (flex.input, flex.output, flex.reasoning) == (micro(0.5), micro(10), micro(12))
    assert dict(flex.above)[200_000].input == micro(2)  # not told: the dearer of both halves
    assert batch.input == micro(0.4)


def test_anthropics_ways_of_serving_cost_a_multiple_of_everything() -> None:
    told = row(input_cost_per_token=5, output_cost_per_token=25, cache_creation_input_token_cost=6.25)
    told |= {"input_cost_per_token_above_200k_tokens": 1e-5, "input_cost_per_token_batches": 2.5e-6}
    price = price_of({**told, "provider_specific_entry": {"us": 1.1, "fast": 2, "x": "y"}})
    assert price is not None
    usage = Usage(100, 10, cache_write_5m=4)

    def times(tier: Tier, usage: Usage = usage) -> float:
        return price.cost(usage._replace(tier=tier)) / price.cost(usage)

    assert (times(Tier.US), times(Tier.FAST), times(Tier.BATCH)) == (1.1, 2, pytest.approx(0.68, 0.1))
    assert times(Tier.FAST_US) == pytest.approx(2.2)
    assert times(Tier.US, Usage(300_000)) == 1.1
    ordinary = price_of({**told, "provider_specific_entry": {"us": True}})
    assert ordinary is not None
    assert ordinary.cost(usage._replace(tier=Tier.US)) == ordinary.cost(usage)


def test_what_is_paid_for_by_the_piece_is_read_where_it_is_counted() -> None:
    pictures = read("embedding", input_cost_per_token=0.8, input_cost_per_image=60)
    assert pictures.cost(Usage(10, images=2)) == 10 * 800 + 2 * 60_000

    sound = read("audio_transcription", input_cost_per_second=100, output_cost_per_second=100)
    assert sound.cost(Usage(seconds=9)) == 9 * 100_000

    drawn = read("image_generation", output_cost_per_image=40_000)
    assert drawn.cost(Usage(images=3)) == 3 * 40_000_000

    asked = read(input_cost_per_token=1, output_cost_per_token=1, input_cost_per_request=5000)
    assert asked.cost(Usage(1, 1)) == 5_000_000 + 2_000

    assert read(input_cost_per_token=1, output_cost_per_token=1, input_cost_per_image=1100).image == 0


def test_prices_by_range_are_prices_of_long_prompts() -> None:
    steps = [
        {"input_cost_per_token": 5e-8, "output_cost_per_token": 4e-7, "range": [0, 256_000.0]},
        {"input_cost_per_token": 2.5e-7, "output_cost_per_token": 2e-6, "range": [256_000.0, 1e6]},
    ]

    price = price_of({"mode": "chat", "tiered_pricing": steps})

    assert price == Price(micro(0.05), micro(0.4), above=((256_000, Price(micro(0.25), micro(2))),))
    assert price_of({"mode": "chat", "tiered_pricing": [{"range": [0, 1]}]}) is None
    assert price_of({"mode": "chat", "tiered_pricing": ["cheap"]}) is None


@pytest.mark.parametrize(
    ("told", "most"), [(4096, 4096), (4096.0, 4096), (0, None), ("many", None), (None, None)]
)
def test_how_long_an_answer_may_be_is_read(told: Any, most: int | None) -> None:
    assert max_output_of({"max_output_tokens": told}) == most
    assert max_output_of({}) is None


def test_the_prices_of_the_installed_list_are_dearer_for_longer_prompts() -> None:
    price = bundled_catalogue().price("gemini-2.5-pro", "gemini")

    assert price is not None
    assert price.cost(Usage(200_000)) == 200_000 * 1_250
    assert price.cost(Usage(200_001)) == 200_001 * 2_500


def target(**more: Any) -> Price | None:
    model = ModelConfig.model_validate({"model_id": "gpt-4o", "task": "chat_smart", **more})
    return target_price("openai", False, model)


def test_the_cache_can_be_given_a_price_in_the_configuration() -> None:
    listed = target(cost_per_1k_cached=0.001)
    assert listed is not None
    assert listed.cost(Usage(cached_read=1000, input=1000)) == 1_000_000 + 2_500_000

    own = target(cost_per_1k_tokens=0.01, cost_per_1k_cached=0, cost_per_1k_cache_write=0.02)
    assert own is not None
    assert own.cost(Usage(cached_read=1000, cache_write_5m=1000, cache_write_1h=1000)) == 40_000_000


def test_a_price_by_the_second_is_no_price_for_a_chat() -> None:
    assert bundled_catalogue().price("whisper-1", "openai") is not None
    assert target(model_id="whisper-1", task="audio") is None
