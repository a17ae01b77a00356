"""One set of bounds for money, prices and rates, in the configuration, the Admin API and the command line."""

from math import inf, nan
from pathlib import Path
from typing import Any

import orjson
import pytest
from pydantic import ValidationError
from typer.testing import CliRunner

from serve_app.cli.main import app
from serve_app.config.load import load
from serve_app.config.model import ModelConfig
from serve_app.config.override import PriceOverride
from serve_app.config.tenant import BudgetConfig, RateConfig

NO_AMOUNTS: list[Any] = [True, "10", -1, nan, inf, 1e300, 5e-324, [], None]


@pytest.mark.parametrize("value", [*NO_AMOUNTS, 0, 1e9 + 1])
def test_what_is_no_amount_of_money_is_refused(value: Any) -> None:
    with pytest.raises(ValidationError):
        BudgetConfig(limit=value)


@pytest.mark.parametrize("value", [*(value for value in NO_AMOUNTS if value is not None), 1000.1])
@pytest.mark.parametrize(
    "name", ["cost_per_1k_input", "cost_per_1k_output", "cost_per_1k_cached", "cost_per_1k_cache_write"]
)
def test_what_is_no_price_is_refused(name: str, value: Any) -> None:
    with pytest.raises(ValidationError):
        PriceOverride(**{"cost_per_1k_input": 1.0, name: value})
    with pytest.raises(ValidationError):
        ModelConfig(**{"model_id": "m", "task": "chat_smart", name: value})


@pytest.mark.parametrize("value", [True, "10", 0, -1, 1.5, 10**12 + 1])
@pytest.mark.parametrize("name", ["requests_per_minute", "tokens_per_minute", "concurrent_requests"])
def test_what_is_no_rate_is_refused(name: str, value: Any) -> None:
    with pytest.raises(ValidationError):
        RateConfig(**{name: value})


def test_the_bounds_themselves_are_amounts() -> None:
    assert [BudgetConfig(limit=limit).limit for limit in (1e-9, 1, 1e9)] == [1e-9, 1, 1e9]
    assert [PriceOverride(cost_per_1k_input=p).cost_per_1k_input for p in (0, 1e-12, 1000)] == [
        0,
        1e-12,
        1000,
    ]


def test_a_variable_of_the_environment_may_stand_for_a_number(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    provider = {
        "id": "p",
        "type": "scripted",
        "models": [{"model_id": "m", "task": "chat_smart", "cost_per_1k_input": "${PRICE}"}],
    }
    path.write_bytes(
        orjson.dumps(
            {
                "llm_providers": [provider],
                "default_models": {},
                "budgets": {"limit": "${LIMIT}"},
                "rates": {"requests_per_minute": "${RPM}"},
            }
        )
    )

    settings = load(str(path), {"LIMIT": "12.5", "RPM": "60", "PRICE": "0.5"}).settings

    assert settings.budgets[0].limit == 12.5
    assert settings.rates[0].requests_per_minute == 60
    assert settings.llm_providers[0].models[0].cost_per_1k_input == 0.5


@pytest.mark.parametrize("budget", ["nan", "1e300", "-1", "5e-324", "0"])
def test_the_command_line_refuses_the_same(budget: str) -> None:
    told = CliRunner().invoke(app, ["tenants", "set", "a", "--budget", budget, "--url", "http://127.0.0.1:1"])

    assert told.exit_code != 0
    assert "is not a budget" in told.output
