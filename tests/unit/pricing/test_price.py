"""What an answer cost."""

from hypothesis import given
from hypothesis import strategies as st

from serve_app.pricing.price import FREE, Price
from serve_app.pricing.usage import Tier, Usage, estimate_tokens

GPT_4O = Price(input=5_000_000_000, output=15_000_000_000)


def test_a_thousand_in_and_five_hundred_out() -> None:
    assert GPT_4O.cost(Usage(1000, 500)) == 12_500_000


def test_every_kind_of_token_has_its_own_price() -> None:
    price = Price(
        input=1_000_000,
        output=2_000_000,
        cached_read=3_000_000,
        cache_write_5m=4_000_000,
        cache_write_1h=5_000_000,
        reasoning=6_000_000,
        audio_input=7_000_000,
        audio_output=8_000_000,
        image_input=9_000_000,
        image_output=10_000_000,
        image=11,
        second=12,
        request=13,
    )
    usage = Usage(*([10] * 13))

    assert price.cost(usage) == 10 * (1 + 2 + 3 + 4 + 5 + 6 + 7 + 8 + 9 + 10 + 11 + 12 + 13)


def test_a_kind_without_a_price_costs_what_input_or_output_do() -> None:
    price = Price(1_000_000, 5_000_000)

    assert price.cost(Usage(cached_read=1, cache_write_5m=1, cache_write_1h=1)) == 3
    assert price.cost(Usage(audio_input=1, image_input=1)) == 2
    assert price.cost(Usage(reasoning=1, audio_output=1, image_output=1)) == 15
    assert Price(1, cache_write_5m=4_000_000).cost(Usage(cache_write_1h=1)) == 4


def test_a_price_of_zero_is_a_price() -> None:
    assert Price(1_000_000, cached_read=0).cost(Usage(input=1, cached_read=9)) == 1


def test_an_operators_price_for_cache_writes_is_for_those_of_an_hour_too() -> None:
    price = Price(1_000_000, cache_write_5m=2_000_000, cache_write_1h=3_000_000).with_cache(None, 7_000_000)

    assert (price.cache_write_5m, price.cache_write_1h) == (7_000_000, 7_000_000)
    assert price.cost(Usage(cache_write_1h=1)) == 7


def test_a_search_has_a_price_at_every_length() -> None:
    price = Price(1_000_000, above=((100, Price(2_000_000)),)).with_search(5)

    assert price.cost(Usage(10, searches=3)) == 10 + 15
    assert price.cost(Usage(101, searches=3)) == 202 + 15
    assert Price(1_000_000).cost(Usage(10, searches=3)) == 10


def test_a_long_prompt_is_charged_by_the_dearer_prices_as_a_whole() -> None:
    longer = Price(2_000_000, 20_000_000, cached_read=200_000)
    longest = Price(3_000_000, 30_000_000)
    price = Price(1_000_000, 10_000_000, above=((200, longer), (500, longest)))

    assert price.cost(Usage(200, 1)) == 200 * 1 + 10
    assert price.cost(Usage(201, 1)) == 201 * 2 + 20
    assert price.cost(Usage(101, 1, cached_read=100)) == 101 * 2 + 20 + 20
    assert price.cost(Usage(0, 10**6)) == 10 * 10**6
    assert price.cost(Usage(501)) == 501 * 3


def test_a_service_tier_has_its_own_prices_at_every_length() -> None:
    longer = Price(5_000_000)
    fast = Price(2_000_000, above=((100, longer),))
    price = Price(1_000_000, above=((100, Price(4_000_000)),), tiers=((Tier.PRIORITY, fast),))

    assert price.cost(Usage(10, tier=Tier.PRIORITY)) == 20
    assert price.cost(Usage(101, tier=Tier.PRIORITY)) == 101 * 5
    assert price.cost(Usage(10, tier=Tier.FLEX)) == 10
    assert price.cost(Usage(101, tier=Tier.FLEX)) == 101 * 4
    assert price.cost(Usage(10, tier=Tier.FAST)) == price.cost(Usage(10, tier=Tier.FAST_US)) == 20
    assert price.cost(Usage(10, tier=Tier.US)) == 10


