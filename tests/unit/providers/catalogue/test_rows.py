"""Vendors as rows of data, what is built from them, and whose key goes where."""

import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from serve_app.clock import SystemClock
from serve_app.config.load import load
from serve_app.config.provider import ProviderConfig
from serve_app.errors import ConfigError
from serve_app.providers.catalogue.dialect import Dialect
from serve_app.providers.catalogue.rows import VENDORS, vendor
from serve_app.providers.catalogue.vendor import Adapter, Vendor
from serve_app.providers.factory import build_provider
from serve_app.providers.http.connection import versioned
from serve_app.providers.http.provider import HttpProvider
from serve_app.providers.keys import key_of, missing_key
from serve_app.providers.simulator import ScriptedProvider
from serve_app.routing.target import targets_of


def config(type_: str, **fields: Any) -> ProviderConfig:
    return ProviderConfig(id="p", type=type_, **fields)


@pytest.mark.parametrize("type_", VENDORS)
def test_every_row_goes_by_its_type(type_: str) -> None:
    assert vendor(type_).type == type_


@pytest.mark.parametrize("row", VENDORS.values(), ids=lambda row: row.type)
def test_a_vendor_on_the_wire_is_paid_for_or_on_ones_own_machine(row: Any) -> None:
    assert not (row.is_own and row.key_variable)
    if row.base_url and not row.is_own:
        assert row.base_url.startswith("https://")
        assert row.key_variable


@pytest.fixture
def example(monkeypatch: pytest.MonkeyPatch) -> Iterator[Vendor]:
    """A vendor that has just been added to the catalogue."""
    row = Vendor("example", base_url="https://api.example.com/v1", key_variable="EXAMPLE_API_KEY")
    monkeypatch.setitem(VENDORS, row.type, row)
    vendor.cache_clear()
    yield row
    vendor.cache_clear()


def test_a_vendor_that_speaks_the_openai_api_is_one_row(example: Vendor) -> None:
    source = {
        "llm_providers": [
            {"id": "p", "type": "example", "models": [{"model_id": "m", "task": "chat_smart"}]}
        ],
        "default_models": {},
    }
    (configured,) = load(source, {}).settings.llm_providers
    (target,) = targets_of(load(source, {}).settings)
    environ = {"EXAMPLE_API_KEY": "k"}

    assert isinstance(build_provider(configured, environ, SystemClock()), HttpProvider)
    assert key_of(configured, vendor("example"), environ) == "k"
    assert "EXAMPLE_API_KEY" in str(missing_key(configured, vendor("example"), None))
    assert target.dialect == Dialect()
    assert target.image_links == {"http", "https"}
    assert not target.is_local
    assert not configured.may_load_first


def test_a_type_without_a_row_is_litellms() -> None:
    assert vendor("bedrock").adapter is Adapter.LITELLM
    assert vendor("bedrock").model_string("titan") == "bedrock/titan"


@pytest.mark.parametrize(
    ("type_", "model_id", "string"),
    [
        ("ollama", "llama3.1:8b", "ollama/llama3.1:8b"),
        ("openai", "gpt-4o", "openai/gpt-4o"),
        ("anthropic", "claude-sonnet-4-5", "anthropic/claude-sonnet-4-5"),
        ("anthropic", "anthropic/claude-sonnet-4-5", "anthropic/claude-sonnet-4-5"),
        ("openrouter", "anthropic/claude-3.5-sonnet", "openrouter/anthropic/claude-3.5-sonnet"),
        ("openrouter", "openrouter/auto", "openrouter/auto"),
        ("litellm", "bedrock/titan", "bedrock/titan"),
    ],
)
def test_a_model_string_has_one_prefix_and_it_is_the_vendors(type_: str, model_id: str, string: str) -> None:
    assert vendor(type_).model_string(model_id) == string


@pytest.mark.parametrize(
    ("given", "used"),
    [
        ("http://localhost:11434", "http://localhost:11434/v1"),
        ("http://localhost:11434/", "http://localhost:11434/v1"),
        ("http://host/v1", "http://host/v1"),
        ("http://host/v1/", "http://host/v1"),
        ("https://openrouter.ai/api/v1", "https://openrouter.ai/api/v1"),
        ("https://host/v1beta", "https://host/v1beta"),
        ("https://host/api/paas/v4", "https://host/api/paas/v4"),
        ("https://host/team", "https://host/team/v1"),
        ("https://v1.host", "https://v1.host/v1"),
    ],
)
def test_an_address_gets_a_version_unless_it_has_one(given: str, used: str) -> None:
    assert versioned(given) == used


def test_the_adapter_is_the_one_in_the_row() -> None:
    clock = SystemClock()

    assert isinstance(build_provider(config("openai"), {}, clock), HttpProvider)
    assert isinstance(build_provider(config("scripted"), {}, clock), ScriptedProvider)


def test_a_vendor_without_an_address_of_its_own_needs_one() -> None:
    with pytest.raises(ConfigError, match="'p' of type 'vllm' needs a base_url"):
        build_provider(config("vllm"), {}, SystemClock())


def test_a_key_is_looked_up_where_the_configuration_says() -> None:
    asked = config("openai", api_key="${TEAM_KEY}")

    assert key_of(asked, vendor("openai"), {"TEAM_KEY": "k", "OPENAI_API_KEY": "other"}) == "k"
    assert key_of(asked, vendor("openai"), {"OPENAI_API_KEY": "other"}) is None


def test_a_vendors_usual_variable_is_used_for_its_own_address_only() -> None:
    environ = {"OPENAI_API_KEY": "k"}

    assert key_of(config("openai"), vendor("openai"), environ) == "k"
    assert key_of(config("openai", base_url="https://api.openai.com/v1/"), vendor("openai"), environ) == "k"
    assert key_of(config("openai", base_url="https://elsewhere.example"), vendor("openai"), environ) is None


@pytest.mark.parametrize(
    ("asked", "named"),
    [
        (config("openai"), "OPENAI_API_KEY"),
        (config("openai", api_key="${TEAM_KEY}"), "${TEAM_KEY}"),
        (config("anthropic", api_key="${file:/run/secrets/a}"), "/run/secrets/a"),
        (config("openai", base_url="http://localhost:9"), None),
        (config("ollama"), None),
        (config("ollama", api_key="${TEAM_KEY}"), None),
    ],
)
def test_a_key_that_is_needed_and_missing_is_named(asked: ProviderConfig, named: str | None) -> None:
    why = missing_key(asked, vendor(asked.type), None)

    assert why is None if named is None else named in str(why)


@pytest.mark.process
def test_the_catalogue_costs_the_router_nothing_to_import() -> None:
    heavy = "{'aiohttp', 'litellm', 'ray'} & set(sys.modules)"
    modules = "sys, serve_app.providers.catalogue.rows, serve_app.providers.factory"
    code = f"import {modules}; assert not {heavy}, {heavy}"

    subprocess.run([sys.executable, "-c", code], check=True)
