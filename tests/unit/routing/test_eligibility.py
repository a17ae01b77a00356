"""What a target lacks, one thing at a time, and in which words."""

from dataclasses import replace
from typing import Any

import pytest

from serve_app.config.model import ModelTask
from serve_app.providers.catalogue.dialect import Dialect
from serve_app.routing.candidate import Candidate
from serve_app.routing.eligibility import (
    Obstacle,
    incapable,
    is_allowed,
    is_preferred,
    lacks_task_or_name,
    place_of,
    serves_task,
    too_dear,
    unavailable,
)
from serve_app.routing.requirements import Requirements
from serve_app.routing.target import Target

SMART, SMALL, EMBEDDING = ModelTask.CHAT_SMART, ModelTask.CHAT_SMALL, ModelTask.EMBEDDING
VISION, AUDIO = ModelTask.VISION, ModelTask.AUDIO
TARGET = Target(
    provider_id="cloud",
    provider_type="openai",
    model_id="m",
    name="cloud/m",
    task=SMART,
    priority=1,
    position=0,
    context_window=8192,
    is_local=False,
    image_links=frozenset({"https"}),
    dialect=Dialect(drops=frozenset({"seed"})),
)
WANTED = Requirements(SMART)


def lacks(named: int | None = None, is_wished: bool = False, **asked: Any) -> tuple[str, str] | None:
    wanted = WANTED._replace(**asked)
    return lacks_task_or_name(TARGET, named, is_wished, wanted) or incapable(TARGET, wanted)


@pytest.mark.parametrize(
    "asked",
    [
        {},
        {"allowed_models": frozenset({"m"})},
        {"allowed_models": frozenset({"cloud/m"})},
        {"allowed_tasks": frozenset({SMART})},
        {"only_providers": frozenset({"cloud"})},
        {"ignored_providers": frozenset({"openai"})},  # types were looked up before
        {"image_links": frozenset({"https"})},
        {"parameters": {"temperature": 1}},
        {"context_size": 8192},
        {"images": 99},
        {"named": 0, "only_named": True},
        {"is_wished": True, "task": SMALL},
    ],
    ids=str,
)
def test_a_target_that_lacks_nothing_can_serve(asked: dict[str, Any]) -> None:
    assert lacks(**asked) is None


@pytest.mark.parametrize(
    ("asked", "obstacle", "reason"),
    [
        ({"only_named": True}, Obstacle.MODEL, "is another model than the one that was named"),
        ({"task": SMALL}, Obstacle.TASK, "serves chat_smart, not chat_small"),
        (
            {"allowed_models": frozenset({"n"})},
            Obstacle.FORBIDDEN,
            "is not permitted for this caller",
        ),
        (
            {"allowed_tasks": frozenset({SMALL})},
            Obstacle.FORBIDDEN,
            "is not permitted for this caller",
        ),
        ({"local_only": True}, Obstacle.DATA_POLICY, "is not local, and the data policy is local"),
        (
            {"only_providers": frozenset({"other"})},
            Obstacle.PROVIDER,
            "is at a provider that the request excludes",
        ),
        (
            {"ignored_providers": frozenset({"cloud"})},
            Obstacle.PROVIDER,
            "is at a provider that the request excludes",
        ),
        ({"require_vision": True}, Obstacle.VISION, "takes no images"),
        ({"require_audio": True}, Obstacle.AUDIO, "takes no audio"),
        (
            {"image_links": frozenset({"https", "http"})},
            Obstacle.LINKS,
            "takes images as data: URIs and https links",
        ),
        ({"parameters": {"seed": 5}}, Obstacle.PARAMETERS, "does not take seed"),
        ({"context_size": 8193}, Obstacle.CONTEXT, "context window 8192 is below 8193"),
    ],
    ids=lambda given: "-".join(given) if isinstance(given, dict) else str(given),  # sets have no order
)
def test_what_a_target_lacks_is_told(asked: dict[str, Any], obstacle: Obstacle, reason: str) -> None:
    assert lacks(**asked) == (obstacle, reason)


