"""What a caller hears when nobody may serve its request: of whom, in which words, and what would do."""

from collections.abc import Mapping
from typing import Any

import pytest

from serve_app.config.model import ModelTask
from serve_app.errors import (
    BudgetExceeded,
    CostLimitReached,
    InvalidRequest,
    ModelNotAllowed,
    ModelNotFound,
    NoProvidersAvailable,
    NoSuitableProviders,
    PriceUnknown,
)
from serve_app.providers.catalogue.dialect import Dialect
from serve_app.routing.candidate import Candidate
from serve_app.routing.eligibility import FOR_NOW, Dropped, Obstacle
from serve_app.routing.refusal import advice_of, named_refusal, refusal_for_all
from serve_app.routing.requirements import Requirements
from serve_app.routing.target import Target

SMART = ModelTask.CHAT_SMART
PARAMS = {
    Obstacle.PROVIDER: "provider",
    Obstacle.DATA_POLICY: "data_policy",
    Obstacle.PARAMETERS: "require_parameters",
}
CODES = {
    Obstacle.IMAGES: "too_many_images",
    Obstacle.CONTEXT: "context_length_exceeded",
    Obstacle.PARAMETERS: "unsupported_parameters",
    Obstacle.MEDIA_DOMAINS: "link_not_allowed",
    Obstacle.FORMAT: "vendor_objects_not_supported",
    Obstacle.LINKS: "image_links_not_supported",
    Obstacle.AUDIO: "audio_not_supported",
    Obstacle.VISION: "images_not_supported",
    Obstacle.PROVIDER: "provider_excluded",
    Obstacle.DATA_POLICY: "data_policy_local",
}
# The nearest to serving first.
NEAREST = (
    Obstacle.BREAKER, Obstacle.DISABLED, Obstacle.BUDGET, Obstacle.COST, Obstacle.IMAGES, Obstacle.CONTEXT,
    Obstacle.PARAMETERS, Obstacle.MEDIA_DOMAINS, Obstacle.FORMAT, Obstacle.LINKS, Obstacle.AUDIO,
    Obstacle.VISION, Obstacle.PROVIDER, Obstacle.DATA_POLICY,
)  # fmt: skip
UNPAID = BudgetExceeded("gateway/day", "day", None, None, 1.0)


def target(name: str = "m", **more: Any) -> Target:
    return Target(
        provider_id="p",
        provider_type="openai",
        model_id=name,
        name=f"p/{name}",
        task=SMART,
        priority=1,
        position=0,
        context_window=8192,
        **more,
    )


def dropped(
    obstacle: Obstacle, name: str = "m", named: int | None = 0, cost: int | None = 5, **more: Any
) -> Dropped:
    return Dropped(Candidate(target(name, **more), 1, cost=cost, named=named), obstacle, f"is {obstacle}")


def asking(*names: str, **more: Any) -> Requirements:
    return Requirements(SMART, named=names, **more)


def standing_by(*names: str) -> list[Candidate]:
    return [Candidate(target(name), 1) for name in names]


# Where models are named


@pytest.mark.parametrize("obstacle", CODES, ids=str)
def test_what_a_named_model_cannot_take_is_told_with_a_code_and_the_field(obstacle: Obstacle) -> None:
    error = named_refusal(asking("m"), [dropped(obstacle)], standing_by("other"), None)

    assert isinstance(error, InvalidRequest)
    assert (error.code, error.param) == (CODES[obstacle], PARAMS.get(obstacle, "model"))
    assert error.args[0] == f"The model 'm' cannot take this request: p/m: is {obstacle}"
    assert error.advice == "These can take it: p/other"


def test_of_several_named_models_all_are_told_and_the_nearest_to_serving_decides() -> None:
    for at, near in enumerate(NEAREST[4:], start=4):
        for far in NEAREST[at + 1 :]:
            error = named_refusal(asking("m", "n"), [dropped(far, "n", 1), dropped(near)], [], None)

            assert isinstance(error, InvalidRequest)
            assert error.code == CODES[near]
            told = f"None of the models in 'models' can take this request: p/n: is {far}; p/m: is {near}"
            assert error.args[0] == told
            assert error.advice == "No other model that you may use can take it"


@pytest.mark.parametrize("far", NEAREST[4:], ids=str)
def test_what_may_pass_is_nearer_than_what_the_request_contains(far: Obstacle) -> None:
    def refused(near: Obstacle, **more: Any) -> object:
        one = Dropped(Candidate(target(), 1, named=0, **more), near, "is so", None)
        if near is Obstacle.BUDGET:
            one = Dropped(one.candidate, near, "is so", UNPAID)
        return named_refusal(asking("m", "n"), [dropped(far, "n", 1), one], [], None)

    assert isinstance(refused(Obstacle.BREAKER), NoSuitableProviders)
    assert isinstance(refused(Obstacle.DISABLED), NoSuitableProviders)
    assert refused(Obstacle.BUDGET) is UNPAID
    assert isinstance(refused(Obstacle.COST, cost=None), PriceUnknown)
    assert isinstance(refused(Obstacle.COST, cost=5), CostLimitReached)


