"""What a request may use at worst, and when a budget has to be looked at more closely than the estimate."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from serve_app.caller import ANYONE
from serve_app.config.model import ModelTask
from serve_app.errors import BudgetExceeded, LimitReached, PriceUnknown
from serve_app.gateway.affordable_targets import (
    BudgetFilter,
    Output,
    longest_of,
    most_read,
    most_usage,
    output_of,
    searches_of,
    window_for,
    window_of,
)
from serve_app.limits.limit import Limit, Scope, Unit, Window
from serve_app.pricing.price import FREE, Price
from serve_app.pricing.usage import Usage
from serve_app.providers.catalogue.rows import vendor
from serve_app.routing.requirements import Extent, Requirements
from serve_app.routing.target import Target, targets_of
from tests.support.settings import two_providers

[TARGET] = [target for target in targets_of(two_providers()) if target.name == "first/first-chat"]
OWN = replace(TARGET, model_id="mine", provider_type="vllm", context_window=100_000, is_window_told=True)
GPT = replace(OWN, model_id="gpt-4o", provider_type="openai", context_window=128_000)
CLAUDE = replace(OWN, model_id="claude-sonnet-4-5", provider_type="anthropic", context_window=200_000)
UNLISTED = replace(CLAUDE, model_id="claude-unheard-of")


def spoken(target: Target) -> Target:
    """The target as a configuration makes it: with what its vendor's model takes of a request."""
    return replace(target, dialect=vendor(target.provider_type).dialect(target.model_id))


BORROWED = replace(CLAUDE, provider_type="openrouter")
CHAT = Requirements(ModelTask.CHAT_SMART, input_tokens=10)
BUDGET = Limit("gateway/day", Unit.NANO_DOLLARS, Window.DAY, 1_000_000)


def asking(thinking: int = 0, **given: Any) -> Requirements:
    return CHAT._replace(extent=Extent(40, thinking=thinking), **given)


@pytest.mark.parametrize("is_limited", [True, False], ids=["limited", "unlimited"])
@pytest.mark.parametrize(
    ("target", "wanted", "output"),
    [
        (OWN, CHAT._replace(task=ModelTask.EMBEDDING, output_limit=5), Output(0, None)),
        (OWN, asking(output_limit=200), Output(200, 200)),
        (OWN, CHAT._replace(output_limit=200), Output(200, 200)),
        (OWN, asking(1000, output_limit=1001), Output(1001, 1001)),
        (OWN, asking(1000, output_limit=1000), Output(2000, 1000)),
        (OWN, asking(1000, output_limit=200), Output(1200, 200)),
        (CLAUDE, asking(1000, output_limit=1001), Output(1001, 1001)),
        (CLAUDE, asking(1000, output_limit=1000), Output(2000, 2000)),
        (CLAUDE, asking(1000, output_limit=200), Output(1200, 1200)),
        (BORROWED, asking(1000, output_limit=200), Output(1200, 1200)),
    ],
)
def test_the_callers_bound_counts_and_claude_thinks_within_it(
    target: Target, wanted: Requirements, output: Output, is_limited: bool
) -> None:
    assert output_of(spoken(target), wanted, is_limited) == output


@pytest.mark.parametrize(
    ("target", "wanted", "most"),
    [
        (OWN, CHAT, 4096),
        (OWN, asking(1000), 5096),
        (GPT, asking(10_000), 14_096),
        (GPT, asking(15_000), 16_384),  # it writes no more
        (GPT, asking(20_000), 20_001),  # but has to write more than it thinks
        (CLAUDE, CHAT, 4096),
        (replace(OWN, context_window=8192), CHAT._replace(input_tokens=4000), 3192),
        (replace(OWN, context_window=8192), CHAT._replace(input_tokens=6400), 256),  # however little room
        (replace(OWN, context_window=100), CHAT, 100),
    ],
)
def test_under_a_limit_an_answer_has_a_bound_which_is_sent(
    target: Target, wanted: Requirements, most: int
) -> None:
    assert output_of(target, wanted, is_limited=True) == Output(most, most)
    assert most_usage(target, wanted).output == most


@pytest.mark.parametrize(
    ("target", "wanted", "output"),
    [
        (OWN, CHAT, Output(4096, None)),
        (GPT, CHAT, Output(4096, None)),
        (BORROWED, CHAT, Output(4096, None)),  # who speaks OpenAI's words needs no bound
        (replace(CLAUDE, provider_type="openai"), CHAT, Output(4096, None)),
        (replace(CLAUDE, provider_type="openai_compatible"), CHAT, Output(4096, None)),
        (CLAUDE, CHAT, Output(64_000, 64_000)),
        (CLAUDE, asking(64_000), Output(64_001, 64_001)),
        (UNLISTED, CHAT, Output(4096, 4096)),
        (UNLISTED, asking(5000), Output(9096, 9096)),
        (replace(UNLISTED, provider_type="vertex", model_id="Claude-New"), CHAT, Output(4096, 4096)),
    ],
)
def test_without_a_limit_only_claude_gets_a_bound_the_longest_it_can_write(
    target: Target, wanted: Requirements, output: Output
) -> None:
    assert output_of(spoken(target), wanted, is_limited=False) == output


