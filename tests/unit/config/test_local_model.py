"""A model that is hosted here, as it is configured: what does not fit is said, with the way out."""

from typing import Any

import pytest
from pydantic import ValidationError

from serve_app.clock import SystemClock
from serve_app.config.load import load
from serve_app.config.local_model import Device, LocalModelConfig
from serve_app.config.provider import ProviderConfig
from serve_app.errors import ConfigError
from serve_app.providers.factory import build_provider

BASE = {"model_id": "llama", "task": "chat_small"}
OTHER = {"model_id": "qwen", "task": "chat_small"}
LAWYER = {"model_id": "lawyer", "task": "chat_small"}


def provider(local: dict[str, Any] | None = None, **fields: Any) -> ProviderConfig:
    data = {"id": "gpu", "type": "vllm", "models": [BASE], "local": local or {}, **fields}
    return ProviderConfig.model_validate(data)


def complaint(local: dict[str, Any] | None = None, **fields: Any) -> str:
    """The one thing that is said against it."""
    with pytest.raises(ValidationError) as caught:
        provider(local, **fields)
    [error] = caught.value.errors()
    return error["msg"].removeprefix("Value error, ")


def test_an_empty_section_hosts_the_providers_model_on_one_gpu() -> None:
    found = provider()

    assert found.hosted_model == "llama"
    assert found.local == LocalModelConfig()
    assert (found.local.device, found.local.devices, found.local.source) == (Device.GPU, 1, None)


def test_a_vllm_without_the_section_is_a_server_somewhere_else() -> None:
    found = ProviderConfig(id="far", type="vllm", base_url="http://gpu:8000", models=(BASE, OTHER))  # type: ignore[arg-type]

    assert found.local is None


def test_a_model_may_be_listed_for_several_tasks() -> None:
    assert provider(models=[BASE, {**BASE, "task": "chat_smart"}]).hosted_model == "llama"


def test_adapters_are_models_of_the_same_provider() -> None:
    found = provider({"adapters": {"lawyer": "/models/lawyer"}}, models=[LAWYER, BASE])

    assert found.hosted_model == "llama"


def test_another_type_of_provider_hosts_nothing() -> None:
    assert complaint(type="openai") == "'local' requires type vllm, not openai"


@pytest.mark.parametrize(
    ("name", "value"), [("base_url", "http://gpu:8000"), ("api_key", "${KEY}")], ids=lambda value: str(value)
)
def test_what_says_where_a_server_is_does_not_go_with_hosting(name: str, value: str) -> None:
    assert complaint(**{name: value}) == f"'local' and {name} exclude each other; keep one"


def test_a_model_does_not_run_inside_a_router() -> None:
    said = complaint(transport="inline")

    assert said == "'local' always has its own deployment; remove 'transport'"


def test_one_provider_hosts_one_model() -> None:
    said = complaint(models=[OTHER, BASE])

    assert said == "'local' hosts one model and its adapters, but 2 models: llama, qwen"


def test_adapters_alone_are_no_model() -> None:
    said = complaint({"adapters": {"lawyer": "/models/lawyer"}}, models=[LAWYER])

    assert said == "'local' hosts one model and its adapters, but no model but adapters"


def test_an_adapter_that_nobody_can_ask_for_is_named() -> None:
    said = complaint({"adapters": {"lawyer": "/models/lawyer", "poet": "/models/poet"}})

    assert said == "adapters that 'models' does not list: lawyer, poet"


@pytest.mark.parametrize(
    ("name", "instead"),
    [
        ("model", "source"),
        ("served_model_name", "the provider's models"),
        ("tokenizer", "tokenizer"),
        ("tensor_parallel_size", "tensor_parallel"),
        ("pipeline_parallel_size", "pipeline_parallel"),
        ("max_num_seqs", "max_running"),
        ("lora_modules", "adapters"),
        ("enable_lora", "adapters"),
        ("hf_token", "HF_TOKEN in the environment of the nodes"),
    ],
)
def test_an_argument_of_the_engine_that_has_a_key_of_its_own_leads_there(name: str, instead: str) -> None:
    assert complaint({"engine": {name: 1}}) == f"'{name}' cannot be set here; use {instead}"


def test_every_other_argument_is_the_engines_to_understand() -> None:
    engine = {"max_model_len": 4096, "enable_auto_tool_choice": True}

    assert provider({"engine": engine}).local.engine == engine