def test_where_a_named_model_is_down_its_stand_ins_are_told_with_it_and_when_to_come_back() -> None:
    down = [
        dropped(Obstacle.BREAKER),
        dropped(Obstacle.COST, "rich", None),
        dropped(Obstacle.VISION, "blind", None),
    ]

    error = named_refusal(asking("m"), down, standing_by("other"), 7.0)

    assert isinstance(error, NoSuitableProviders)
    assert error.retry_after_s == 7.0
    assert "provider p/m: is breaker; provider p/rich: is cost" in str(error)
    assert "blind" not in str(error)
    assert error.advice == "These can take it: p/other"
    assert named_refusal(asking("m"), down, [], 7.0).advice == NoSuitableProviders(SMART, "").advice


def test_a_name_that_nobody_has_is_not_found_and_one_that_is_not_for_the_caller_is_not_allowed() -> None:
    others = standing_by("b", "a", "b")
    mine = frozenset({"other"})

    unknown = named_refusal(asking("m"), [dropped(Obstacle.MODEL, named=None)], others, None)
    foreign = named_refusal(asking("m", allowed_models=mine), [dropped(Obstacle.FORBIDDEN)], others, None)

    assert isinstance(unknown, ModelNotFound)
    assert isinstance(foreign, ModelNotAllowed)
    assert unknown.args == ModelNotFound("m", ["b", "a"]).args
    assert foreign.args == ModelNotAllowed("m", ["b", "a"]).args


@pytest.mark.parametrize(
    ("names", "told"),
    [
        ([], "No other model that you may use can take it"),
        (["a", "a"], "These can take it: p/a"),
        (list("abcde"), "These can take it: p/a, p/b, p/c, p/d, p/e"),
        (list("abcdefg"), "These can take it: p/a, p/b, p/c, p/d, p/e and 2 more"),
    ],
)
def test_at_most_five_are_told_that_would_do(names: list[str], told: str) -> None:
    assert advice_of(standing_by(*names)) == told


# Where none is named


@pytest.mark.parametrize("obstacle", sorted(FOR_NOW), ids=str)
def test_who_could_serve_but_for_now_is_all_that_is_told(obstacle: Obstacle) -> None:
    error = refusal_for_all(asking(), [dropped(Obstacle.IMAGES, "x"), dropped(obstacle)], 7.0)

    assert isinstance(error, NoSuitableProviders)
    assert error.retry_after_s == 7.0
    assert str(error).endswith(f"provider p/m: is {obstacle}")


@pytest.mark.parametrize("obstacle", [Obstacle.LINKS, Obstacle.PARAMETERS, Obstacle.PROVIDER], ids=str)
def test_what_no_model_can_take_is_told_with_a_code_and_the_field(obstacle: Obstacle) -> None:
    also = [dropped(obstacle), dropped(obstacle, "n"), dropped(Obstacle.VISION, "v")]

    error = refusal_for_all(asking(), also, None)

    assert isinstance(error, InvalidRequest)
    assert (error.code, error.param) == (CODES[obstacle], PARAMS.get(obstacle, "messages"))
    assert error.args[0] == f"No model can take this request: p/m: is {obstacle}; p/n: is {obstacle}"


def test_of_a_target_that_is_not_for_the_caller_nothing_is_told() -> None:
    mine = asking(allowed_models=frozenset({"mine"}))
    hidden = [dropped(Obstacle.LINKS, "theirs"), dropped(Obstacle.PROVIDER, "mine")]

    error = refusal_for_all(mine, hidden, None)

    assert isinstance(error, InvalidRequest)
    assert error.code == "provider_excluded"
    assert "theirs" not in str(error)


def parameters_refused(asked: Mapping[str, Any], *others: Dropped) -> InvalidRequest:
    error = refusal_for_all(asking(parameters=asked), [dropped(Obstacle.PARAMETERS), *others], None)
    assert isinstance(error, InvalidRequest)
    return error


def test_who_takes_every_parameter_and_was_left_out_for_another_reason_would_do() -> None:
    plain = InvalidRequest("no").advice
    choosy = Dialect(drops=frozenset({"seed"}))

    assert parameters_refused({"seed": 5}, dropped(Obstacle.TASK, "t")).advice == "These can take it: p/t"
    assert parameters_refused({"seed": 5}, dropped(Obstacle.TASK, "t", dialect=choosy)).advice == plain
    assert parameters_refused({"seed": 5}, dropped(Obstacle.PARAMETERS, "t")).advice == plain


def test_a_caller_who_may_use_none_of_them_hears_that_and_which_it_may() -> None:
    mine = asking(allowed_models=frozenset({"mine"}))
    barred = [dropped(Obstacle.FORBIDDEN, "theirs"), dropped(Obstacle.TASK, "mine")]

    error = refusal_for_all(mine, barred, None)

    assert isinstance(error, ModelNotAllowed)
    assert error.args == ModelNotAllowed(None, dict.fromkeys(["mine"])).args


def test_where_nothing_serves_the_task_only_what_comes_close_is_told() -> None:
    error = refusal_for_all(
        asking(require_vision=True), [dropped(Obstacle.TASK, "t"), dropped(Obstacle.VISION)], None
    )

    assert isinstance(error, NoProvidersAvailable)
    assert error.args == NoProvidersAvailable(SMART, True, "p/m: is vision").args