@pytest.mark.parametrize(
    ("target", "window", "longest"),
    [
        (OWN, 100_000, None),
        (GPT, 128_000, 16_384),
        (replace(GPT, context_window=1000), 128_000, 16_384),
        (replace(GPT, context_window=900_000), 900_000, 16_384),
        (replace(GPT, context_window=900_000, is_window_told=False), 128_000, 16_384),
        (replace(OWN, is_window_told=False), None, None),
    ],
)
def test_the_window_is_the_larger_of_what_is_configured_and_what_is_listed(
    target: Target, window: int | None, longest: int | None
) -> None:
    assert window_of(target) == window
    assert longest_of(target) == longest


@pytest.mark.parametrize(
    ("model_id", "asked", "searches"),
    [
        ("mine", 0, 0),
        ("mine", 3, 3),
        ("sonar", 0, 1),
        ("sonar-pro", 3, 3),
        ("gpt-4o-search-preview", 0, 1),
        ("gpt-5-search-api", 0, 1),
    ],
)
def test_a_model_that_always_searches_searches_once_at_least(
    model_id: str, asked: int, searches: int
) -> None:
    target = replace(OWN, model_id=model_id)

    assert searches_of(target, CHAT._replace(extent=Extent(40, searches=asked))) == searches
    assert most_usage(target, CHAT._replace(extent=Extent(40, searches=asked))).searches == searches


def test_what_the_vendor_finds_and_fetches_is_read_as_text() -> None:
    wanted = CHAT._replace(extent=Extent(40, 1, 2, 3, searches=2, fetched=500))

    assert most_read(OWN, wanted) == (40 + 2 * 20_000 + 500, 3_000 + 2 * 6_000, 3)


def test_of_an_embedding_nobody_says_that_it_fits_the_window() -> None:
    wanted = Requirements(ModelTask.EMBEDDING, extent=Extent(900_000))

    assert most_read(OWN, wanted).text == 900_000
    assert most_read(OWN, asking()._replace(extent=Extent(900_000))).text == 100_000


def test_a_larger_window_that_is_asked_for_counts() -> None:
    wanted = asking()._replace(extent=Extent(900_000, widens_window=True))

    assert most_read(CLAUDE, asking()._replace(extent=Extent(900_000))).text == 200_000
    assert most_read(CLAUDE, wanted).text == 900_000
    assert window_for(CLAUDE, wanted) == 1_000_000
    assert window_for(replace(OWN, is_window_told=False), wanted) is None


def test_what_is_predicted_wrongly_is_charged_beside_the_answers() -> None:
    wanted = asking(output_limit=10, answers=2)._replace(extent=Extent(40, predicted=300))

    assert most_usage(OWN, wanted).output == 320


def test_each_prompt_of_a_text_completion_has_a_window_of_its_own() -> None:
    wanted = asking()._replace(extent=Extent(900_000, further_prompts=1))

    assert most_read(OWN, wanted).text == 900_000


class AdminService:
    """Prices and refusals for one purse, and what it was asked for."""

    def __init__(self, price: Price | None, *left: tuple[Limit, int]) -> None:
        self.asked: list[tuple[str, int]] = []
        self.price = price
        self.budget_filter = BudgetFilter(ANYONE, left, lambda _: self.price, self._refusal)

    def _refusal(self, limit: Limit, cost: int) -> LimitReached | None:
        self.asked.append((limit.id, cost))
        return BudgetExceeded(limit.id, limit.window, None, None, cost) if cost > 500 else None


CHEAP = Price(1_000_000, 1_000_000)  # a nano-dollar for each token
SMALL = asking(output_limit=10)


def looks(wanted: Requirements, target: Target = OWN, estimate: int | None = 20, left: int = 2_000) -> bool:
    """Whether the purse looks at what a request may cost at worst."""
    desk = AdminService(CHEAP, (BUDGET, left))
    desk.budget_filter.refusal(target, wanted, estimate)
    return bool(desk.asked)


def test_with_a_hundred_times_the_estimate_left_nobody_looks_closer() -> None:
    assert not looks(SMALL, left=2_000)
    assert looks(SMALL, left=1_999)
    assert looks(SMALL, estimate=None, left=10**15)


