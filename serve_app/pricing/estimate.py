"""
Estimates of a call's cost in US dollars, for display and for the Python interface of version 1.

Everything inside the gateway counts in nano-dollars; floats are used only here.
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
    """
    Prices in US dollars per 1,000 tokens; `embedding_cost_per_1k` is None for a model without embeddings.
    """

    input_cost_per_1k: float
    output_cost_per_1k: float
    embedding_cost_per_1k: float | None = None


def get_model_pricing(model_id: str | None, catalogue: PriceCatalogue | None = None) -> ModelPricing | None:
    """Return the listed prices of a model; None for an unknown one."""
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
    Return the cost in US dollars, rounded to six decimals; an embedding has no output.

    A model without a price counts as 0.0, with a warning, as this interface requires. Code that decides by
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
    """Return the cost of a text, at four characters per token; an empty text has no input."""
    tokens = estimate_tokens(len(text)) if text else 0
    return estimate_cost(model_id, tokens, output_tokens, is_embedding, catalogue)


def compare_costs(
    models: Sequence[str], input_tokens: int, output_tokens: int = 0, catalogue: PriceCatalogue | None = None
) -> dict[str, float]:
    """Return each model's estimated cost, in the given order; 0.0 for a model without a price."""
    return {model: estimate_cost(model, input_tokens, output_tokens, catalogue=catalogue) for model in models}


def find_cheapest_model(
    models: Sequence[str],
    input_tokens: int,
    output_tokens: int = 0,
    max_cost: float | None = None,
    catalogue: PriceCatalogue | None = None,
) -> str | None:
    """
    Return the cheapest model, the first listed among equals; None if none is within `max_cost` US dollars.

    A model without a price is chosen only if no other model has one and no limit is set.
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
    """Return the cost in nano-dollars; None without a price, 0 for negative token counts."""
    price = (catalogue or classic_catalogue()).price(model_id)
    if price is None:
        return None
    if input_tokens < 0 or output_tokens < 0:
        return 0
    return price.cost(Usage(input_tokens, output_tokens))
