"""The document and the ready-made files say what the types say."""

import json
import re
from datetime import date
from enum import Enum
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import BaseModel
from ray.serve.schema import ServeDeploySchema

from serve_app.config.admin import AdminConfig
from serve_app.config.alerts import AlertsConfig
from serve_app.config.auth import AuthConfig, CallerKey, JwtConfig
from serve_app.config.backends import BackendsConfig
from serve_app.config.health import HealthPolicy
from serve_app.config.load import load
from serve_app.config.local_model import LocalModelConfig
from serve_app.config.middleware import MiddlewareConfig
from serve_app.config.model import ModelConfig, VisionCapabilities
from serve_app.config.names import names_of
from serve_app.config.parameters import Parameters
from serve_app.config.policy import BreakerPolicy, RetryPolicy
from serve_app.config.pricing import PricingConfig
from serve_app.config.provider import ProviderConfig, Script
from serve_app.config.responses import ResponsesConfig
from serve_app.config.routing import RoutingConfig, StrategyChoices
from serve_app.config.scaling import Autoscaling, Scaling
from serve_app.config.settings import DefaultModels, RouterConfig, Settings
from serve_app.config.storage import StorageConfig
from serve_app.config.tenant import BudgetConfig, RateConfig, TenantConfig
from serve_app.errors import ConfigError
from serve_app.pricing.price_list import litellm_price_file
from serve_app.providers.catalogue.rows import OPENAI

ROOT = Path(__file__).parents[3]
DOCUMENT = (ROOT / "docs" / "configuration.md").read_text(encoding="utf-8")
KEYS = (ROOT / "docs" / "keys.md").read_text(encoding="utf-8")
LOCAL_MODELS = (ROOT / "docs" / "local-models.md").read_text(encoding="utf-8")
SERVE_FILES = [ROOT / "configs" / name for name in ("gpu-serve.yaml", "serve.yaml")]
FILES = sorted(set((ROOT / "configs").glob("*.yaml")) - set(SERVE_FILES))
KUBERAY = ROOT / "deploy" / "kuberay" / "gpu.yaml"

