"""The most a call can cost, known before it is made: what a budget sets aside for it."""

from serve_app.accounting.price import Price
from serve_app.accounting.usage import Usage

MAX_OUTPUT = 4096  # tokens, where neither the caller sets a limit nor anyone knows the model's


def worst_case(price: Price, most: Usage, writes_cache: bool = False) -> int:
    """
    Nano-dollars for a call that uses the most it may: of plain text and of a machine's time.

    What is written may be all reasoning, where that is dearer. `writes_cache`: the caller marks parts of the
    input to be kept, which may then be all of it, for an hour.
    """
    if price.reasoning is not None or price.above or price.tiers:
        paid = price.applying(most.tier, most.input_tokens)
        if (paid.reasoning or 0) > paid.output:
            most = most._replace(output=0, reasoning=most.output)
    if not writes_cache:
        return price.cost(most)
    for_5m = most._replace(input=0, cache_write_5m=most.input)
    for_1h = most._replace(input=0, cache_write_1h=most.input)
    return max(map(price.cost, (most, for_5m, for_1h)))
