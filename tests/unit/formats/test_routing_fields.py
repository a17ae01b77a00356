"""What a request says about its own routing."""

from typing import Any

import orjson
import pytest

from serve_app.formats.json_body import InvalidField
from serve_app.formats.openai_chat.request import read_chat
from serve_app.formats.openai_embeddings import read_embedding
from serve_app.formats.routing_fields import NO_WISHES, Wishes


def wishes(**fields: Any) -> Wishes:
    return read_chat(orjson.dumps({"messages": [{"role": "user", "content": "hi"}], **fields})).wishes


def test_a_request_that_says_nothing_and_one_that_says_null_wish_nothing() -> None:
    assert wishes() is NO_WISHES
    assert wishes(models=None, provider=None, data_policy=None) == NO_WISHES
    assert wishes(provider={"only": None, "order": None, "allow_fallbacks": None}) == NO_WISHES


def test_what_is_said_is_read_once_and_unknown_members_are_left_alone() -> None:
    said = wishes(
        models=["a", "b", "a"],
        provider={"only": ["x"], "ignore": ["y"], "order": ["z"], "allow_fallbacks": False, "sort": "price"},
    )

    assert said == Wishes(("a", "b"), ("x",), ("y",), ("z",), allow_fallbacks=False)
    assert read_embedding(b'{"input":"hi","models":["a"]}').wishes.models == ("a",)


@pytest.mark.parametrize("policy", [{"data_policy": "local"}, {"data_policy": "any"}])
def test_the_strictest_of_two_policies_counts(policy: dict[str, str]) -> None:
    other = {"data_policy": "local"}

    assert wishes(**policy, provider=other).local_only
    assert wishes(**other, provider=policy).local_only


def test_lists_and_names_may_be_as_long_as_their_bounds() -> None:
    many = [f"p{number}" for number in range(64)]
    said = wishes(models=["m" * 256] * 16, provider={"only": many, "ignore": many, "order": many})

    assert said.models == ("m" * 256,)
    assert said.provider_names == (*many, *many, *many)


@pytest.mark.parametrize("inside", [False, True])
@pytest.mark.parametrize("value", [False, True])
def test_parameters_may_be_required_beside_the_provider_and_within_it(inside: bool, value: bool) -> None:
    flag = {"require_parameters": value}

    assert wishes(**({"provider": flag} if inside else flag)).require_parameters is value


@pytest.mark.parametrize("value", [None, False, True])
def test_fallbacks_are_allowed_unless_they_are_not(value: bool | None) -> None:
    assert wishes(provider={"allow_fallbacks": value}).allow_fallbacks is (value is not False)


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"models": "a"}, "models"),
        ({"models": [1]}, "models"),
        ({"models": [""]}, "models"),
        ({"models": ["m"] * 17}, "models"),
        ({"models": ["m" * 257]}, "models"),
        ({"provider": "openai"}, "provider"),
        ({"provider": []}, "provider"),
        ({"provider": {"only": "openai"}}, "provider.only"),
        ({"provider": {"ignore": {"a": 1}}}, "provider.ignore"),
        ({"provider": {"order": [None]}}, "provider.order"),
        ({"provider": {"order": ["p"] * 65}}, "provider.order"),
        ({"provider": {"allow_fallbacks": "false"}}, "provider.allow_fallbacks"),
        ({"provider": {"allow_fallbacks": 0}}, "provider.allow_fallbacks"),
        ({"provider": {"only": ["p"] * 65}}, "provider.only"),
        ({"provider": {"ignore": ["p" * 257]}}, "provider.ignore"),
        ({"provider": {"require_parameters": "yes"}}, "provider.require_parameters"),
        ({"require_parameters": 1}, "require_parameters"),
        ({"provider": {"data_policy": "strict"}}, "provider.data_policy"),
        ({"data_policy": True}, "data_policy"),
        ({"data_policy": ["local"]}, "data_policy"),
    ],
    ids=str,
)
def test_a_wrong_type_is_422_and_names_the_field(fields: dict[str, Any], param: str) -> None:
    with pytest.raises(InvalidField) as wrong:
        wishes(**fields)

    assert (wrong.value.status, wrong.value.param) == (422, param)
