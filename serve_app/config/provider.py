"""The configuration of a provider: its address, its models, and its size."""

from enum import StrEnum
from math import inf
from typing import Any

from pydantic import AliasChoices, Field, field_validator, model_validator

from serve_app.config.amounts import PricePerHour
from serve_app.config.base import Config
from serve_app.config.data_policy import is_private_address
from serve_app.config.local_model import LocalModelConfig
from serve_app.config.mistakes import WholeMistake
from serve_app.config.model import ModelConfig
from serve_app.config.parameters import Parameters
from serve_app.config.policy import RetryPolicy
from serve_app.config.prompt_cache import PromptCache, PromptCacheChoice
from serve_app.config.provider_types import is_plugin_type, unknown_type
from serve_app.config.scaling import Scaling
from serve_app.config.secret import Secret
from serve_app.config.task_formats import TASK_FORMATS, formats_for
from serve_app.config.web_hosts import Hosts, first_pattern, is_host
from serve_app.providers.catalogue.rows import VENDORS, vendor
from serve_app.providers.catalogue.vendor import Adapter
from serve_app.providers.catalogue.wire_format import OPENAI, WireFormat


class ProviderType(StrEnum):
    """The three kinds of provider of version 1; `type` also accepts the name of any other vendor."""

    OLLAMA = "ollama"
    OPENAI = "openai"
    ANTHROPIC = "anthropic"


class Transport(StrEnum):
    """
    The connection between a router and a provider: a deployment of its own, or the router's process.

    `deployments/transports.py` maps each to Ray Serve.
    """

    HANDLE = "handle"
    INLINE = "inline"

    @property
    def has_replicas(self) -> bool:
        """Return whether the provider has replicas of its own, with a queue in Serve."""
        return self is not Transport.INLINE


class Script(Config):
    """
    The behaviour of the built-in simulator; only for a provider of type `scripted`.

    Attributes:
        latency_s: the delay before the first byte.
        chunk_delay_s: the delay between chunks of a stream.
        fail_with: an HTTP status that every call gets.
        stall: never answer.
    """

    answer: str | None = None
    latency_s: float = Field(default=0.0, ge=0)
    chunk_delay_s: float = Field(default=0.0, ge=0)
    fail_with: int | None = Field(default=None, ge=400, le=599)
    stall: bool = False
    dimension: int = Field(default=64, ge=8, le=4096)


