"""
The conversion of a row of LiteLLM's price file, whose prices are US dollars per token.

    <kind>                             the standard price; `_KINDS` lists the supported kinds
    <kind>_above_<n>k_tokens           for requests with more input tokens
    <kind>_priority, _flex, _batches   for a service tier
    <kind>_above_<n>k_tokens_<tier>    both
    tiered_pricing                     a list of such rows, each for a range of input tokens
    provider_specific_entry            factors on all of these: `fast` and `us`, of Anthropic's
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from decimal import Decimal
from typing import Any, TypeGuard

from serve_app.pricing.money import nano_dollars
from serve_app.pricing.price import MILLION, Price
from serve_app.pricing.usage import Tier

_KINDS = {
    "input": "input_cost_per_token",
    "output": "output_cost_per_token",
    "cached_read": "cache_read_input_token_cost",
    "cache_write_5m": "cache_creation_input_token_cost",
    "cache_write_1h": "cache_creation_input_token_cost_above_1hr",
    "reasoning": "output_cost_per_reasoning_token",
    "audio_input": "input_cost_per_audio_token",
    "audio_output": "output_cost_per_audio_token",
    "image_input": "input_cost_per_image_token",
    "image_output": "output_cost_per_image_token",
}
_TIERS = {Tier.PRIORITY: "_priority", Tier.FLEX: "_flex", Tier.BATCH: "_batches"}
_MULTIPLIED = {Tier.FAST: "fast", Tier.US: "us"}  # of Anthropic's, by their names there
_LONG = re.compile(r"(?:input|output)_cost_per_token(_above_(\d+)(k?)_tokens)(?:_[a-z]+)?")

_WRITING = frozenset({"chat", "completion", "responses"})
_NOT_WRITING = frozenset(  # an output price is optional
    {"embedding", "image_generation", "audio_transcription", "audio_speech", "rerank", "moderation"}
)
_WHOLE = {  # prices of single pieces: the first of these fields that has one
    ("embedding", "image"): ("input_cost_per_image",),
    ("image_generation", "image"): ("output_cost_per_image", "input_cost_per_image"),
    ("audio_transcription", "second"): ("output_cost_per_second", "input_cost_per_second"),
    ("rerank", "search"): ("input_cost_per_query",),
    ("audio_speech", "character"): ("input_cost_per_character",),
    ("embedding", "request"): ("input_cost_per_request", "input_cost_per_query"),
    ("chat", "request"): ("input_cost_per_request",),
}

Row = Mapping[str, Any]
Kinds = dict[str, Any]  # whole numbers by the names of `Price`


def per_million(dollars: float | str | Decimal, tokens: int) -> int:
    """Convert US dollars for so many tokens to nano-dollars per million tokens."""
    return nano_dollars(Decimal(str(dollars)) * (MILLION // tokens))


def price_of(row: Row) -> Price | None:
    """
    Return the price in a row; None if it has none that applies to the gateway's requests.

    A row of zeros is not a price: in that file it may mean "unknown" as well as "free".
    """
    mode = row.get("mode")
    if mode not in _WRITING and mode not in _NOT_WRITING:
        return None
    ranges = row.get("tiered_pricing")
    price = _by_range(ranges) if isinstance(ranges, list) and ranges else _by_kind(row, mode)
    return None if price is None or price.is_free else price.with_search(_search(row))


def max_output_of(row: Row) -> int | None:
    """Return the most tokens that the model writes in one answer; None: the row does not contain it."""
    most = row.get("max_output_tokens", 0)
    return int(most) or None if _is_amount(most) else None


def max_input_of(row: Row) -> int | None:
    """Return the most tokens that the model reads; None: the row does not contain it."""
    most = row.get("max_input_tokens", 0)
    return int(most) or None if _is_amount(most) else None


def _search(row: Row) -> int | None:
    """
    Return the nano-dollars for one search, at the most expensive size; None: the row does not contain it.
    """
    sizes = row.get("search_context_cost_per_query")
    prices = [price for price in sizes.values() if _is_amount(price)] if isinstance(sizes, Mapping) else []
    return nano_dollars(max(prices)) if prices else None


def _by_kind(row: Row, mode: str) -> Price | None:
    plain: Kinds = _kinds(row, "", "")
    whole: Kinds = dict(_whole(row, mode))
    if mode in _NOT_WRITING and ("input" in plain or whole):
        plain = {"input": 0, "output": 0, **plain}
    if "input" not in plain or "output" not in plain:
        return None
    spans = sorted({(_tokens(found), found[1]) for key in row if (found := _LONG.fullmatch(key))})
    tiers = tuple(
        (tier, _price(row, plain, spans, suffix, whole))
        for tier, suffix in _TIERS.items()
        if f"{_KINDS['input']}{suffix}" in row or f"{_KINDS['output']}{suffix}" in row
    )
    price = _price(row, plain, spans, "", whole, tiers)
    return replace(price, tiers=(*tiers, *_multiples(row, price)))


def _multiples(row: Row, price: Price) -> Iterator[tuple[Tier, Price]]:
    """Yield the prices of the tiers that cost so many times the usual one."""
    told = row.get("provider_specific_entry")
    given = told if isinstance(told, Mapping) else {}
    factors = {
        tier: Decimal(str(factor))
        for tier, name in _MULTIPLIED.items()
        if _is_amount(factor := given.get(name)) and factor > 0
    }
    if factors.keys() == _MULTIPLIED.keys():
        factors[Tier.FAST_US] = factors[Tier.FAST] * factors[Tier.US]
    for tier, factor in factors.items():
        yield tier, price.times(factor)


def _price(
    row: Row,
    plain: Kinds,
    spans: list[tuple[int, str]],
    suffix: str,
    whole: Kinds,
    tiers: tuple[tuple[Tier, Price], ...] = (),
) -> Price:
    """Return the prices of one tier, for all lengths of input."""
    usual = _over(plain, _kinds(row, "", suffix)) if suffix else plain
    above = []
    for least, span in spans:
        longer = _over(usual, _kinds(row, span, ""))
        if suffix:
            # Without a price for long requests in this tier, the higher of the two prices counts.
            longer = {kind: max(amount, usual.get(kind, 0)) for kind, amount in longer.items()}
            longer = _over(longer, _kinds(row, span, suffix))
        above.append((least, Price(**{**longer, **whole})))
    return Price(**{**usual, **whole}, above=tuple(above), tiers=tiers)


def _over(usual: Kinds, special: Kinds) -> Kinds:
    """Return the special prices, completed by the usual ones."""
    prices = {**usual, **special}
    if "output" in special and "reasoning" not in special:
        prices.pop("reasoning", None)  # then reasoning costs as much as this output
    if "cache_write_5m" in special and "cache_write_1h" in prices:
        prices["cache_write_1h"] = max(prices["cache_write_1h"], prices["cache_write_5m"])
    return prices


def _by_range(ranges: list[Any]) -> Price | None:
    steps: list[tuple[int, Kinds]] = []
    for step in ranges:
        span = step.get("range") if isinstance(step, Mapping) else None
        kinds = _kinds(step, "", "") if span else {}
        if not isinstance(span, list) or not {"input", "output"} <= kinds.keys():
            return None
        steps.append((int(span[0]), kinds))
    (_, first), *longer = steps
    return Price(**first, above=tuple((least, Price(**kinds)) for least, kinds in longer))


def _kinds(row: Row, span: str, suffix: str) -> Kinds:
    """Return the row's prices by kind, for this length and tier only."""
    return {
        kind: per_million(amount, 1)
        for kind, name in _KINDS.items()
        if (amount := row.get(f"{name}{span}{suffix}")) is not None and _is_amount(amount)
    }


def _whole(row: Row, mode: str) -> Iterator[tuple[str, int]]:
    if mode == "image_generation" and _is_amount(row.get(_KINDS["image_output"])):
        return  # a price of the tokens of a picture; the other one is an example of what it comes to
    for (priced, what), names in _WHOLE.items():
        if priced == mode:
            amount = next((row[name] for name in names if _is_amount(row.get(name)) and row[name]), 0)
            if amount:
                yield what, nano_dollars(amount)


def _tokens(found: re.Match[str]) -> int:
    return int(found[2]) * (1000 if found[3] else 1)


def _is_amount(value: Any) -> TypeGuard[int | float]:
    return isinstance(value, int | float) and not isinstance(value, bool) and value >= 0
