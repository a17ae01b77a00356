"""Rows of changed defaults: the page shows all of them, `sekha check` those that touch a configuration."""

from pathlib import Path
from typing import Any

import pytest

from serve_app.config.load import load
from serve_app.config.upgrade_conditions import REPRICED
from serve_app.config.upgrading import CHANGES, as_markdown, touching
from serve_app.pricing.price_list import TABLE, bundled_catalogue
from tests.support.settings import HYBRID, LOCAL

PAGE = (Path(__file__).parents[3] / "docs" / "upgrading.md").read_text(encoding="utf-8")


def patient(**more: Any) -> dict[str, Any]:
    """LOCAL, its provider with these settings."""
    return {**LOCAL, "llm_providers": [{**provider, **more} for provider in LOCAL["llm_providers"]]}


def ids(source: Any = None, **environ: str) -> set[str]:
    found = load(
        source, environ, folder=Path("/nonexistent"), ollama_models=lambda _: None, vllm_models=lambda _: None
    )
    return {row.id for row in touching(found, environ)}


def test_the_page_shows_every_row_as_the_package_has_it() -> None:
    assert as_markdown(CHANGES) in PAGE
    assert len({row.id for row in CHANGES}) == len(CHANGES)


def test_models_that_are_repriced_are_those_whose_price_in_the_list_is_another_one() -> None:
    found = set()
    for name, entry in TABLE.items():
        for type_ in (None, "openai", "anthropic", "moonshot", "deepseek"):
            listed = bundled_catalogue().price(name, type_)
            assert listed is not None
            if (listed.input, listed.output) != (entry.price.input, entry.price.output):
                found.add(name)
    assert found == REPRICED


@pytest.mark.parametrize(
    ("row", "touched", "restored"),
    [
        ("prices-current", HYBRID, {**HYBRID, "pricing": {"table": "classic"}}),
        ("named-models", HYBRID, None),
        ("named-pinned", {**LOCAL, "routing": {"auto_fallback": False}}, LOCAL),
        ("cost-limit-codes", {**LOCAL, "budgets": [{"limit": 1}]}, LOCAL),
        ("image-links", LOCAL, None),
        ("keyless-hosts", LOCAL, {**LOCAL, "auth": {"api_keys": ["k" * 16]}}),
        ("body-limits", LOCAL, {**LOCAL, "router": {"max_body_mb": 64}}),
        ("breaker-reset", LOCAL, {**LOCAL, "circuit_breaker": {"reset_timeout": 60}}),
        ("breaker-checks", {**LOCAL, "circuit_breaker": {"failure_threshold": 4}}, LOCAL),
        ("breaker-rate", LOCAL, {**LOCAL, "circuit_breaker": {"failure_rate": None}}),
        ("retries-last-target", LOCAL, patient(retry={"max_retries": 3})),
        ("retry-after-short", LOCAL, patient(retry={"retry_after_max_s": 10})),
        ("first-token", LOCAL, patient(first_token_timeout_s=60)),
        ("state-folder", LOCAL, {**LOCAL, "storage": {"on_unavailable": "allow"}}),
        ("vllm-endpoint-addresses", {**LOCAL, "backends": {"vllm_endpoint": "http://h"}}, LOCAL),
        ("refused-addresses", patient(base_url="http://gpu.example"), patient(base_url="http://10.0.0.9")),
        ("tenants-set-partial", {**LOCAL, "tenants": [{"id": "a"}]}, LOCAL),
        ("default-models-chosen", {"llm_providers": LOCAL["llm_providers"]}, LOCAL),
    ],
)
def test_a_row_touches_what_relies_on_the_old_behaviour_and_not_what_settles_it(
    row: str, touched: Any, restored: Any
) -> None:
    assert row in ids(touched)
    assert restored is None or row not in ids(restored)


def test_rows_of_the_environment_touch_who_starts_without_a_configuration() -> None:
    assert {"zero-config-models"} <= ids(OPENAI_API_KEY="k")
    assert {"vllm-endpoint-provider"} <= ids(VLLM_ENDPOINT="http://h")
    assert not {"zero-config-models", "vllm-endpoint-provider"} & ids()
    assert "ray-token" in ids(LOCAL, RAY_AUTH_MODE="disabled")
    assert "ray-token" not in ids(LOCAL)