def test_a_target_that_takes_no_links_says_what_it_takes() -> None:
    no_links = replace(TARGET, image_links=frozenset())

    found = incapable(no_links, WANTED._replace(image_links=frozenset({"https"})))

    assert found == (Obstacle.LINKS, "takes images as data only (data: URIs), not links")


@pytest.mark.parametrize(
    ("cost", "limit", "reason"),
    [
        (5, 5, None),
        (6, 5, "costs $0.000000, over the limit of $0.000000005"),
        (2_000_000_000_000, 1_000_000_000_000, "costs $2000.000000, over the limit of $1000"),
        (12_500_000, 10_000_000, "costs $0.012500, over the limit of $0.01"),
        (1, 0, "costs $0.000000, over the limit of $0"),
        (None, 10**18, "its price is unknown and a cost limit applies"),
    ],
)
def test_a_cost_up_to_the_limit_is_allowed_and_one_above_is_told_in_dollars(
    cost: int | None, limit: int, reason: str | None
) -> None:
    found = too_dear(Candidate(TARGET, 1, cost=cost), limit)

    assert found == (None if reason is None else (Obstacle.COST, reason))


@pytest.mark.parametrize(
    ("is_enabled", "is_open", "obstacle"),
    [
        (True, False, None),
        (True, True, Obstacle.BREAKER),
        (False, False, Obstacle.DISABLED),
        (False, True, Obstacle.DISABLED),
    ],
)
def test_who_is_switched_off_or_behind_an_open_breaker_cannot_be_asked_just_now(
    is_enabled: bool, is_open: bool, obstacle: Obstacle | None
) -> None:
    found = unavailable(Candidate(replace(TARGET, is_enabled=is_enabled), 1, is_open=is_open))

    assert (found and found[0]) is obstacle


SEES, HEARS = replace(TARGET, supports_vision=True), replace(TARGET, supports_audio=True)


@pytest.mark.parametrize(
    ("target", "tasks"),
    [(TARGET, {SMART}), (SEES, {SMART, VISION}), (HEARS, {SMART, AUDIO})],
    ids=["plain", "sees", "hears"],
)
def test_a_target_serves_its_task_and_what_it_can_see_or_hear(target: Target, tasks: set[ModelTask]) -> None:
    assert {task for task in ModelTask if serves_task(target, task)} == tasks


@pytest.mark.parametrize(
    ("target", "task", "tasks", "allowed"),
    [
        (SEES, VISION, {VISION}, True),
        (SEES, SMART, {VISION}, False),
        (TARGET, VISION, {VISION}, False),
        (SEES, VISION, {SMART}, True),
        (SEES, VISION, {AUDIO}, False),
    ],
)
def test_a_caller_may_use_a_target_by_its_task_or_by_the_one_it_does(
    target: Target, task: ModelTask, tasks: set[ModelTask], allowed: bool
) -> None:
    assert is_allowed(target, Requirements(task, allowed_tasks=frozenset(tasks))) is allowed


@pytest.mark.parametrize(
    ("task", "name", "place"),
    [
        (SMART, "m", 1),
        (SMART, "cloud/m", 1),
        (SMALL, "m", 1),  # chat tasks stand in for one another
        (EMBEDDING, "m", None),
        (SMART, "n", None),
        (SMART, "other/m", None),
    ],
)
def test_a_name_is_a_model_or_a_model_at_a_provider_of_the_same_kind(
    task: ModelTask, name: str, place: int | None
) -> None:
    assert place_of(TARGET, Requirements(task, named=("first", name))) == place
    assert is_preferred(TARGET, Requirements(task, preferred_model=name)) is (place is not None)


def test_an_embedding_model_only_ever_embeds() -> None:
    embeds = replace(TARGET, task=EMBEDDING)

    assert place_of(embeds, Requirements(EMBEDDING, named=("m",))) == 0
    assert place_of(embeds, Requirements(SMART, named=("m",))) is None
