"""What an answer cost."""

from serve_app.accounting.price import FREE, Price
from serve_app.accounting.usage import Usage, estimate_tokens, usage_of

GPT_4O = Price(input=5_000_000_000, output=15_000_000_000)


def test_a_thousand_in_and_five_hundred_out() -> None:
    assert GPT_4O.cost(Usage(1000, 500)) == 12_500_000


def test_cached_tokens_have_their_own_price() -> None:
    price = Price(input=4_000_000, output=0, cached=1_000_000)

    assert price.cost(Usage(input_tokens=10, cached_tokens=4)) == 6 * 4 + 4
    assert Price(input=4_000_000).cost(Usage(input_tokens=10, cached_tokens=4)) == 40


def test_more_cached_than_read_is_not_believed() -> None:
    assert Price(input=4_000_000, cached=1_000_000).cost(Usage(input_tokens=2, cached_tokens=9)) == 2


def test_a_cost_is_rounded_once_half_up() -> None:
    assert Price(input=500_000, output=500_000).cost(Usage(1, 0)) == 1
    assert Price(input=500_000, output=500_000).cost(Usage(1, 1)) == 1
    assert Price(input=499_999).cost(Usage(1, 0)) == 0


def test_free_costs_nothing() -> None:
    assert FREE.is_free
    assert FREE.cost(Usage(10**9, 10**9)) == 0
    assert not GPT_4O.is_free


def test_usage_is_read_the_way_openai_writes_it() -> None:
    reported = {"prompt_tokens": 9, "completion_tokens": 2, "prompt_tokens_details": {"cached_tokens": 4}}

    assert usage_of(reported) == Usage(input_tokens=9, output_tokens=2, cached_tokens=4)
    assert usage_of({"prompt_tokens": 9, "completion_tokens": None}) == Usage(input_tokens=9)
    assert Usage(9, 2).total_tokens == 11


def test_usage_that_is_no_usage_is_none() -> None:
    assert usage_of(None) is None
    assert usage_of({}) is None
    assert usage_of({"prompt_tokens": "many"}) is None


def test_four_characters_are_a_token_and_there_is_always_one() -> None:
    assert [estimate_tokens(length) for length in (0, 3, 4, 9)] == [1, 1, 1, 2]