@pytest.mark.parametrize("name", ["HF_TOKEN", "AWS_SECRET_ACCESS_KEY", "my_password", "apikeys"])
def test_a_secret_does_not_go_where_ray_shows_it(name: str) -> None:
    said = complaint({"runtime_env": {"env_vars": {name: "x"}}})

    assert said == (
        f"'{name}' looks like a secret, and Ray shows a runtime_env to everyone: "
        "set it in the environment of the nodes instead"
    )


@pytest.mark.parametrize(
    "runtime_env",
    [
        {"env_vars": {"VLLM_CPU_KVCACHE_SPACE": "4"}},
        {"env_vars": {"TOKENIZERS_PARALLELISM": "false"}},
        {"env_vars": None},
        {"working_dir": "/models"},
    ],
    ids=str,
)
def test_a_runtime_env_without_secrets_is_rays_to_understand(runtime_env: dict[str, Any]) -> None:
    assert provider({"runtime_env": runtime_env}).local.runtime_env == runtime_env


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({"VLLM_CPU_KVCACHE_SPACE": 4}, "'VLLM_CPU_KVCACHE_SPACE' must be a string; write it in quotes"),
        ({"VLLM_USE_V1": None}, "'VLLM_USE_V1' must be a string; write it in quotes"),
        (["A=1"], "env_vars must map names to strings"),
    ],
)
def test_what_ray_takes_for_no_environment_is_refused_before_a_replica_starts(
    variables: Any, said: str
) -> None:
    assert complaint({"runtime_env": {"env_vars": variables}}) == said


def test_a_machine_without_gpus_has_no_kind_of_gpu() -> None:
    said = complaint({"device": "cpu", "accelerator_type": "H200"})

    assert said == "accelerator_type is for a GPU: leave it out, or set device to gpu"


def test_a_queue_before_the_replicas_that_nobody_would_see_is_refused() -> None:
    """A replica that takes no more requests than it works on never seems to be busy to other routers."""
    local = {"max_running": 64, "burst_queue": 8}

    assert complaint(local, max_ongoing_requests=72) == (
        "max_ongoing_requests 72 must be above max_running + burst_queue (64 + 8): "
        "routers do not see each other's requests that wait for a replica"
    )
    assert provider(local, max_ongoing_requests=73).max_ongoing_requests == 73


def test_every_worker_has_its_bundle() -> None:
    local = {"tensor_parallel": 2, "pipeline_parallel": 2, "bundles": [{"GPU": 1}] * 3}

    assert complaint(local) == (
        "there are 3 bundles for 4 workers (tensor_parallel times pipeline_parallel): one is needed for each"
    )
    assert provider({**local, "bundles": [{"GPU": 1, "CPU": 2}] * 4}).local.devices == 4


@pytest.mark.parametrize("placement", ["PACK", "STRICT_PACK", "SPREAD", "STRICT_SPREAD"])
def test_workers_are_placed_in_one_of_rays_ways(placement: str) -> None:
    assert provider({"placement": placement}).local.placement == placement


@pytest.mark.parametrize(
    "local",
    [
        {"placement": "ANYWHERE"},
        {"max_running": 0},
        {"burst_queue": -1},
        {"tensor_parallel": 0},
        {"source": ""},
        {"device": "tpu"},
        {"sauce": "/models/llama"},
    ],
    ids=str,
)
def test_what_makes_no_sense_is_refused(local: dict[str, Any]) -> None:
    assert complaint(local)


def test_a_wrong_name_in_the_section_is_told_with_the_right_one() -> None:
    source = {
        "llm_providers": [{"id": "gpu", "type": "vllm", "models": [BASE], "local": {"burst_que": 3}}],
        "default_models": {},
    }

    with pytest.raises(ConfigError) as caught:
        load(source, {})

    assert "llm_providers[0].local.burst_que" in str(caught.value)
    assert "did you mean 'burst_queue'?" in str(caught.value)


@pytest.mark.parametrize("name", ["engine", "adapters", "runtime_env"])
def test_a_heading_with_nothing_under_it_is_nothing(name: str) -> None:
    source = {
        "llm_providers": [{"id": "gpu", "type": "vllm", "models": [BASE], "local": {name: None}}],
        "default_models": {},
    }

    assert load(source, {}).settings.llm_providers[0].local == LocalModelConfig()


def test_a_gateway_without_ray_serve_hosts_nothing_and_says_so() -> None:
    with pytest.raises(
        ConfigError, match=r"provider 'gpu' hosts a model \(local\), which requires Ray Serve"
    ):
        build_provider(provider(), {}, SystemClock())
