"""The dearest way to use what a call may use: what a budget sets aside for it, before it is made."""

from serve_app.accounting.price import Price
from serve_app.accounting.usage import Usage


def worst_case(price: Price, most: Usage, writes_cache: bool = False) -> Usage:
    """
    The same use of plain text and of a machine's time, in the kinds of token that cost the most.

    What is written may be all reasoning, where that is dearer. `writes_cache`: the caller marks parts of the
    input to be kept, which may then be all of it, for an hour.
    """
    if price.reasoning is not None or price.above or price.tiers:
        paid = price.applying(most.tier, most.input_tokens)
        if (paid.reasoning or 0) > paid.output:
            most = most._replace(output=0, reasoning=most.output)
    if not writes_cache:
        return most
    for_5m = most._replace(input=0, cache_write_5m=most.input)
    for_1h = most._replace(input=0, cache_write_1h=most.input)
    return max(most, for_5m, for_1h, key=price.cost)