def test_another_price_for_the_cache_holds_at_every_length_and_in_every_tier() -> None:
    listed = Price(1_000_000, above=((100, Price(4_000_000)),), tiers=((Tier.FLEX, Price(500_000)),))
    price = listed.with_cache(read=2_000_000, write=3_000_000)

    for usage in (Usage(cached_read=1), Usage(cached_read=1, tier=Tier.FLEX)):
        assert price.cost(usage) == 2
    assert price.cost(Usage(cached_read=101)) == 202
    assert price.cost(Usage(cache_write_5m=1, cache_write_1h=1)) == 6
    assert listed.with_cache(None, None) == listed


def test_a_cost_is_rounded_once_half_up() -> None:
    assert Price(input=500_000, output=500_000).cost(Usage(1, 0)) == 1
    assert Price(input=500_000, output=500_000).cost(Usage(1, 1)) == 1
    assert Price(input=499_999).cost(Usage(1, 0)) == 0


def test_free_costs_nothing() -> None:
    assert FREE.is_free
    assert FREE.cost(Usage(10**9, 10**9)) == 0
    assert not GPT_4O.is_free
    assert not Price(0, request=1).is_free
    assert not Price(0, above=((100, Price(1)),)).is_free


def test_four_characters_are_a_token_and_there_is_always_one() -> None:
    assert [estimate_tokens(length) for length in (0, 3, 4, 9)] == [1, 1, 1, 2]


def test_a_share_of_a_machines_hour() -> None:
    """Half a minute at four dollars an hour: 30 / 3600 of four thousand million."""
    price = FREE.with_machine(4_000_000_000)

    assert price.cost(Usage(1000, 500, machine_ms=30_000)) == 33_333_333
    assert price.cost(Usage(1000, 500)) == 0
    assert not price.is_free


def test_time_and_tokens_are_rounded_together_once() -> None:
    """0.4 nano-dollars of tokens and 0.4 of time are 0.8: each alone would be nothing."""
    price = Price(400_000).with_machine(1_440_000)

    assert price.cost(Usage(1)) == 0
    assert price.cost(Usage(machine_ms=1)) == 0
    assert price.cost(Usage(1, machine_ms=1)) == 1


def test_time_is_rounded_half_up_too() -> None:
    assert FREE.with_machine(1_800_000).cost(Usage(machine_ms=1)) == 1
    assert FREE.with_machine(1_799_999).cost(Usage(machine_ms=1)) == 0
    assert Price(250_000).with_machine(900_000).cost(Usage(1, machine_ms=1)) == 1


def test_a_machines_hour_costs_the_same_at_every_length_and_in_every_tier() -> None:
    longer, flex = Price(2), Price(3, above=((10, Price(4)),))
    price = Price(0, above=((10, longer),), tiers=((Tier.FLEX, flex),)).with_machine(3_600_000)

    for usage in (Usage(1), Usage(11), Usage(1, tier=Tier.FLEX), Usage(11, tier=Tier.FLEX)):
        assert price.cost(usage._replace(machine_ms=7)) == 7


def test_time_of_a_machine_that_is_not_paid_by_the_hour_costs_nothing() -> None:
    assert GPT_4O.cost(Usage(1000, 500, machine_ms=1_000_000)) == 12_500_000


def test_a_cache_saves_what_its_reads_are_cheaper_less_what_its_writes_are_dearer() -> None:
    price = Price(3_000_000, 15_000_000, 300_000, 3_750_000, 6_000_000)

    assert price.cache_saving(Usage(1000, 500)) == 0
    assert price.cache_saving(Usage(5, 500, cached_read=1000)) == 2_700
    assert price.cache_saving(Usage(5, 500, cache_write_5m=1000)) == -750
    assert price.cache_saving(Usage(5, 500, cache_write_1h=1000)) == -3_000
    assert price.cache_saving(Usage(5, 500, cached_read=1000, cache_write_5m=1000)) == 1_950
    assert Price(3_000_000).cache_saving(Usage(0, 0, cached_read=1000, cache_write_1h=1000)) == 0


@given(st.integers(0, 10**6), st.integers(0, 10**6), st.integers(0, 10**6), st.integers(0, 10**6))
def test_without_its_cache_an_answer_had_cost_what_it_saved_more(
    read: int, cached: int, kept_5m: int, kept_1h: int
) -> None:
    price = Price(3_000_000, 15_000_000, 300_000, 3_750_000, 6_000_000)
    usage = Usage(read, 7, cached, kept_5m, kept_1h)
    without = Usage(read + cached + kept_5m + kept_1h, 7)

    assert abs(price.cost(without) - price.cost(usage) - price.cache_saving(usage)) <= 1