SECTIONS: dict[str, type[BaseModel]] = {
    "Top level": Settings,
    "Providers": ProviderConfig,
    "Models": ModelConfig,
    "Parameters": Parameters,
    "Vision capabilities": VisionCapabilities,
    "Default models": DefaultModels,
    "Routing": RoutingConfig,
    "Strategies": StrategyChoices,
    "Middleware": MiddlewareConfig,
    "Retries": RetryPolicy,
    "Circuit breaker": BreakerPolicy,
    "Health checks": HealthPolicy,
    "Callers": AuthConfig,
    "Alerts": AlertsConfig,
    "Pricing": PricingConfig,
    "Storage": StorageConfig,
    "Stored responses": ResponsesConfig,
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
        required = field.is_required() or name == "llm_providers"
        assert default == (
            "required" if required else written(field.get_default(call_default_factory=True))
        ), name
        for synonym in names_of(name, field)[1:]:
            assert f"`{synonym}`" in row


def test_the_ready_made_files_are_those_in_the_document() -> None:
    names = ["cloud.yaml", "demo.yaml", "gpu.yaml", "hybrid.yaml", "local.yaml"]
    assert [path.name for path in FILES] == names
    for path in [*FILES, *SERVE_FILES]:
        assert f"`configs/{path.name}`" in DOCUMENT


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_a_ready_made_file_loads_with_no_environment_at_all(path: Path) -> None:
    loaded = load(path, {})

    assert loaded.notes == ()
    assert all(
        provider.api_key is None or not provider.api_key.is_literal
        for provider in loaded.settings.llm_providers
    )


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_a_ready_made_file_names_models_that_vendors_offer(path: Path) -> None:
    listed = json.loads(litellm_price_file().read_bytes())
    vendors = {"openai", "anthropic", "openrouter"}

    for provider in load(path, {}).settings.llm_providers:
        for model in provider.models if provider.type in vendors else ():
            row = listed[model.model_id.rpartition("/")[2]]
            withdrawn = date.fromisoformat(row.get("deprecation_date") or "9999-12-31")
            assert withdrawn > OPENAI.starter.chosen_on


def in_serves_format(text: str) -> Settings:
    """The settings within a file for `serve deploy`."""
    [application] = ServeDeploySchema.model_validate(yaml.safe_load(text)).model_dump()["applications"]
    assert application["import_path"] == "serve_app.app:build"
    loaded = load(application["args"]["config"], {})
    assert loaded.notes == ()
    return loaded.settings


@pytest.mark.parametrize("path", SERVE_FILES, ids=lambda path: path.name)
def test_a_file_for_serve_deploy_holds_a_configuration_that_loads(path: Path) -> None:
    assert in_serves_format(path.read_text(encoding="utf-8")).llm_providers


def kuberay() -> tuple[dict[str, Any], dict[str, Any]]:
    """The RayService and the NetworkPolicy."""
    service, policy = yaml.safe_load_all(KUBERAY.read_text(encoding="utf-8"))
    assert (service["apiVersion"], service["kind"]) == ("ray.io/v1", "RayService")
    assert (policy["apiVersion"], policy["kind"]) == ("networking.k8s.io/v1", "NetworkPolicy")
    return service["spec"], policy["spec"]


def test_the_three_files_for_gpus_say_the_same() -> None:
    spec, _ = kuberay()
    plain = load(ROOT / "configs" / "gpu.yaml", {}).settings
    [deployed, hosted] = (
        in_serves_format(text) for text in (SERVE_FILES[0].read_text(encoding="utf-8"), spec["serveConfigV2"])
    )

    assert plain.llm_providers == deployed.llm_providers == hosted.llm_providers
    assert plain.default_models == deployed.default_models == hosted.default_models
    assert not hosted.auth.is_open


def pods(spec: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The template of the head, and of each group of workers by its name."""
    cluster = spec["rayClusterConfig"]
    groups = {group["groupName"]: group["template"] for group in cluster["workerGroupSpecs"]}
    return {"head": cluster["headGroupSpec"]["template"], **groups}


def test_on_kubernetes_only_the_gpu_nodes_have_gpus_and_there_may_be_none_of_them() -> None:
    spec, _ = kuberay()
    with_gpus = [
        name
        for name, pod in pods(spec).items()
        if "nvidia.com/gpu" in pod["spec"]["containers"][0]["resources"]["limits"]
    ]

    assert with_gpus == ["gpu"]
    assert [g["minReplicas"] for g in spec["rayClusterConfig"]["workerGroupSpecs"]] == [2, 0]
    assert spec["rayClusterConfig"]["enableInTreeAutoscaling"] is True
    assert spec["rayClusterConfig"]["authOptions"] == {"mode": "token"}


def test_on_kubernetes_every_pod_has_what_the_configuration_refers_to_from_a_secret() -> None:
    spec, _ = kuberay()
    wanted = set(re.findall(r"\$\{(\w+)\}", spec["serveConfigV2"]))

    for pod in pods(spec).values():
        env = {entry["name"]: entry for entry in pod["spec"]["containers"][0]["env"]}
        assert wanted <= set(env)
        assert all("secretKeyRef" in env[name]["valueFrom"] for name in wanted)


def test_on_kubernetes_callers_reach_the_gateways_port_and_nothing_of_rays() -> None:
    spec, policy = kuberay()
    [label] = policy["podSelector"]["matchLabels"].items()
    port = yaml.safe_load(spec["serveConfigV2"])["http_options"]["port"]

    assert all(label in pod["metadata"]["labels"].items() for pod in pods(spec).values())
    open_to_all = [rule["ports"] for rule in policy["ingress"] if "from" not in rule]
    assert open_to_all == [[{"protocol": "TCP", "port": port}]]


def test_the_first_example_loads(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(DOCUMENT.split("```yaml\n", 1)[1].split("```", 1)[0], encoding="utf-8")

    assert load(path, {}).settings.routing == RoutingConfig()


def test_the_examples_of_local_models_load() -> None:
    blocks = [yaml.safe_load(block) for block in re.findall(r"```yaml\n(.*?)```", LOCAL_MODELS, re.S)]
    whole, *parts = blocks
    found = load(whole, {}).settings
    assert found.llm_providers[0].hosted_model == "qwen"

    for part in parts:
        own = {**whole["llm_providers"][0], **(part if "local" in part else {"local": part})}
        assert load({"llm_providers": [own], "default_models": {}}, {}).settings.llm_providers[0].local


def test_the_page_of_local_models_knows_every_key() -> None:
    for key in LocalModelConfig.model_fields:
        assert f"`{key}`" in LOCAL_MODELS


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
