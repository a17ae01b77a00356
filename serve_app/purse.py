"""
What a request may cost at worst, and whether the budgets of its caller have room for that.

As far as this router knows it without asking: what it does not know, the bill finds out (`bill.py`).
"""

from collections.abc import Callable, Sequence
from math import inf

from serve_app.accounting.limit import Limit
from serve_app.accounting.price import Price
from serve_app.accounting.usage import Usage, dearer_tier
from serve_app.accounting.worst_case import worst_case
from serve_app.caller import Caller
from serve_app.config.model import ModelTask
from serve_app.errors import LimitReached, PriceUnknown
from serve_app.routing.requirements import Requirements
from serve_app.routing.target import Target

MAX_OUTPUT = 4096  # tokens, where neither the caller sets a limit nor anyone knows the model's
PLENTY = 100  # times what a request will probably cost: more than it can cost at worst


def most_usage(target: Target, wanted: Requirements) -> Usage:
    """The most that an attempt may use of tokens and of a machine, as far as that can be known beforehand."""
    return Usage(
        wanted.input_tokens,
        _longest(target, wanted) * wanted.answers,
        machine_ms=target.machine_ms,
        estimated=True,
        tier=dearer_tier(wanted.service_tier),
    )


def _longest(target: Target, wanted: Requirements) -> int:
    """Tokens of the longest answer: the caller's limit, for few models ever write all they can."""
    if wanted.task is ModelTask.EMBEDDING:
        return 0
    return wanted.output_limit or min(MAX_OUTPUT, target.context_window)


class Purse:
    """
    The budgets of one caller.

    `left` are the budgets, each with how many nano-dollars are left of it, for all that is known; `price`
    knows prices by target name; `refusal_of` is what is known to become of so many nano-dollars asked of a
    limit, None: nothing is known that stands in the way.
    """

    def __init__(
        self,
        caller: Caller,
        left: Sequence[tuple[Limit, int]],
        price: Callable[[str], Price | None],
        refusal_of: Callable[[Limit, int], LimitReached | None],
    ) -> None:
        self._caller = caller
        self._left = left
        self._least = min([amount for _, amount in left], default=inf)
        self._price = price
        self._refusal_of = refusal_of

    def refusal(self, target: Target, wanted: Requirements, estimate: int | None) -> LimitReached | None:
        """
        Why this target cannot be paid for; None: it can be tried. What costs nothing can always be.

        `estimate` is what it will probably cost; with a hundred times that left nobody has to look closer. It
        holds no machine's time, and so says nothing about those who are paid for that.
        """
        enough = inf if estimate is None or target.machine_ms else PLENTY * estimate
        if enough <= self._least:  # nearly always
            return None
        payer = (self._caller.tenant, self._caller.name, target.provider_id, target.model_id)
        scarce = [limit for limit, left in self._left if left < enough and limit.scope.covers(*payer)]
        if not scarce:
            return None
        price = self._price(target.name)
        if price is None:
            return PriceUnknown(target.name, scarce[0].id)
        cost = price.cost(worst_case(price, most_usage(target, wanted), wanted.writes_cache))
        refusals = (self._refusal_of(limit, cost) for limit in scarce if cost)
        return next((refusal for refusal in refusals if refusal is not None), None)

    def is_low(self, percent: float) -> bool:
        """Whether less than that is known to be left of a budget for whatever the caller does."""
        return any(
            100 * left < percent * limit.amount for limit, left in self._left if limit.scope.is_per_request
        )
