"""The whole configuration, and the checks across its sections."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from pydantic import AliasChoices, Field, field_validator, model_validator

from serve_app.caller import NOBODY
from serve_app.config.admin import AdminConfig
from serve_app.config.alerts import AlertsConfig
from serve_app.config.auth import AuthConfig
from serve_app.config.backends import BackendsConfig
from serve_app.config.base import Config
from serve_app.config.health import HealthPolicy, with_interval_under_health
from serve_app.config.middleware import MiddlewareConfig
from serve_app.config.names import did_you_mean
from serve_app.config.policy import USUAL_BREAKER, BreakerPolicy
from serve_app.config.pricing import PricingConfig
from serve_app.config.provider import ProviderConfig
from serve_app.config.responses import ResponsesConfig
from serve_app.config.routing import RoutingConfig, StrategyChoices
from serve_app.config.scaling import Autoscaling, Scaling
from serve_app.config.storage import StorageConfig
from serve_app.config.tenant import BudgetConfig, Budgets, RateConfig, Rates, TenantConfig
from serve_app.providers.catalogue.rows import VLLM


def with_breaker_at_the_top(values: Mapping[str, Any]) -> Mapping[str, Any]:
    """
    Return the configuration with `routing.circuit_breaker` moved to `circuit_breaker`.

    The reference configuration has it there, with a default of three failures instead of five.
    """
    routing = values.get("routing")
    if not isinstance(routing, Mapping) or "circuit_breaker" not in routing:
        return values
    nested = routing["circuit_breaker"]
    if "circuit_breaker" in values:
        raise ValueError("'circuit_breaker' is set at the top level and under 'routing'; keep one of them")
    if nested is None or isinstance(nested, Mapping):
        nested = {"failure_threshold": 3, **(nested or {})}
    rest = {key: value for key, value in routing.items() if key != "circuit_breaker"}
    return {**values, "circuit_breaker": nested, "routing": rest}


def with_old_keys_in_place(values: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the configuration with old keys moved to their current places."""
    return with_interval_under_health(with_breaker_at_the_top(values))


class DefaultModels(Config):
    """The preferred model for each kind of task, among candidates of equal priority."""

    embedding: str | None = None
    chat_fast: str | None = None
    chat_smart: str | None = None
    chat_vision: str | None = None


class RouterAutoscaling(Autoscaling):
    """The autoscaling of routers, which only forward requests, so each replica may hold more."""

    target_ongoing_requests: float = Field(default=200, gt=0)


class RouterConfig(Scaling):
    """
    The size of the router, and its limits for requests.

    Attributes:
        max_body_mb: larger bodies are refused with 413.
        max_upload_mb: a larger file in a form is refused with 413; 1 MB is 1,048,576 bytes, as at OpenAI.
        max_bodies_in_flight_mb, max_bodies_per_key_mb: the bodies that a router holds at once, in total and
            of one key; a single body is always accepted.
        body_timeout_s: seconds until a body must be complete.
        allowed_hosts: the accepted host names, `*`: any. None: any if callers need a key, else those of
            loopback.
        cors_origins: the web pages that may read answers, likewise.
    """

    autoscaling: RouterAutoscaling = RouterAutoscaling()
    max_ongoing_requests: int = Field(default=4000, ge=1)
    num_cpus: float = Field(default=0.2, ge=0)
    max_body_mb: float = Field(default=32, gt=0, le=1000)
    max_upload_mb: float = Field(default=25, gt=0, le=1000)
    max_bodies_in_flight_mb: float = Field(default=256, gt=0)
    max_bodies_per_key_mb: float = Field(default=128, gt=0)
    body_timeout_s: float = Field(default=120, gt=0)
    allowed_hosts: tuple[str, ...] | None = None
    cors_origins: tuple[str, ...] | None = None


