"""The document and the ready-made files say what the types say."""

import re
from enum import Enum
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import BaseModel

from serve_app.config.admin import AdminConfig
from serve_app.config.alerts import AlertsConfig
from serve_app.config.auth import AuthConfig, CallerKey, JwtConfig
from serve_app.config.backends import BackendsConfig
from serve_app.config.health import HealthPolicy
from serve_app.config.load import load
from serve_app.config.local_model import LocalModelConfig
from serve_app.config.model import ModelConfig, VisionCapabilities
from serve_app.config.names import names_of
from serve_app.config.policy import BreakerPolicy, RetryPolicy
from serve_app.config.provider import ProviderConfig, Script
from serve_app.config.routing import RoutingConfig
from serve_app.config.scaling import Autoscaling, Scaling
from serve_app.config.settings import DefaultModels, RouterConfig, Settings
from serve_app.config.storage import StorageConfig
from serve_app.config.tenant import BudgetConfig, RateConfig, TenantConfig
from serve_app.errors import ConfigError

ROOT = Path(__file__).parents[3]
DOCUMENT = (ROOT / "docs" / "configuration.md").read_text(encoding="utf-8")
KEYS = (ROOT / "docs" / "keys.md").read_text(encoding="utf-8")
SERVE_FILE = ROOT / "configs" / "serve.yaml"
FILES = sorted(set((ROOT / "configs").glob("*.yaml")) - {SERVE_FILE})

SECTIONS: dict[str, type[BaseModel]] = {
    "Top level": Settings,
    "Providers": ProviderConfig,
    "Models": ModelConfig,
    "Vision capabilities": VisionCapabilities,
    "Default models": DefaultModels,
    "Routing": RoutingConfig,
    "Retries": RetryPolicy,
    "Circuit breaker": BreakerPolicy,
    "Health checks": HealthPolicy,
    "Callers": AuthConfig,
    "Alerts": AlertsConfig,
    "Storage": StorageConfig,
    "Operators": AdminConfig,
    "Backends": BackendsConfig,
    "Caller keys": CallerKey,
    "JSON Web Tokens": JwtConfig,
    "Tenants": TenantConfig,
    "Budgets": BudgetConfig,
    "Rates": RateConfig,
    "Router": RouterConfig,
    "Size": Scaling,
    "Autoscaling": Autoscaling,
    "Local models": LocalModelConfig,
    "Simulator": Script,
}


def rows(heading: str) -> dict[str, tuple[str, str]]:
    """Key to (default, the whole row) in the table under a heading."""
    text = DOCUMENT.split(f"\n### {heading}\n", 1)[1].split("\n#", 1)[0]
    return {
        match[1]: (match[2], match[0]) for match in re.finditer(r"^\| `(\w+)` \| ([^|]+) \|.*$", text, re.M)
    }


def written(value: Any) -> str:
    """A default as the document writes it."""
    if value in (None, (), {}):
        return "none"
    if isinstance(value, BaseModel):
        return "see below"
    if isinstance(value, tuple):
        return ", ".join(value)
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, Enum):
        return str(value.value)
    return f"{value:g}" if isinstance(value, float) else str(value)


@pytest.mark.parametrize("heading", SECTIONS)
def test_every_key_is_described_with_its_default_and_its_synonyms(heading: str) -> None:
    model, found = SECTIONS[heading], rows(heading)
    inherited = set(Scaling.model_fields) if heading == "Providers" else set()
    if heading == "Router":
        inherited = {"max_queued_requests"}

    assert set(found) == set(model.model_fields) - inherited
    for name, (default, row) in found.items():
        field = model.model_fields[name]
        required = field.is_required() or name in ("llm_providers", "default_models")
        assert default == ("required" if required else written(field.get_default(call_default_factory=True))), name
        for synonym in names_of(name, field)[1:]:
            assert f"`{synonym}`" in row


def test_the_ready_made_files_are_the_four_in_the_document() -> None:
    assert [path.name for path in FILES] == ["cloud.yaml", "demo.yaml", "hybrid.yaml", "local.yaml"]
    for path in FILES:
        assert f"`configs/{path.name}`" in DOCUMENT


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_a_ready_made_file_loads_with_no_environment_at_all(path: Path) -> None:
    loaded = load(path, {})

    assert loaded.notes == ()
    assert all(
        provider.api_key is None or not provider.api_key.is_literal
        for provider in loaded.settings.llm_providers
    )


def test_the_file_for_serve_deploy_holds_a_configuration_that_loads() -> None:
    [application] = yaml.safe_load(SERVE_FILE.read_text(encoding="utf-8"))["applications"]

    assert application["import_path"] == "serve_app.app:build"
    assert load(application["args"]["config"], {}).settings.llm_providers
    assert "`configs/serve.yaml`" in DOCUMENT


def test_the_first_example_loads(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(DOCUMENT.split("```yaml\n", 1)[1].split("```", 1)[0], encoding="utf-8")

    assert load(path, {}).settings.routing == RoutingConfig()


def test_the_examples_of_keys_load() -> None:
    [callers, tokens] = re.findall(r"```yaml\n(.*?)```", KEYS, re.S)
    gateway = yaml.safe_load(DOCUMENT.split("```yaml\n", 1)[1].split("```", 1)[0])

    found = load({**gateway, **yaml.safe_load(callers)}, {}).settings

    assert [key.role for key in found.auth.api_keys] == ["user", "user", "read"]
    assert load({**gateway, **yaml.safe_load(tokens)}, {}).settings.auth.jwt


def test_the_example_of_an_error_is_one() -> None:
    models = [{"model_id": "m", "task": "chat_small"}]
    source = {
        "llm_providers": [
            {"id": "a", "type": "ollama", "timout": 1, "models": models},
            {"id": "b", "type": "ollama", "models": [{"model_id": "m", "task": "chat_smal"}]},
        ],
        "default_models": {},
    }

    with pytest.raises(ConfigError) as caught:
        load(source, {"CB_FAILURE_THRESHOLD": "many"})

    said = str(caught.value).replace("configuration: ", "config.yaml: ")
    assert sorted(said.splitlines()) == sorted(
        re.search(r"```\n(the conf.*?)\n```", DOCUMENT, re.S)[1].splitlines()
    )
