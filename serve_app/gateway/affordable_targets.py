"""
The worst-case usage and cost of a request, and a filter for targets that its caller's budgets cannot cover.

The filter uses only what this router knows without a call to the control plane; the reservation
(`gateway/charging.py`) makes the exact check.
"""

from collections.abc import Callable, Sequence
from functools import lru_cache
from math import inf
from typing import NamedTuple

from serve_app.caller import Caller
from serve_app.config.model import CHAT_TASKS, SOUND_TASKS, ModelTask
from serve_app.errors import LimitReached, PriceUnknown, SoundLengthUnknown, ToolPriceUnknown
from serve_app.limits.limit import Limit
from serve_app.pricing.price import Price
from serve_app.pricing.price_list import bundled_catalogue
from serve_app.pricing.prompt import PER_SEARCH, Prompt, Tokens, most_tokens
from serve_app.pricing.sound import LEAST_WRITTEN, MOST_WRITTEN_PER_S, SPOKEN_PER_S
from serve_app.pricing.usage import Usage, dearer_tier
from serve_app.pricing.worst_case import worst_case
from serve_app.routing.requirements import Requirements
from serve_app.routing.target import Target

MAX_OUTPUT = 4096  # tokens of an answer without thinking, where the caller sets no limit and a budget does
LEAST_OUTPUT = 256  # of such an answer, however little room the prompt leaves
WIDEST = 1_000_000  # tokens of the largest context window that callers may ask for
PLENTY = 100  # times what a request will probably cost: more than it can cost at worst
USUAL_BOUND = 16  # times the estimate of the tokens read: beyond that, the estimate says little


class Output(NamedTuple):
    """
    The bounds of one answer's length.

    Fields:
        most: tokens that are reserved for it.
        sent: the bound that goes into the request; None where the caller set none and no limit applies.
    """

    most: int
    sent: int | None


def output_of(target: Target, requirements: Requirements, is_limited: bool) -> Output:
    """
    Return how long one answer of this target may be.

    The caller's bound comes first. Without one, a request under a limit gets `MAX_OUTPUT` plus its budget of
    thinking tokens, or less where the model writes less or its context window has no room. That bound is
    sent, because an answer must not be longer than was reserved. Without a limit no bound is added, except
    for Claude, which requires one: it gets the longest answer that the model can write. Claude counts
    thinking within its bound, so the bound is larger than the thinking budget.
    """
    if requirements.task in SOUND_TASKS:
        return Output(_most_output_of_sound(target, requirements), None)
    if requirements.task not in CHAT_TASKS:
        return Output(0, None)
    thinking = requirements.extent.thinking if requirements.extent else 0
    given = requirements.output_limit
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
    room = target.context_window - requirements.input_tokens * 5 // 4  # the estimate may be too low
    most = min(most, max(room, LEAST_OUTPUT), target.context_window)
    return Output(most, most if is_limited else None)


def most_usage(target: Target, requirements: Requirements, output: Output | None = None) -> Usage:
    """
    Return the most tokens, searches and machine time that an attempt may use.

    Without `output`, the length of the answer is that of a request under a limit.
    """
    most = (output or output_of(target, requirements, is_limited=True)).most
    read = most_read(target, requirements)
    predicted = requirements.extent.predicted if requirements.extent else 0
    return requirements.pieces._replace(
        input=read.text,
        output=most * requirements.answers + predicted,
        audio_input=read.sound,
        image_input=requirements.pieces.image_input + read.pictures,
        machine_ms=target.machine_ms,
        searches=requirements.pieces.searches or searches_of(target, requirements),
        seconds=requirements.extent.seconds if requirements.extent else requirements.seconds,
        characters=requirements.characters,
        estimated=True,
        tier=dearer_tier(requirements.service_tier),
    )


def most_read(target: Target, requirements: Requirements) -> Tokens:
    """Return the most tokens that the vendor may count as read."""
    extent = requirements.extent
    if extent is None:
        return Tokens(requirements.input_tokens)
    prompt = Prompt(extent.size, extent.low_pictures, extent.pictures, extent.sound, extent.unseen)
    has_many = requirements.task not in CHAT_TASKS or extent.further_prompts > 0
    window = None if has_many else window_for(target, requirements)
    read = most_tokens(prompt, target.model_id, window)
    found = extent.searches * PER_SEARCH + extent.fetched
    return read._replace(text=read.text + found) if found else read


def window_of(target: Target) -> int | None:
    """Return the most tokens of a prompt: the larger of the configured and the listed; None if unknown."""
    listed = _listed(target)[0]
    if not target.is_window_told:
        return listed
    return max(target.context_window, listed or 0)


def window_for(target: Target, requirements: Requirements) -> int | None:
    """Return the most tokens of a prompt whose caller may ask for a larger window; None if unknown."""
    usual = window_of(target)
    if usual is None or requirements.extent is None or not requirements.extent.widens_window:
        return usual
    return max(usual, WIDEST)


def _most_output_of_sound(target: Target, requirements: Requirements) -> int:
    """Return the most tokens of speech or of a transcript; no bound can be sent."""
    seconds = requirements.extent.seconds if requirements.extent else requirements.seconds
    if requirements.task is ModelTask.SPEECH:
        return SPOKEN_PER_S * seconds
    return max(_listed(target)[1] or LEAST_WRITTEN, MOST_WRITTEN_PER_S * seconds)


