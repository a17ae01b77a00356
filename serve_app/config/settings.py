"""The whole configuration, checked as a whole."""

from collections import Counter
from typing import Any

from pydantic import AliasChoices, Field, field_validator, model_validator

from serve_app.config.auth import AuthConfig
from serve_app.config.base import Config
from serve_app.config.policy import BreakerPolicy
from serve_app.config.provider import ProviderConfig
from serve_app.config.routing import RoutingConfig
from serve_app.config.scaling import Autoscaling, Scaling


class DefaultModels(Config):
    """The models that win among equals: one for each kind of work (contract 3.1 step 6)."""

    embedding: str | None = None
    chat_fast: str | None = None
    chat_smart: str | None = None
    chat_vision: str | None = None


class RouterConfig(Scaling):
    """The size of the router, and what it lets in: bodies above `max_body_mb` are refused with 413."""

    autoscaling: Autoscaling = Autoscaling(target_ongoing_requests=200)
    max_ongoing_requests: int = Field(default=4000, ge=1)
    num_cpus: float = Field(default=0.2, ge=0)
    max_body_mb: float = Field(default=64, gt=0)


class Settings(Config):
    """Everything the gateway is told (contract 2.1)."""

    version: str = Field(default="2.0", validation_alias=AliasChoices("version", "config_version"))
    llm_providers: tuple[ProviderConfig, ...] = Field(
        default=(), validation_alias=AliasChoices("llm_providers", "providers")
    )
    default_models: DefaultModels | None = None
    circuit_breaker: BreakerPolicy = BreakerPolicy()
    routing: RoutingConfig = RoutingConfig()
    router: RouterConfig = RouterConfig()
    auth: AuthConfig = AuthConfig()
    host: str = Field(default="0.0.0.0", validation_alias=AliasChoices("host", "server_host"))  # noqa: S104
    port: int = Field(default=5001, ge=0, le=65535, validation_alias=AliasChoices("port", "server_port"))
    log_level: str = "INFO"

    @model_validator(mode="before")
    @classmethod
    def _breaker_may_stand_under_routing(cls, values: Any) -> Any:
        """The reference configuration keeps it at `routing.circuit_breaker`, with three failures as default."""
        routing = values.get("routing") if isinstance(values, dict) else None
        if isinstance(routing, dict) and "circuit_breaker" in routing:
            rest = {key: value for key, value in routing.items() if key != "circuit_breaker"}
            nested = {"failure_threshold": 3, **(routing["circuit_breaker"] or {})}
            return {"circuit_breaker": nested, **values, "routing": rest}
        return values

    @field_validator("log_level")
    @classmethod
    def _is_a_level(cls, value: str) -> str:
        level = {"WARN": "WARNING"}.get(value.upper(), value.upper())
        if level not in {"DEBUG", "INFO", "WARNING", "ERROR"}:
            raise ValueError(f"'{value}' is not a log level: debug, info, warn, error")
        return level

    @model_validator(mode="after")
    def _makes_sense(self) -> "Settings":
        if not self.llm_providers:
            raise ValueError("No providers configured")
        twice = [id for id, count in Counter(p.id for p in self.llm_providers).items() if count > 1]
        if twice:
            raise ValueError(f"Duplicate provider IDs found in configuration: {', '.join(twice)}")
        if self.default_models is None:
            raise ValueError("default_models must be specified")
        known = {model.model_id for provider in self.llm_providers for model in provider.models}
        for kind, name in self.default_models:
            if name is not None and name not in known:
                raise ValueError(f"Default {kind} model '{name}' not found in any provider")
        return self

    def provider(self, provider_id: str) -> ProviderConfig:
        """The provider of that id; KeyError names what there is."""
        for provider in self.llm_providers:
            if provider.id == provider_id:
                return provider
        raise KeyError(f"no provider '{provider_id}': {', '.join(p.id for p in self.llm_providers)}")
