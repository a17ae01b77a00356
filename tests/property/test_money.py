"""Whatever is used and whatever it costs."""

from hypothesis import given
from hypothesis import strategies as st

from serve_app.accounting.money import dollars, dollars_text, nano_dollars
from serve_app.accounting.price import Price
from serve_app.accounting.usage import Usage

prices = st.builds(
    Price,
    input=st.integers(0, 10**12),
    output=st.integers(0, 10**12),
    cached=st.none() | st.integers(0, 10**12),
)
usages = st.builds(
    Usage,
    input_tokens=st.integers(0, 10**7),
    output_tokens=st.integers(0, 10**7),
    cached_tokens=st.integers(0, 10**7),
)


@given(prices, usages)
def test_a_cost_is_a_whole_number_and_never_below_zero(price: Price, usage: Usage) -> None:
    cost = price.cost(usage)

    assert isinstance(cost, int)
    assert cost >= 0


@given(prices, st.integers(0, 10**7), st.integers(0, 10**7), st.integers(0, 10**7), st.integers(0, 10**7))
def test_two_calls_cost_what_their_sum_does_but_for_the_rounding(
    price: Price, in_1: int, out_1: int, in_2: int, out_2: int
) -> None:
    apart = price.cost(Usage(in_1, out_1)) + price.cost(Usage(in_2, out_2))

    assert abs(apart - price.cost(Usage(in_1 + in_2, out_1 + out_2))) <= 1


@given(prices, usages, st.integers(0, 10**6))
def test_more_output_never_costs_less(price: Price, usage: Usage, more: int) -> None:
    longer = Usage(usage.input_tokens, usage.output_tokens + more, usage.cached_tokens)

    assert price.cost(longer) >= price.cost(usage)


@given(st.integers(0, 10**18))
def test_an_amount_survives_being_written(nano: int) -> None:
    assert nano_dollars(dollars_text(nano)) == nano
    assert "e" not in dollars_text(nano)


@given(st.integers(0, 10**15))
def test_an_amount_below_a_million_dollars_survives_being_shown(nano: int) -> None:
    assert nano_dollars(dollars(nano)) == nano
