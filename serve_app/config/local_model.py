"""A model that the gateway hosts itself, on the cluster's own nodes."""

import re
from enum import StrEnum
from typing import Any

from pydantic import Field, field_validator, model_validator

from serve_app.config.base import Config

# Arguments with a setting of their own, or that operators cannot set.
_TAKEN = {
    "model": "source",
    "served_model_name": "the provider's models",
    "tokenizer": "tokenizer",
    "tensor_parallel_size": "tensor_parallel",
    "pipeline_parallel_size": "pipeline_parallel",
    "max_num_seqs": "max_running",
    "lora_modules": "adapters",
    "enable_lora": "adapters",
    "hf_token": "HF_TOKEN in the environment of the nodes",  # the configuration is sent to every router
}
_SECRET = re.compile(r"(TOKEN|KEY|SECRET|PASSWORD|CREDENTIAL)S?(?![A-Z])", re.IGNORECASE)


class Device(StrEnum):
    """The kind of device that the model runs on."""

    GPU = "gpu"
    CPU = "cpu"


class LocalModelConfig(Config):
    """
    The model that a provider of type `vllm` hosts, with `ray.serve.llm` (docs/local-models.md).

    Attributes:
        source: a folder or a name on the hub; None: the model's id.
        tokenizer: likewise; None: the model's own.
        accelerator_type: Ray's name for the kind of GPU; None: any.
        tensor_parallel, pipeline_parallel: a replica takes their product in devices.
        bundles: the resources that Ray reserves instead, one mapping for each worker.
        placement: the placement strategy of the bundles.
        max_running: how many requests a replica serves at once; others wait.
        burst_queue: while more than this wait for all replicas together, new requests go to their next
            target.
        adapters: LoRA adapters, each model id with its folder.
        engine: further arguments of vLLM's engine.
        runtime_env: Ray's. It must not contain secrets, because Ray shows it to everyone.
    """

    source: str | None = Field(default=None, min_length=1)
    tokenizer: str | None = Field(default=None, min_length=1)
    device: Device = Device.GPU
    accelerator_type: str | None = None
    tensor_parallel: int = Field(default=1, ge=1)
    pipeline_parallel: int = Field(default=1, ge=1)
    bundles: tuple[dict[str, float], ...] | None = None
    placement: str = Field(default="PACK", pattern=r"^(STRICT_)?(PACK|SPREAD)$")
    max_running: int = Field(default=128, ge=1)
    burst_queue: int = Field(default=16, ge=0)
    adapters: dict[str, str] = Field(default_factory=dict)
    engine: dict[str, Any] = Field(default_factory=dict)
    runtime_env: dict[str, Any] = Field(default_factory=dict)

    @property
    def devices(self) -> int:
        """Return the number of devices of one replica."""
        return self.tensor_parallel * self.pipeline_parallel

    @field_validator("engine")
    @classmethod
    def _leaves_the_rest_to_us(cls, value: dict[str, Any]) -> dict[str, Any]:
        for name in value:
            if instead := _TAKEN.get(name):
                raise ValueError(f"'{name}' cannot be set here; use {instead}")
        return value

    @field_validator("runtime_env")
    @classmethod
    def _holds_texts_and_no_secret(cls, value: dict[str, Any]) -> dict[str, Any]:
        variables = value.get("env_vars") or {}
        if not isinstance(variables, dict):
            raise ValueError("env_vars must map names to strings")
        for name, text in variables.items():
            if _SECRET.search(str(name)):
                raise ValueError(
                    f"'{name}' looks like a secret, and Ray shows a runtime_env to everyone: "
                    "set it in the environment of the nodes instead"
                )
            if not isinstance(text, str):  # Ray reports it too late, in a log only
                raise ValueError(f"'{name}' must be a string; write it in quotes")
        return value

    @model_validator(mode="after")
    def _can_be_placed(self) -> "LocalModelConfig":
        if self.device is Device.CPU and self.accelerator_type is not None:
            raise ValueError("accelerator_type is for a GPU: leave it out, or set device to gpu")
        if self.bundles is not None and len(self.bundles) != self.devices:
            raise ValueError(
                f"there are {len(self.bundles)} bundles for {self.devices} workers "
                "(tensor_parallel times pipeline_parallel): one is needed for each"
            )
        return self
