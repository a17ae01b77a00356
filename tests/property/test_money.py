"""Whatever is used and whatever it costs."""

from dataclasses import replace
from math import inf, nan
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from serve_app.pricing.money import dollars, dollars_text, nano_dollars
from serve_app.pricing.price import Price
from serve_app.pricing.reported_usage import usage_of
from serve_app.pricing.usage import Tier, Usage

KINDS = (
    "input", "output", "cached_read", "cache_write_5m", "cache_write_1h", "reasoning", "audio_input",
    "audio_output", "image_input", "image_output",
)  # fmt: skip
COUNTS = (*KINDS, "images", "seconds", "requests", "machine_ms")
WHOLE = ("image", "second", "request", "machine_hour")

amounts = st.integers(0, 10**12)
prices = st.builds(
    Price,
    input=amounts,
    output=amounts,
    **{kind: st.none() | amounts for kind in KINDS[2:]},
    **{what: st.integers(0, 10**9) for what in WHOLE},
)
usages = st.builds(Usage, **{count: st.integers(0, 10**7) for count in COUNTS})


@st.composite
def tiered_prices(draw: st.DrawFn) -> Price:
    """Prices that are dearer for long prompts and in a hurry, as everybody's are."""
    price = draw(prices)
    longer = tuple((least, _dearer(price, n)) for n, least in enumerate((1000, 100_000), start=2))
    fast = replace(_dearer(price, 5), above=((1000, _dearer(price, 7)),))
    return replace(price, above=longer, tiers=((Tier.PRIORITY, fast),))


def _dearer(price: Price, times: int) -> Price:
    told = {kind: getattr(price, kind) for kind in (*KINDS, *WHOLE)}
    return Price(**{kind: None if amount is None else amount * times for kind, amount in told.items()})


@given(prices, usages)
def test_a_cost_is_a_whole_number_and_never_below_zero(price: Price, usage: Usage) -> None:
    cost = price.cost(usage)

    assert isinstance(cost, int)
    assert cost >= 0


@given(prices, usages, usages)
def test_two_calls_cost_what_their_sum_does_but_for_the_rounding(price: Price, a: Usage, b: Usage) -> None:
    together = Usage(**{count: getattr(a, count) + getattr(b, count) for count in COUNTS})

    assert abs(price.cost(a) + price.cost(b) - price.cost(together)) <= 1


@given(tiered_prices(), usages, st.sampled_from(COUNTS), st.integers(0, 10**6), st.sampled_from(Tier))
def test_more_of_anything_never_costs_less(
    price: Price, usage: Usage, count: str, more: int, tier: Tier
) -> None:
    usage = usage._replace(tier=tier)

    assert price.cost(usage._replace(**{count: getattr(usage, count) + more})) >= price.cost(usage)


numbers = (
    st.integers(-(10**6), 10**6) | st.none() | st.sampled_from([0.5, nan, inf, 10**400, "12", "x", [], {}])
)
words = st.sampled_from([
    "prompt_tokens", "completion_tokens", "total_tokens", "input_tokens", "output_tokens", "seconds",
    "prompt_cache_hit_tokens", "cache_read_input_tokens", "cache_creation_input_tokens", "cached_tokens",
    "reasoning_tokens", "promptTokenCount", "candidatesTokenCount", "thoughtsTokenCount",
    "cachedContentTokenCount", "toolUsePromptTokenCount", "prompt_eval_count", "eval_count",
])  # fmt: skip
details = st.dictionaries(
    st.sampled_from(
        ["cached_tokens", "audio_tokens", "image_tokens", "cache_write_tokens", "reasoning_tokens"]
    ),
    numbers,
)
named = st.sampled_from([
    "prompt_tokens_details", "completion_tokens_details", "input_tokens_details", "output_tokens_details",
    "cache_creation", "promptTokensDetails", "service_tier",
])  # fmt: skip


@given(st.dictionaries(words, numbers), st.dictionaries(named, details | numbers))
def test_whatever_a_vendor_reports_no_bucket_is_below_zero(
    counts: dict[str, Any], inner: dict[str, Any]
) -> None:
    usage = usage_of({**counts, **inner})

    below = [name for name in ("input", "output") if usage is not None and getattr(usage, name) < 0]
    told = [value for value in counts.values() if isinstance(value, int) and value < 0]
    assert usage is None or all(getattr(usage, name) >= 0 for name in COUNTS if name not in below)
    assert told or not below, "below zero is only what was told so, and then nobody charges by it"


tokens = st.integers(0, 10**6)


@given(tokens, tokens, details, details)
def test_the_buckets_add_up_to_what_the_vendor_says_was_read_and_written(
    read: int, written: int, of_input: dict[str, Any], of_output: dict[str, Any]
) -> None:
    reported = {
        "prompt_tokens": read,
        "completion_tokens": written,
        "total_tokens": read + written,
        "prompt_tokens_details": of_input,
        "completion_tokens_details": of_output,
    }
    usage = usage_of(reported) or Usage()

    assert (usage.input_tokens, usage.output_tokens) == (read, written)


@given(st.integers(0, 10**18))
def test_an_amount_survives_being_written(nano: int) -> None:
    assert nano_dollars(dollars_text(nano)) == nano
    assert "e" not in dollars_text(nano)


@given(st.integers(0, 10**15))
def test_an_amount_below_a_million_dollars_survives_being_shown(nano: int) -> None:
    assert nano_dollars(dollars(nano)) == nano


@given(st.one_of(prices, tiered_prices()), st.integers(0, 10**7), st.integers(0, 10**7))
def test_the_cost_of_text_is_that_of_a_usage_of_text_alone(price: Price, read: int, written: int) -> None:
    assert price.cost_of_text(read, written) == price.cost(Usage(read, written))