def longest_of(target: Target) -> int | None:
    """Return the most tokens that the model writes in one answer; None if unknown."""
    return _listed(target)[1]


def searches_of(target: Target, requirements: Requirements) -> int:
    """Return the most searches that the vendor may run and charge for."""
    asked = requirements.extent.searches if requirements.extent else 0
    return max(asked, int(always_searches(target)))


def always_searches(target: Target) -> bool:
    """Return whether the model searches for every answer, possibly without reporting it."""
    name = target.model_id
    return "search-preview" in name or "search-api" in name or "sonar" in name


def unpriced_use(
    price: Price, target: Target, requirements: Requirements, limit_id: str
) -> PriceUnknown | None:
    """Return why something of no known size or price cannot be paid from this budget; None: there is none."""
    extent = requirements.extent
    if extent is None or price.is_free:
        return None
    if extent.is_endless:
        return SoundLengthUnknown(target.name, limit_id)
    if extent.unbounded_tool is not None:
        return ToolPriceUnknown(target.name, limit_id, extent.unbounded_tool)
    if extent.searches and price.search is None:
        return ToolPriceUnknown(target.name, limit_id, "web search")
    return None


def _listed(target: Target) -> tuple[int | None, int | None]:
    return _limits_of(target.model_id, target.provider_type)


@lru_cache(maxsize=4096)
def _limits_of(model_id: str, provider_type: str) -> tuple[int | None, int | None]:
    """Return the most tokens that a model reads and writes, from the price list."""
    catalogue = bundled_catalogue()
    return catalogue.max_input(model_id, provider_type), catalogue.max_output(model_id, provider_type)


class BudgetFilter:
    """
    The budgets of one caller.

    Args:
        caller: who pays.
        remaining: the budgets, each with the nano-dollars that remain of it, as far as this router knows.
        price: returns the price of a target by its name; None if unknown.
        refusal_of: returns the refusal that a reservation of so many nano-dollars from a limit would get;
            None if no refusal is known.
    """

    def __init__(
        self,
        caller: Caller,
        remaining: Sequence[tuple[Limit, int]],
        price: Callable[[str], Price | None],
        refusal_of: Callable[[Limit, int], LimitReached | None],
    ) -> None:
        self._caller = caller
        self._remaining = remaining
        self._least = min([amount for _, amount in remaining], default=inf)
        self._price = price
        self._refusal_of = refusal_of

    def refusal(
        self, target: Target, requirements: Requirements, estimate: int | None
    ) -> LimitReached | None:
        """
        Return why this target cannot be paid for; None if it can be tried. A free target always can.

        `estimate` is the probable cost. If at least `PLENTY` times that remains, the worst case is not
        computed. The estimate excludes machine time and what cannot be estimated from text.
        """
        enough = PLENTY * estimate if estimate is not None and _is_usual(target, requirements) else inf
        if enough <= self._least:  # nearly always
            return None
        payer = (self._caller.tenant, self._caller.name, target.provider_id, target.model_id)
        scarce = [
            limit for limit, amount in self._remaining if amount < enough and limit.scope.covers(*payer)
        ]
        if not scarce:
            return None
        price = self._price(target.name)
        if price is None:
            return PriceUnknown(target.name, scarce[0].id)
        if unpriced := unpriced_use(price, target, requirements, scarce[0].id):
            return unpriced
        most = most_usage(target, requirements)
        cost = cost_at_worst(price, most, requirements, target.caches_prompts)
        refusals = (self._refusal_of(limit, cost) for limit in scarce if cost)
        return next((refusal for refusal in refusals if refusal is not None), None)

    def is_low(self, percent: float) -> bool:
        """Return whether less than this percentage remains of a budget that applies whatever the target."""
        return any(
            100 * amount < percent * limit.amount
            for limit, amount in self._remaining
            if limit.scope.is_per_request
        )


def cost_at_worst(price: Price, most: Usage, requirements: Requirements, marks_cache: bool = False) -> int:
    """Return the worst-case cost in nano-dollars: all tokens are of the kinds that cost the most."""
    return price.cost(worst_at(price, most, requirements, marks_cache))


def worst_at(price: Price, most: Usage, requirements: Requirements, marks_cache: bool = False) -> Usage:
    """
    Return the worst-case usage: all tokens are of the kinds that cost the most.

    `marks_cache`: the gateway marks what the target's vendor may cache.
    """
    speaks = requirements.extent is not None and requirements.extent.speaks
    return worst_case(price, most, requirements.writes_cache, speaks, marks_cache)


def _is_usual(target: Target, requirements: Requirements) -> bool:
    """Return whether the estimate of a request is a guide to its worst case."""
    extent = requirements.extent
    if target.machine_ms or always_searches(target):
        return False
    if extent is None:
        return True
    special = (
        extent.pictures, extent.low_pictures, extent.sound, extent.unseen, extent.thinking, extent.searches,
        extent.fetched, extent.unbounded_tool, extent.speaks, extent.predicted, extent.seconds,
    )  # fmt: skip
    return not any(special) and extent.size <= USUAL_BOUND * requirements.input_tokens
