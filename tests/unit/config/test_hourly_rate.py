"""What an hour of a machine of one's own costs: where that may be said, and in which variable."""

import pickle
from typing import Any

import pytest

from serve_app.config.load import load
from serve_app.config.settings import Settings
from serve_app.errors import ConfigError
from serve_app.pricing.price import FREE
from serve_app.pricing.target_prices import prices_of
from serve_app.providers.catalogue.rows import VENDORS

MODELS = [{"model_id": "qwen", "task": "chat_smart"}]


def settings(*providers: dict[str, Any], environ: dict[str, str] | None = None, **more: Any) -> Settings:
    at = {"base_url": "http://127.0.0.1:9"}
    configured = [
        {"id": f"p{n}", "models": MODELS, **(at if each["type"] == "vllm" else {}), **each}
        for n, each in enumerate(providers)
    ]
    source = {"llm_providers": configured, "default_models": {}, **more}
    return load(source, environ or {}).settings


def rates(found: Settings) -> list[float | None]:
    return [provider.hourly_rate for provider in found.llm_providers]


@pytest.mark.parametrize("type_", sorted(row.type for row in VENDORS.values() if row.is_own))
def test_the_hour_of_ones_own_machine_has_a_price(type_: str) -> None:
    found = settings({"type": type_, "hourly_rate": 4.5})

    assert prices_of(found) == {"p0/qwen": FREE.with_machine(4_500_000_000)}


@pytest.mark.parametrize("rate", [None, 0])
def test_without_a_rate_time_costs_nothing(rate: float | None) -> None:
    assert prices_of(settings({"type": "ollama", "hourly_rate": rate})) == {"p0/qwen": FREE}


def test_a_vendor_has_no_rate_and_the_error_says_where_its_prices_belong() -> None:
    with pytest.raises(
        ConfigError, match=r"what 'openai' charges belongs to its models, as cost_per_1k_input"
    ):
        settings({"type": "openai", "hourly_rate": 4.5})


@pytest.mark.parametrize("wrong", [-1, "much", float("nan"), 1e9])
def test_a_rate_is_an_amount(wrong: Any) -> None:
    with pytest.raises(ConfigError, match="hourly_rate"):
        settings({"type": "ollama", "hourly_rate": wrong})


def test_the_rate_of_the_backends_is_that_of_every_vllm_without_one_of_its_own() -> None:
    providers = [{"type": "vllm"}, {"type": "vllm", "hourly_rate": 2.0}, {"type": "ollama"}]

    found = settings(*providers, environ={"VLLM_HOURLY_RATE": "0.5"})

    assert rates(found) == [0.5, 2.0, None]
    assert rates(settings(*providers, backends={"vllm_hourly_rate": 0.16})) == [0.16, 2.0, None]


def test_its_default_is_nobodys_word_and_prices_no_request() -> None:
    found = settings({"type": "vllm"}, backends={"vllm_endpoint": "http://127.0.0.1:9"})

    assert found.backends.vllm_hourly_rate == 0.16
    assert rates(found) == [None]


def test_who_says_the_default_aloud_has_another_configuration() -> None:
    """The authority reads prices anew when a router comes with other settings, and not before."""
    silent, said = settings({"type": "vllm"}), settings({"type": "vllm"}, backends={"vllm_hourly_rate": 0.16})

    assert silent != said
    assert pickle.loads(pickle.dumps(said)) == said
