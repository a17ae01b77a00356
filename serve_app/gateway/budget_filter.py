"""
What a request may use and cost at worst, and whether the budgets of its caller have room for that.

As far as this router knows it without asking: what it does not know, the bill finds out
(`gateway/charging.py`).
"""

from collections.abc import Callable, Sequence
from functools import lru_cache
from math import inf
from typing import NamedTuple

from serve_app.caller import Caller
from serve_app.config.model import ModelTask
from serve_app.errors import LimitReached, PriceUnknown, ToolPriceUnknown
from serve_app.limits.limit import Limit
from serve_app.pricing.price import Price
from serve_app.pricing.price_list import bundled_catalogue
from serve_app.pricing.prompt import PER_SEARCH, Prompt, Tokens, most_tokens
from serve_app.pricing.usage import Usage, dearer_tier
from serve_app.pricing.worst_case import worst_case
from serve_app.routing.requirements import Requirements
from serve_app.routing.target import Target

MAX_OUTPUT = 4096  # tokens of an answer without thinking, where the caller sets no limit and a budget does
LEAST_OUTPUT = 256  # of such an answer, however little room the prompt leaves
PLENTY = 100  # times what a request will probably cost: more than it can cost at worst
USUAL_BOUND = 16  # times the estimate of the tokens read: beyond that, the estimate says little


class Output(NamedTuple):
    """
    How long one answer may be.

    Fields:
        most: tokens that are reserved for it.
        sent: the bound that goes into the request; None where the caller set none and no limit applies.
    """

    most: int
    sent: int | None


def output_of(target: Target, wanted: Requirements, is_limited: bool) -> Output:
    """
    Return how long one answer of this target may be.

    The caller's bound counts. Without one, a request under a limit gets `MAX_OUTPUT` and what it asks for to
    think, or less where the model writes less or its window has no room; the bound is sent, because an answer
    may only be as long as was reserved. Without a limit nothing is added, but Claude, which must have a
    bound, gets the longest that it can write. Claude counts thinking within its bound, which must be larger.
    """
    if wanted.task is ModelTask.EMBEDDING:
        return Output(0, None)
    thinking = wanted.extent.thinking if wanted.extent else 0
    given = wanted.output_limit
    if given is not None:
        most = given if given > thinking else given + thinking
        return Output(most, most if target.dialect.limit_includes_thinking else given)
    listed_most = _listed(target)[1]
    most = MAX_OUTPUT + thinking
    if not is_limited and target.dialect.requires_limit:
        most = max(listed_most or most, thinking + 1)
        return Output(most, most)
    if listed_most is not None:
        most = max(min(most, listed_most), thinking + 1)
    room = target.context_window - wanted.input_tokens * 5 // 4  # the estimate may be too low
    most = min(most, max(room, LEAST_OUTPUT), target.context_window)
    return Output(most, most if is_limited else None)


def most_usage(target: Target, wanted: Requirements, output: Output | None = None) -> Usage:
    """The most that an attempt may use of tokens, searches and a machine; `output` under a limit if None."""
    most = (output or output_of(target, wanted, is_limited=True)).most
    read = most_read(target, wanted)
    return Usage(
        read.text,
        most * wanted.answers,
        audio_input=read.sound,
        image_input=read.pictures,
        machine_ms=target.machine_ms,
        searches=searches_of(target, wanted),
        estimated=True,
        tier=dearer_tier(wanted.service_tier),
    )


def most_read(target: Target, wanted: Requirements) -> Tokens:
    """The most tokens that the vendor may count as read."""
    extent = wanted.extent
    if extent is None:
        return Tokens(wanted.input_tokens)
    prompt = Prompt(extent.size, extent.low_pictures, extent.pictures, extent.sound, extent.unseen)
    window = None if wanted.task is ModelTask.EMBEDDING else window_of(target)
    read = most_tokens(prompt, target.model_id, window)
    found = extent.searches * PER_SEARCH + extent.fetched
    return read._replace(text=read.text + found) if found else read