@pytest.mark.parametrize(
    "special",
    [
        {"pictures": 1},
        {"low_pictures": 1},
        {"sound": 1},
        {"unseen": 1},
        {"thinking": 1},
        {"searches": 1},
        {"fetched": 1},
        {"predicted": 1},
        {"speaks": True},
        {"size": 161},
    ],
    ids=str,
)
def test_what_cannot_be_estimated_from_text_is_always_looked_at(special: Mapping[str, Any]) -> None:
    desk = AdminService(CHEAP.with_search(1), (BUDGET, 10**6))
    desk.budget_filter.refusal(OWN, SMALL._replace(extent=Extent(**{"size": 160, **special})), 1)

    assert desk.asked
    assert not looks(SMALL._replace(extent=Extent(160)), left=10**6)
    assert not looks(SMALL._replace(extent=None), left=10**6)


def test_so_is_a_machines_time_and_a_model_that_always_searches() -> None:
    assert looks(SMALL, replace(OWN, machine_ms=1), left=10**6)
    desk = AdminService(CHEAP.with_search(1), (BUDGET, 10**6))
    desk.budget_filter.refusal(replace(OWN, model_id="sonar"), SMALL, 1)
    assert desk.asked


def test_the_first_budget_that_has_no_room_says_so_and_only_those_that_are_scarce_and_cover_are_asked() -> (
    None
):
    plenty = replace(BUDGET, id="gateway/month")
    others = replace(BUDGET, id="provider:other/day", scope=Scope(provider="other"))
    second = replace(BUDGET, id="gateway/second")
    desk = AdminService(CHEAP, (plenty, 10**6), (others, 0), (BUDGET, 0), (second, 0))

    assert desk.budget_filter.refusal(OWN, SMALL, 20) is None
    assert desk.asked == [(BUDGET.id, 50), (second.id, 50)]

    desk.asked.clear()
    refused = desk.budget_filter.refusal(OWN, asking(output_limit=461), 20)
    assert isinstance(refused, BudgetExceeded)
    assert desk.asked == [(BUDGET.id, 501)]


def test_a_scarce_budget_wants_a_price() -> None:
    desk = AdminService(None, (BUDGET, 0))
    refused = desk.budget_filter.refusal(OWN, SMALL, 20)

    assert isinstance(refused, PriceUnknown)
    assert refused.limit_id == BUDGET.id


def test_what_costs_nothing_is_never_refused() -> None:
    desk = AdminService(FREE, (BUDGET, 0))

    assert desk.budget_filter.refusal(OWN, SMALL, 20) is None
    assert not desk.asked


@pytest.mark.parametrize(
    ("price", "extent", "reason"),
    [
        (CHEAP, Extent(40, unbounded_tool="maps"), "its tool 'maps'"),
        (CHEAP, Extent(40, searches=1), "its tool 'web search'"),
        (CHEAP.with_search(1), Extent(40, searches=1), None),
        (CHEAP.with_search(1), Extent(40, unbounded_tool="maps"), "its tool 'maps'"),
        (CHEAP, Extent(40), None),
        (FREE, Extent(40, unbounded_tool="maps"), None),
        (FREE, Extent(40, searches=1), None),
    ],
)
def test_a_tool_of_the_vendors_needs_a_price_under_a_budget(
    price: Price, extent: Extent, reason: str | None
) -> None:
    wanted = CHAT._replace(extent=extent, output_limit=10)

    refused = AdminService(price, (BUDGET, 0)).budget_filter.refusal(OWN, wanted, None)

    assert (refused is None or isinstance(refused, BudgetExceeded)) is (reason is None)
    if reason is not None:
        assert isinstance(refused, PriceUnknown)
        assert reason in refused.reason


@pytest.mark.parametrize(("left", "is_low"), [(200_000, False), (199_999, True), (0, True)])
def test_a_budget_is_low_below_its_percentage(left: int, is_low: bool) -> None:
    full = replace(BUDGET, id="gateway/month")

    assert AdminService(CHEAP, (full, 1_000_000), (BUDGET, left)).budget_filter.is_low(20) is is_low


def test_a_budget_for_one_provider_alone_makes_nothing_low() -> None:
    one = replace(BUDGET, scope=Scope(provider="other"))

    assert not AdminService(CHEAP, (one, 0)).budget_filter.is_low(20)


@pytest.mark.parametrize(
    ("task", "pieces"),
    [
        (ModelTask.RERANK, Usage(searches=3)),
        (ModelTask.IMAGE_GENERATION, Usage(images=2, image_output=4096)),
        (ModelTask.MODERATION, Usage()),
    ],
)
def test_what_a_vendor_charges_besides_text_is_reserved_with_it(task: ModelTask, pieces: Usage) -> None:
    wanted = Requirements(task, input_tokens=10, pieces=pieces, extent=Extent(400))

    most = most_usage(OWN, wanted)

    assert most == pieces._replace(input=400, estimated=True)
    assert Price(1000, 0, image=5, search=7, image_output=9).cost(most) >= 5 * pieces.images
