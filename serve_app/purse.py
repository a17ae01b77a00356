"""
What a request may cost at worst, and whether the budgets of its caller have room for that.

As far as this router knows it without asking: what it does not know, the bill finds out (`bill.py`).
"""

from collections.abc import Callable, Iterable
from math import inf

from serve_app.accounting.limit import Limit, Unit
from serve_app.accounting.price import Price
from serve_app.accounting.usage import Usage, tier_of
from serve_app.accounting.worst_case import MAX_OUTPUT, worst_case
from serve_app.caller import Caller
from serve_app.config.model import ModelTask
from serve_app.errors import LimitReached, PriceUnknown
from serve_app.routing.requirements import Requirements
from serve_app.routing.target import Target

PLENTY = 100  # times what a request will probably cost: more than it can cost at worst


def most_usage(target: Target, wanted: Requirements) -> Usage:
    """The most that an attempt may use of tokens and of a machine, as far as that can be known beforehand."""
    written = _longest(target, wanted) * wanted.answers
    return Usage(wanted.input_tokens, written, machine_ms=target.machine_ms, estimated=True)


def worst_cost(target: Target, wanted: Requirements, price: Price | None) -> int | None:
    """What an attempt may cost at most, in nano-dollars; None without a price."""
    if price is None:
        return None
    if not price.input and not price.output and price.is_free:
        return 0
    return worst_case(
        price,
        wanted.input_tokens,
        _longest(target, wanted),
        n=wanted.answers,
        tier=tier_of(wanted.service_tier),
        writes_cache=wanted.writes_cache,
        machine_ms=target.machine_ms,
    )


def _longest(target: Target, wanted: Requirements) -> int:
    """Tokens of the longest answer: the caller's limit, for few models ever write all they can."""
    if wanted.task is ModelTask.EMBEDDING:
        return 0
    return wanted.output_limit or min(MAX_OUTPUT, target.context_window)


class Purse:
    """
    The budgets of one caller.

    `price` knows prices by target name; `refusal_of` is what is known to become of so many nano-dollars asked
    of a limit, None: nothing is known that stands in the way; `share_left` how much of it is left, 0 to 1.
    """

    def __init__(
        self,
        caller: Caller,
        budgets: Iterable[Limit],
        price: Callable[[str], Price | None],
        refusal_of: Callable[[Limit, int], LimitReached | None],
        share_left: Callable[[Limit], float | None] = lambda limit: None,
    ) -> None:
        self._caller = caller
        self._shares = [(limit, share_left(limit)) for limit in budgets]
        self._least = min((_left(limit, share) for limit, share in self._shares), default=inf)
        self._price = price
        self._refusal_of = refusal_of

    def refusal(self, target: Target, wanted: Requirements, estimate: int | None) -> LimitReached | None:
        """
        Why this target cannot be paid for; None: it can be tried. What costs nothing can always be.

        `estimate` is what it will probably cost; with a hundred times that left nobody has to look closer. It
        holds no machine's time, and so says nothing about those who are paid for that.
        """
        enough = inf if estimate is None or target.machine_ms else PLENTY * estimate
        if self._least >= enough:
            return None
        payer = (self._caller.tenant, self._caller.name, target.provider_id, target.model_id)
        covering = [pair for pair in self._shares if pair[0].scope.covers(*payer)]
        if all(_left(limit, share) >= enough for limit, share in covering):
            return None
        cost = worst_cost(target, wanted, self._price(target.name))
        if cost is None:
            return PriceUnknown(target.name, covering[0][0].id)
        refusals = (self._refusal_of(limit, cost) for limit, _ in covering if cost)
        return next((refusal for refusal in refusals if refusal is not None), None)

    def is_low(self, percent: float) -> bool:
        """Whether less than that is known to be left of a budget for whatever the caller does."""
        return any(
            share is not None and 100 * share < percent
            for limit, share in self._shares
            if limit.scope.is_per_request
        )


def _left(limit: Limit, share: float | None) -> float:
    """What is known to be left of a budget, in nano-dollars; of one that nobody has spoken of, nothing."""
    return 0.0 if share is None else share * limit.amount


def budgets_among(limits: Iterable[Limit]) -> tuple[Limit, ...]:
    """The limits that are of money."""
    return tuple(limit for limit in limits if limit.unit is Unit.NANO_DOLLARS)
