"""Entries written by one version of the gateway and read by another."""

import pytest

from serve_app.pricing.usage import Tier, Usage
from serve_app.storage.lines import clean, entry_fields, entry_of, tokens, usage_fields, usage_of
from tests.support.entries import entry


def test_a_usage_says_only_what_is_not_as_usual() -> None:
    assert usage_fields(Usage()) == {}
    assert usage_fields(Usage(estimated=True)) == {"estimated": True}
    assert usage_of(usage_fields(Usage(estimated=True))) == Usage(estimated=True)


@pytest.mark.parametrize("name", Usage._fields)
def test_a_usage_comes_back_whatever_is_in_it(name: str) -> None:
    value = {"estimated": True, "tier": Tier.PRIORITY}.get(name, 7)
    usage = Usage(3, 4)._replace(**{name: value})

    assert usage_of(usage_fields(usage)) == usage


def test_names_from_another_version_are_passed_over() -> None:
    said = {**entry_fields(entry(7)), "shoe_size": 44, "usage": {"smells": 3}}

    assert entry_of(said) == entry(7, usage=Usage())


def test_what_has_a_default_may_be_missing_and_nothing_else() -> None:
    said = entry_fields(entry(7))

    assert entry_of({name: value for name, value in said.items() if name != "first_token_s"}) == entry(7)
    with pytest.raises(TypeError):
        entry_of({name: value for name, value in said.items() if name != "tenant"})
    with pytest.raises(ValueError, match="vanished"):
        entry_of({**said, "outcome": "vanished"})


def test_counts_are_bounded() -> None:
    assert entry_fields(entry(1, cost=10**30))["cost"] == 2**53
    assert entry_fields(entry(1, cost=None))["cost"] is None
    assert max(tokens(Usage(10**30, 1))) == 2**53
    assert usage_fields(Usage(10**30, 1)) == {"input": 2**53, "output": 1}


def test_text_is_cleaned_of_what_no_database_takes() -> None:
    assert clean("plain 𝄞") == "plain 𝄞"
    assert clean("a\0b\ud800c") == "a�b?c"
