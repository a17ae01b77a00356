"""
Estimate the cost of a call in US dollars, for people and for the Python interface of version 1.

Everything inside the gateway counts in nano-dollars; floats begin and end here.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass

from serve_app.pricing.money import dollars, nano_dollars
from serve_app.pricing.price_list import PriceCatalogue, classic_catalogue
from serve_app.pricing.usage import Usage, estimate_tokens

_DECIMALS = 6

log = logging.getLogger("sekha.accounting")


@dataclass(frozen=True, slots=True)
class ModelPricing:
    """US dollars per 1,000 tokens; `embedding_cost_per_1k` is None for a model that makes no vectors."""

    input_cost_per_1k: float
    output_cost_per_1k: float
    embedding_cost_per_1k: float | None = None


def get_model_pricing(model_id: str | None, catalogue: PriceCatalogue | None = None) -> ModelPricing | None:
    """What the price list says about a model; None for one it does not know."""
    entry = (catalogue or classic_catalogue()).entry(model_id)
    if entry is None:
        return None
    # Nano-dollars per million tokens are a thousand times the nano-dollars per thousand tokens.
    per_1k_input = dollars(entry.price.input) / 1000
    return ModelPricing(
        input_cost_per_1k=per_1k_input,
        output_cost_per_1k=dollars(entry.price.output) / 1000,
        embedding_cost_per_1k=per_1k_input if entry.embedding else None,
    )


def estimate_cost(
    model_id: str,
    input_tokens: int,
    output_tokens: int = 0,
    is_embedding: bool = False,
    catalogue: PriceCatalogue | None = None,
) -> float:
    """
    US dollars, rounded to six decimals; an embedding has no output to pay for.

    A model without a price counts 0.0 here, with a warning, as that interface expects. Code that decides by
    cost uses the price list, which returns None.
    """
    cost = _cost(model_id, input_tokens, 0 if is_embedding else output_tokens, catalogue)
    if cost is None:
        log.warning("the price of model '%s' is unknown; it counts as 0", model_id)
        return 0.0
    return round(dollars(cost), _DECIMALS)


def estimate_cost_from_text(
    model_id: str,
    text: str,
    output_tokens: int = 0,
    is_embedding: bool = False,
    catalogue: PriceCatalogue | None = None,
) -> float:
    """The same for a text, at four characters a token; no text costs no input."""
    tokens = estimate_tokens(len(text)) if text else 0
    return estimate_cost(model_id, tokens, output_tokens, is_embedding, catalogue)


def compare_costs(
    models: Sequence[str], input_tokens: int, output_tokens: int = 0, catalogue: PriceCatalogue | None = None
) -> dict[str, float]:
    """Each model's estimate, in the order given; 0.0 for a model without a price."""
    return {model: estimate_cost(model, input_tokens, output_tokens, catalogue=catalogue) for model in models}


def find_cheapest_model(
    models: Sequence[str],
    input_tokens: int,
    output_tokens: int = 0,
    max_cost: float | None = None,
    catalogue: PriceCatalogue | None = None,
) -> str | None:
    """
    The cheapest of the models, the first listed among equals; None if none is within `max_cost` US dollars.

    A model without a price is never the cheapest: it is taken only where no other has one and no limit is
    set.
    """
    costs = {model: _cost(model, input_tokens, output_tokens, catalogue) for model in models}
    known = {model: cost for model, cost in costs.items() if cost is not None}
    if max_cost is not None:
        limit = nano_dollars(max_cost)
        known = {model: cost for model, cost in known.items() if cost <= limit}
    elif not known:
        return next(iter(costs), None)
    return min(known, key=known.__getitem__, default=None)


def _cost(
    model_id: str, input_tokens: int, output_tokens: int, catalogue: PriceCatalogue | None
) -> int | None:
    """Nano-dollars; None without a price, 0 for a count of tokens below zero."""
    price = (catalogue or classic_catalogue()).price(model_id)
    if price is None:
        return None
    if input_tokens < 0 or output_tokens < 0:
        return 0
    return price.cost(Usage(input_tokens, output_tokens))
