"""The most a call can cost, known before it is made: what a budget sets aside for it."""

from serve_app.accounting.price import Price
from serve_app.accounting.usage import Tier, Usage

MAX_OUTPUT = 4096  # tokens, where neither the caller sets a limit nor anyone knows the model's


def worst_case(
    price: Price,
    input_tokens: int,
    max_output: int | None = None,
    model_max: int | None = None,
    n: int = 1,
    tier: Tier = Tier.STANDARD,
    writes_cache: bool = False,
    machine_ms: int = 0,
) -> int:
    """
    Nano-dollars for a chat of which every answer is as long as it may be.

    `max_output` is the caller's limit in tokens for one answer, `model_max` the model's own; `n` answers are
    written for one reading of the input. `tier` is what the caller asks for. `writes_cache`: the caller marks
    parts of the input to be kept, which may then be all of it, for an hour. `machine_ms` is how long it may
    have a machine of one's own for itself.

    The longest answer may be all reasoning, where that is dearer. For an embedding `max_output` is 0.
    """
    longest = _longest(max_output, model_max) * max(1, n)
    paid = price.applying(tier, input_tokens)
    text, thought = (longest, 0) if (paid.reasoning or 0) <= paid.output else (0, longest)
    reading = Usage(input_tokens, text, reasoning=thought, machine_ms=machine_ms, tier=tier)
    if not writes_cache:
        return price.cost(reading)
    for_5m = reading._replace(input=0, cache_write_5m=input_tokens)
    for_1h = reading._replace(input=0, cache_write_1h=input_tokens)
    return max(map(price.cost, (reading, for_5m, for_1h)))


def _longest(max_output: int | None, model_max: int | None) -> int:
    limits = [limit for limit in (max_output, model_max) if limit is not None]
    return min(limits, default=MAX_OUTPUT)
