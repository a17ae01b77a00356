"""The words of a question to the router."""

from typing import Any

import pytest
from pydantic import ValidationError

from serve_app.api.routing_schemas import ModelEntry, ProviderWords, RouteRequest
from serve_app.formats.route_question import RouteQuestion
from serve_app.formats.routing_fields import NO_WISHES, Wishes


def test_a_provider_has_a_name() -> None:
    assert ProviderWords(only=["a"], ignore=[], order=None).only == ["a"]
    for words in ("only", "ignore", "order"):
        with pytest.raises(ValidationError, match="at least 1 character"):
            ProviderWords.model_validate({words: ["a", ""]})


@pytest.mark.parametrize(("said", "allowed"), [(None, True), (True, True), (False, False)])
def test_others_may_stand_in_unless_the_caller_forbids_it(said: bool | None, allowed: bool) -> None:
    asked = RouteRequest(task="chat_smart", provider=ProviderWords(allow_fallbacks=said))

    assert asked.wishes.allow_fallbacks is allowed
    assert RouteRequest(task="chat_smart").wishes.allow_fallbacks


def asked(**fields: Any) -> RouteRequest:
    return RouteRequest.model_validate({"task": "chat_smart", **fields})


def test_what_is_not_asked_for_is_not_required() -> None:
    plain = asked(unknown="word")

    assert [plain.require_vision, plain.require_audio, plain.include_fallbacks] == [False] * 3
    assert plain.max_cost is plain.context_size is None
    assert plain.wishes == NO_WISHES
    assert not hasattr(plain, "unknown")


@pytest.mark.parametrize(
    "fields",
    [
        {"max_cost": 0},
        {"max_cost": 1_000_000_000},
        {"context_size": 1},
        {"context_size": 5.0},
        {"context_size": 2_147_483_647},
        {"context_size": None},
        {"model": "m" * 256},
        {"models": ["m" * 256] * 16},
        {"provider": {"only": ["p"] * 64, "ignore": ["p"] * 64, "order": ["p"] * 64}},
        {"require_vision": True, "require_audio": True, "include_fallbacks": True},
    ],
    ids=str,
)
def test_a_field_may_be_as_large_as_its_bound(fields: dict[str, Any]) -> None:
    told = asked(**fields).model_dump(exclude_unset=True)

    assert {name: told[name] for name in fields if name != "provider"} == {
        name: value for name, value in fields.items() if name != "provider"
    }


@pytest.mark.parametrize(
    "fields",
    [
        {"task": None},
        {"max_cost": -0.1},
        {"max_cost": 1_000_000_001},
        {"max_cost": "1"},
        {"max_cost": float("nan")},
        {"max_cost": float("inf")},
        {"context_size": 0},
        {"context_size": 2_147_483_648},
        {"context_size": "5"},
        {"context_size": True},
        {"context_size": 5.5},
        {"model": ""},
        {"model": "m" * 257},
        {"models": ["m"] * 17},
        {"models": [""]},
        {"provider": {"only": ["p"] * 65}},
        {"provider": {"order": ["p" * 257]}},
        {"provider": {"allow_fallbacks": "no"}},
        {"require_vision": "yes"},
        {"require_audio": 1},
        {"include_fallbacks": "yes"},
    ],
    ids=str,
)
def test_a_field_of_the_wrong_type_or_beyond_its_bound_is_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        asked(**fields)


def test_wishes_are_read_as_those_of_a_request() -> None:
    provider = {"only": ["x"], "ignore": ["y"], "order": ["z", "z"], "data_policy": "local"}

    assert asked(models=["a", "b", "a"], provider=provider).wishes == Wishes(
        ("a", "b"), ("x",), ("y",), ("z",), local_only=True
    )
    assert asked(data_policy="local").wishes.local_only
    assert not asked(data_policy="any").wishes.local_only


def test_a_model_sees_and_hears_nothing_unless_it_is_said() -> None:
    entry = ModelEntry(model_id="m", provider_id="p", task="chat_smart", context_window=1, dimension=None)

    assert [entry.supports_vision, entry.supports_audio] == [False, False]


def test_the_gateway_gets_the_question_in_plain_values() -> None:
    question = asked(
        model="m", preferred_model="n", max_cost=0.25, context_size=5.0, require_vision=True, models=["a"]
    ).question

    assert question == RouteQuestion(
        task="chat_smart",
        model="m",
        preferred_model="n",
        require_vision=True,
        max_cost=250_000_000,
        context_size=5,
        wishes=Wishes(models=("a",)),
    )
    assert asked().question == RouteQuestion("chat_smart")