class ProviderConfig(Scaling):
    """
    A provider as configured. Times are in seconds.

    Attributes:
        type: a row of `providers/catalogue/rows.py`, or any prefix that LiteLLM knows.
        priority: 1 is tried first.
        timeout: the limit of a whole answer that is not streamed.
        connect_timeout_s: the limit of connecting.
        first_byte_timeout_s: the limit until the response headers; None: only the other limits apply.
        first_token_timeout_s: the limit until a stream's first token; None: `resilience/silence.py` decides.
        stream_idle_timeout_s: the limit of every later pause of a stream.
        max_answer_mb: a larger answer counts as broken.
        retry: how often the same model is retried.
        paid_probes: health checks may cost a token, if the vendor has no free ones.
        local: for type `vllm`: the gateway hosts the model itself, instead of calling a server at `base_url`.
        hourly_rate: US dollars for an hour of its machine; None: its time is not charged.
        local_data: data that is sent here stays on local machines; None: decided by type and address.
        prompt_cache: whether prompts are marked for the vendor's cache; at upstreams asked in Messages.
        allowed_media_domains: hosts of links that it may fetch from the operator's network; a vendor
            outside may fetch any.
        parameters: corrections of the parameters in `providers/catalogue/rows.py`.
        formats: the wire formats that its upstream speaks; None: as in `providers/catalogue/rows.py`.
        options: for a type from an installed package, which reads them itself.
    """

    id: str = Field(pattern=r"^[a-z0-9_-]+$")
    type: str = Field(min_length=1, validation_alias=AliasChoices("type", "provider_type"))
    base_url: str | None = None
    api_key: Secret | None = None
    priority: int = Field(default=1, ge=1, le=100)
    timeout: float = Field(
        default=120.0, ge=1, le=600, validation_alias=AliasChoices("timeout", "timeout_secs")
    )
    connect_timeout_s: float = Field(
        default=5.0, gt=0, le=60, validation_alias=AliasChoices("connect_timeout_s", "connect_timeout")
    )
    first_byte_timeout_s: float | None = Field(default=None, gt=0, le=600)
    first_token_timeout_s: float | None = Field(default=None, gt=0, le=600)
    stream_idle_timeout_s: float = Field(default=60.0, gt=0, le=600)
    max_answer_mb: float = Field(default=64.0, gt=0)
    retry: RetryPolicy = RetryPolicy()
    models: tuple[ModelConfig, ...] = ()
    transport: Transport = Transport.HANDLE
    paid_probes: bool = False
    hourly_rate: PricePerHour | None = None
    script: Script | None = None
    local: LocalModelConfig | None = None
    local_data: bool | None = None
    prompt_cache: PromptCacheChoice = PromptCache.OFF
    allowed_media_domains: Hosts = ()
    parameters: Parameters | None = None
    formats: tuple[WireFormat, ...] | None = Field(default=None, min_length=1)
    options: dict[str, Any] = Field(default_factory=dict)

    @field_validator("base_url")
    @classmethod
    def _is_a_web_address(cls, value: str | None) -> str | None:
        if value is not None and not value.startswith(("http://", "https://")):
            raise ValueError("must be a web address that starts with http:// or https://")
        return value

    @field_validator("type", mode="before")
    @classmethod
    def _in_lower_case(cls, value: Any) -> Any:
        return value.lower() if isinstance(value, str) else value

    @field_validator("type")
    @classmethod
    def _is_a_known_type(cls, value: str) -> str:
        if wrong := unknown_type(value):
            raise WholeMistake(wrong)
        return value

    @model_validator(mode="after")
    def _hosts_what_it_offers(self) -> "ProviderConfig":
        if self.local is None:
            return self
        if not vendor(self.type).hosts_models:
            hosts = " or ".join(row.type for row in VENDORS.values() if row.hosts_models)
            raise ValueError(f"'local' requires type {hosts}, not {self.type}")
        for name in ("base_url", "api_key"):
            if getattr(self, name) is not None:
                raise ValueError(f"'local' and {name} exclude each other; keep one")
        if self.transport is not Transport.HANDLE:
            raise ValueError("'local' always has its own deployment; remove 'transport'")
        if self.max_ongoing_requests <= self.local.max_running + self.local.burst_queue:
            raise ValueError(
                f"max_ongoing_requests {self.max_ongoing_requests} must be above max_running + burst_queue "
                f"({self.local.max_running} + {self.local.burst_queue}): routers do not see each "
                "other's requests that wait for a replica"
            )
        own = {model.model_id for model in self.models} - self.local.adapters.keys()
        if len(own) != 1:
            listed = f"{len(own)} models: {', '.join(sorted(own))}" if own else "no model but adapters"
            raise ValueError(f"'local' hosts one model and its adapters, but {listed}")
        if idle := self.local.adapters.keys() - {model.model_id for model in self.models}:
            raise ValueError(f"adapters that 'models' does not list: {', '.join(sorted(idle))}")
        return self

    @model_validator(mode="after")
    def _only_plugins_take_options(self) -> "ProviderConfig":
        if self.options and not is_plugin_type(self.type):
            raise ValueError(f"options: '{self.type}' is a built-in type, which takes none; leave them out")
        return self

    def __hash__(self) -> int:
        return hash(self.id)  # other fields are mappings, which have no hash

    @model_validator(mode="after")
    def _only_own_machines_are_paid_by_the_hour(self) -> "ProviderConfig":
        if self.hourly_rate is not None and not vendor(self.type).is_own:
            own = ", ".join(sorted(row.type for row in VENDORS.values() if row.is_own))
            raise ValueError(
                f"hourly_rate is for machines of your own ({own}); what "
                f"'{self.type}' charges belongs to its models, as cost_per_1k_input and cost_per_1k_output"
            )
        return self

    @model_validator(mode="after")
    def _only_called_over_http_it_speaks_several_formats(self) -> "ProviderConfig":
        if self.formats is not None and (vendor(self.type).adapter is not Adapter.HTTP or self.local):
            raise ValueError(f"formats: '{self.type}' is not called over HTTP here; leave them out")
        return self

    @model_validator(mode="after")
    def _only_called_over_http_it_has_further_endpoints(self) -> "ProviderConfig":
        row = vendor(self.type)
        speaks_openai = self.formats is not None or WireFormat.OPENAI_CHAT in row.formats
        if row.adapter is Adapter.HTTP and self.local is None and speaks_openai:
            return self
        for model in self.models:
            if model.task in TASK_FORMATS:
                what = f"'{model.model_id}' is for {model.task}"
                raise ValueError(f"models: {what}, which type '{self.type}' cannot be asked for")
        return self

    @property
    def spoken_formats(self) -> frozenset[WireFormat]:
        """The wire formats in which it can be asked."""
        if self.local is not None:
            return OPENAI
        row = vendor(self.type)
        spoken = row.formats_at(self.base_url) if self.formats is None else frozenset(self.formats)
        return spoken | formats_for(model.task for model in self.models)

    @model_validator(mode="after")
    def _a_hosted_model_compares_whole_names(self) -> "ProviderConfig":
        if self.local is not None and (pattern := first_pattern(self.allowed_media_domains)):
            raise ValueError(f"allowed_media_domains: 'local' takes exact hosts only, not '{pattern}'")
        return self

    @model_validator(mode="after")
    def _only_messages_have_marks_of_a_cache(self) -> "ProviderConfig":
        choices = (self.prompt_cache, *(model.prompt_cache for model in self.models))
        row = vendor(self.type)
        speaks = WireFormat.ANTHROPIC_MESSAGES in self.spoken_formats and not row.is_own
        if PromptCache.AUTO in choices and not (speaks or row.takes_cache_marks):
            raise ValueError(
                f"prompt_cache: '{self.type}' takes no marks from the gateway; leave it out (auto is for "
                "types anthropic and openrouter, and for vendors whose 'formats' name anthropic_messages)"
            )
        return self

    def caches_prompts(self, model_id: str) -> bool:
        """Return whether requests to this model get marks of what the vendor may cache."""
        named = (model.prompt_cache for model in self.models if model.model_id == model_id)
        choice = next((choice for choice in named if choice is not None), self.prompt_cache)
        speaks = WireFormat.ANTHROPIC_MESSAGES in self.spoken_formats
        return choice is PromptCache.AUTO and (speaks or "claude" in model_id.lower())

    @property
    def media_domains(self) -> tuple[str, ...] | None:
        """
        Return the hosts of links that a request to it may have; None: any, because the vendor fetches them.

        Models on machines of one's own fetch a link from inside the operator's network, and so does LiteLLM,
        which runs in the gateway. A hosted model fetches what its `engine` allows.
        """
        row = vendor(self.type)
        if row.is_simulated:
            return None  # it fetches nothing
        if self.local is not None:
            return self.allowed_media_domains or _both_schemes(self.local.engine.get("allowed_media_domains"))
        is_outside = row.adapter is not Adapter.LITELLM and not row.is_own and not self.local_data
        if is_outside and (self.base_url is None or not is_private_address(self.base_url)):
            return None
        return self.allowed_media_domains

    @property
    def most_in_router(self) -> float:
        """Return the most requests of one router at this provider; infinite if Serve keeps the queue."""
        return inf if self.transport.has_replicas else self.max_ongoing_requests

    @property
    def may_sleep(self) -> bool:
        """Return whether it can scale to zero, so that every health check would start a replica."""
        return self.transport.has_replicas and self.autoscaling.min_replicas == 0

    @property
    def may_load_first(self) -> bool:
        """Return whether its models run on a machine that may have to load them; the simulator has none."""
        return self.local is not None or vendor(self.type).loads_models

    @property
    def hosted_model(self) -> str:
        """Return the id of the hosted model; only with `local`."""
        adapters = self.local.adapters if self.local else {}
        return next(model.model_id for model in self.models if model.model_id not in adapters)

    def keeps_data_local(self, address: str | None = None) -> bool:
        """
        Return whether data that is sent here stays on local machines.

        Decided by `local_data` if it is set. Else True for a hosted model, for the simulator, and for types
        that run on local machines, at a loopback or private address. `address` is the provider's current one,
        if it is not `base_url`; with neither it is at its type's default address.
        """
        if self.local_data is not None:
            return self.local_data
        if self.local is not None or vendor(self.type).is_simulated:
            return True
        if not vendor(self.type).is_own:
            return False
        where = address or self.base_url
        return where is None or is_private_address(where)


def _both_schemes(engine_hosts: Any) -> tuple[str, ...]:
    """Return the hosts that vLLM's own setting lists, which says nothing of schemes."""
    names = engine_hosts if isinstance(engine_hosts, list | tuple) else ()
    hosts = [name for name in names if isinstance(name, str) and is_host(name)]
    return (*hosts, *(f"http://{name}" for name in hosts))