def window_of(target: Target) -> int | None:
    """The most tokens of a prompt: the larger of what is configured and what is listed; None: unknown."""
    listed = _listed(target)[0]
    if not target.is_window_told:
        return listed
    return max(target.context_window, listed or 0)


def longest_of(target: Target) -> int | None:
    """The most tokens that the model writes in one answer; None: unknown."""
    return _listed(target)[1]


def searches_of(target: Target, wanted: Requirements) -> int:
    """The most searches that the vendor may run and charge for."""
    asked = wanted.extent.searches if wanted.extent else 0
    return max(asked, int(always_searches(target)))


def always_searches(target: Target) -> bool:
    """Whether the model searches for every answer, and may not tell that it did."""
    name = target.model_id
    return "search-preview" in name or "search-api" in name or "sonar" in name


def unpriced_use(price: Price, target: Target, wanted: Requirements, limit_id: str) -> PriceUnknown | None:
    """Why a tool of the vendor's cannot be paid for from this budget; None where it can, or is not wanted."""
    extent = wanted.extent
    if extent is None or price.is_free:
        return None
    if extent.unbounded_tool is not None:
        return ToolPriceUnknown(target.name, limit_id, extent.unbounded_tool)
    if extent.searches and price.search is None:
        return ToolPriceUnknown(target.name, limit_id, "web search")
    return None


def _listed(target: Target) -> tuple[int | None, int | None]:
    return _limits_of(target.model_id, target.provider_type)


@lru_cache(maxsize=4096)
def _limits_of(model_id: str, provider_type: str) -> tuple[int | None, int | None]:
    """The most tokens that the price list says a model reads, and writes."""
    catalogue = bundled_catalogue()
    return catalogue.max_input(model_id, provider_type), catalogue.max_output(model_id, provider_type)


class BudgetFilter:
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
        holds neither a machine's time nor what cannot be estimated from text.
        """
        enough = PLENTY * estimate if estimate is not None and _is_usual(target, wanted) else inf
        if enough <= self._least:  # nearly always
            return None
        payer = (self._caller.tenant, self._caller.name, target.provider_id, target.model_id)
        scarce = [limit for limit, left in self._left if left < enough and limit.scope.covers(*payer)]
        if not scarce:
            return None
        price = self._price(target.name)
        if price is None:
            return PriceUnknown(target.name, scarce[0].id)
        if unpriced := unpriced_use(price, target, wanted, scarce[0].id):
            return unpriced
        cost = cost_at_worst(price, most_usage(target, wanted), wanted)
        refusals = (self._refusal_of(limit, cost) for limit in scarce if cost)
        return next((refusal for refusal in refusals if refusal is not None), None)

    def is_low(self, percent: float) -> bool:
        """Whether less than that is known to be left of a budget for whatever the caller does."""
        return any(
            100 * left < percent * limit.amount for limit, left in self._left if limit.scope.is_per_request
        )


def cost_at_worst(price: Price, most: Usage, wanted: Requirements) -> int:
    """Nano-dollars for the most that an attempt may use, in the kinds of token that cost the most."""
    return price.cost(worst_at(price, most, wanted))


def worst_at(price: Price, most: Usage, wanted: Requirements) -> Usage:
    """The most that an attempt may use, in the kinds of token that cost the most."""
    return worst_case(price, most, wanted.writes_cache, wanted.extent is not None and wanted.extent.speaks)


def _is_usual(target: Target, wanted: Requirements) -> bool:
    """Whether the estimate of a request says something about its worst case."""
    extent = wanted.extent
    if target.machine_ms or always_searches(target):
        return False
    if extent is None:
        return True
    special = (
        extent.pictures, extent.low_pictures, extent.sound, extent.unseen, extent.thinking, extent.searches,
        extent.fetched, extent.unbounded_tool, extent.speaks,
    )  # fmt: skip
    return not any(special) and extent.size <= USUAL_BOUND * wanted.input_tokens