class Settings(Config):
    """The whole configuration of the gateway."""

    version: str = Field(default="2.0", validation_alias=AliasChoices("version", "config_version"))
    llm_providers: tuple[ProviderConfig, ...] = Field(
        default=(), validation_alias=AliasChoices("llm_providers", "providers")
    )
    default_models: DefaultModels | None = None
    circuit_breaker: BreakerPolicy = USUAL_BREAKER
    routing: RoutingConfig = RoutingConfig()
    middleware: tuple[MiddlewareConfig, ...] = ()
    health: HealthPolicy = HealthPolicy()
    router: RouterConfig = RouterConfig()
    auth: AuthConfig = AuthConfig()
    storage: StorageConfig = StorageConfig()
    responses: ResponsesConfig = ResponsesConfig()
    admin: AdminConfig = AdminConfig()
    backends: BackendsConfig = BackendsConfig()
    alerts: AlertsConfig = AlertsConfig()
    pricing: PricingConfig = PricingConfig()
    tenants: tuple[TenantConfig, ...] = ()
    budgets: Budgets = ()
    rates: Rates = ()
    host: str = Field(default="0.0.0.0", validation_alias=AliasChoices("host", "server_host"))  # noqa: S104
    port: int = Field(default=5001, validation_alias=AliasChoices("port", "server_port"))
    log_level: str = "INFO"

    @model_validator(mode="before")
    @classmethod
    def _old_keys_may_stand_elsewhere(cls, values: Any) -> Any:
        return with_old_keys_in_place(values) if isinstance(values, Mapping) else values

    @field_validator("version", mode="before")
    @classmethod
    def _may_be_written_as_a_number(cls, value: Any) -> Any:
        return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else value

    @field_validator("version")
    @classmethod
    def _is_ours(cls, value: str) -> str:
        if value.partition(".")[0] != "2":
            raise ValueError("must be 2.0, the only version that this gateway supports")
        return value

    @field_validator("port")
    @classmethod
    def _is_not_a_privileged_port(cls, value: int) -> int:
        if value != 0 and not 1024 <= value <= 65535:
            raise ValueError("must be between 1024 and 65535, or 0 for any free port")
        return value

    @field_validator("log_level")
    @classmethod
    def _is_a_level(cls, value: str) -> str:
        level = {"WARN": "WARNING"}.get(value.upper(), value.upper())
        if level not in {"DEBUG", "INFO", "WARNING", "ERROR"}:
            raise ValueError("must be one of debug, info, warn, error")
        return level

    @model_validator(mode="after")
    def _an_hour_of_vllm_costs_what_is_said_of_it(self) -> "Settings":
        """Apply `backends.vllm_hourly_rate` to every vLLM provider; its default prices no request."""
        if "vllm_hourly_rate" in self.backends.model_fields_set:
            # Frozen, but still under construction here.
            object.__setattr__(self, "llm_providers", _at_rate(self.llm_providers, self.backends))
        return self

    @model_validator(mode="after")
    def _vllm_is_where_its_endpoint_is(self) -> "Settings":
        """Apply `backends.vllm_endpoint` to the first provider of type vllm without an address."""
        if self.backends.vllm_endpoint is not None:
            placed = _at_endpoint(self.llm_providers, self.backends.vllm_endpoint)
            object.__setattr__(self, "llm_providers", placed)
        return self

    @model_validator(mode="after")
    def _makes_sense(self) -> "Settings":
        wrong = [*_doubtful_providers(self.llm_providers)]
        if self.default_models is None:
            wrong.append("default_models must be specified")
        elif self.llm_providers:
            wrong += _doubtful_defaults(self.default_models, self.llm_providers)
        wrong += _doubtful_tenants(self)
        wrong += _doubtful_strategies(self, self.routing.strategies)
        for owner, limits in _limits_of(self):
            wrong += doubtful_limits(owner, limits, self.llm_providers)
        if wrong:
            raise ValueError("; ".join(wrong))
        return self


def _at_rate(providers: Sequence[ProviderConfig], backends: BackendsConfig) -> tuple[ProviderConfig, ...]:
    """Return the providers, each vLLM without an hourly rate with that of the backend."""
    rate = {"hourly_rate": backends.vllm_hourly_rate}
    return tuple(
        provider.model_copy(update=rate)
        if provider.type == VLLM.type and provider.hourly_rate is None
        else provider
        for provider in providers
    )


def _at_endpoint(providers: Sequence[ProviderConfig], endpoint: str) -> tuple[ProviderConfig, ...]:
    first = next((p for p in providers if p.type == VLLM.type and p.local is None), None)
    if first is None or first.base_url is not None:
        return tuple(providers)
    return tuple(p.model_copy(update={"base_url": endpoint}) if p is first else p for p in providers)


def _doubtful_providers(providers: Sequence[ProviderConfig]) -> Iterator[str]:
    if not providers:
        yield "No providers configured"
    twice = [name for name, count in Counter(provider.id for provider in providers).items() if count > 1]
    if twice:
        yield f"Duplicate provider IDs found in configuration: {', '.join(twice)}"
    for provider in providers:
        for (name, task), count in Counter((model.model_id, model.task) for model in provider.models).items():
            if count > 1:
                yield f"Provider '{provider.id}' lists model '{name}' for {task} more than once"


def _doubtful_tenants(settings: Settings) -> Iterator[str]:
    twice = [name for name, count in Counter(tenant.id for tenant in settings.tenants).items() if count > 1]
    if twice:
        yield f"Duplicate tenant IDs found in configuration: {', '.join(twice)}"
    known = [NOBODY, *(tenant.id for tenant in settings.tenants)]
    for key in settings.auth.api_keys:
        if key.tenant not in known:
            yield f"A caller key names tenant '{key.tenant}', which is not configured {_there(known)}"
    models = _models_of(settings)
    for tenant in settings.tenants:
        for name in tenant.models or ():
            if name not in models:
                yield f"Tenant '{tenant.id}' names model '{name}', which no provider has {_there(models)}"


def _doubtful_strategies(settings: Settings, strategies: StrategyChoices) -> Iterator[str]:
    """Yield a message for each strategy of an unknown model or tenant."""
    models = _models_of(settings)
    tenants = {NOBODY, *(tenant.id for tenant in settings.tenants)}
    for name in strategies.models:
        if name not in models:
            hint = did_you_mean(name, models) or f" {_there(models)}"
            yield f"routing.strategies.models names model '{name}', which no provider has{hint}"
    for name in strategies.tenants:
        if name not in tenants:
            hint = did_you_mean(name, tenants) or f" {_there(tenants)}"
            yield f"routing.strategies.tenants names tenant '{name}', which is not configured{hint}"


def doubtful_limits(
    owner: str, limits: Sequence[BudgetConfig | RateConfig], providers: Sequence[ProviderConfig]
) -> Iterator[str]:
    """Yield a message for each budget or rate of an unknown provider or model, or set twice."""
    offers = {
        p.id: {name for model in p.models for name in (model.model_id, f"{p.id}/{model.model_id}")}
        for p in providers
    }
    everything = {name for names in offers.values() for name in names}
    for limit in limits:
        if limit.provider is not None and limit.provider not in offers:
            yield f"{owner} names provider '{limit.provider}', which is not configured {_there(offers)}"
        elif limit.model is not None:
            there = everything if limit.provider is None else offers[limit.provider]
            if limit.model not in there:
                who = "no provider has"
                if limit.provider is not None:
                    who = f"provider '{limit.provider}' does not have"
                yield f"{owner} names model '{limit.model}', which {who} {_there(there)}"
    windows = Counter(
        (limit.provider, limit.model, limit.window) for limit in limits if isinstance(limit, BudgetConfig)
    )
    if any(count > 1 for count in windows.values()):
        yield f"{owner} is set twice for the same window: keep one of them"


def _limits_of(settings: Settings) -> Iterator[tuple[str, Sequence[BudgetConfig | RateConfig]]]:
    """Yield every list of budgets or rates, with its name in messages."""
    yield "A budget", settings.budgets
    yield "A rate", settings.rates
    for tenant in settings.tenants:
        yield f"A budget of tenant '{tenant.id}'", tenant.budgets
        yield f"A rate of tenant '{tenant.id}'", tenant.rates


def _models_of(settings: Settings) -> set[str]:
    """Return every model by both of its names."""
    pairs = [
        (provider.id, model.model_id) for provider in settings.llm_providers for model in provider.models
    ]
    return {name for _, name in pairs} | {f"{provider}/{name}" for provider, name in pairs}


def _there(names: Iterable[str]) -> str:
    return f"(there are: {', '.join(sorted(names)) or 'none'})"


def _doubtful_defaults(defaults: DefaultModels, providers: Sequence[ProviderConfig]) -> Iterator[str]:
    known = {model.model_id for provider in providers for model in provider.models}
    for kind, name in defaults:
        if name is not None and name not in known:
            there = ", ".join(sorted(known)) or "none"
            yield f"Default {kind} model '{name}' not found in any provider (there are: {there})"
