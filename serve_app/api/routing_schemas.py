"""The schemas of `/api/v1`: models, route, provider health."""

from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StrictBool

from serve_app.config.data_policy import DataPolicy, strictest
from serve_app.config.model import ModelTask
from serve_app.formats.json_body import MOST_DOLLARS, MOST_TOKENS
from serve_app.formats.route_question import RouteQuestion
from serve_app.formats.routing_fields import LONGEST_NAME, MOST_MODELS, MOST_PROVIDERS, Wishes
from serve_app.pricing.money import nano_dollars

Dollars = Annotated[float, Field(strict=True, ge=0, le=MOST_DOLLARS)]
Name = Annotated[str, Field(min_length=1, max_length=LONGEST_NAME)]
ProviderNames = Annotated[
    list[Name],
    Field(
        max_length=MOST_PROVIDERS,
        description="Ids or types of providers that are there for the caller: another one is a 400.",
    ),
]


def _a_number(value: Any) -> Any:
    if value is not None and (isinstance(value, bool) or not isinstance(value, int | float)):
        raise ValueError("Input should be a number")
    return value


# 5.0 is an integer in JSON; "5" and true are not.
Positive = Annotated[int, Field(ge=1, le=MOST_TOKENS), BeforeValidator(_a_number)]


class ApiModel(BaseModel):
    """The base of the schemas; unknown fields of a request are ignored."""

    model_config = ConfigDict(extra="ignore", protected_namespaces=())


class ModelEntry(ApiModel):
    """One (provider, model, task) entry of the configuration."""

    model_id: str
    provider_id: str
    task: str
    context_window: int
    dimension: int | None
    supports_vision: bool = False
    supports_audio: bool = False


class ProviderWords(ApiModel):
    """The providers that may serve a request: ids or types. Unknown fields are ignored."""

    only: ProviderNames | None = None
    ignore: ProviderNames | None = None
    order: ProviderNames | None = None
    allow_fallbacks: StrictBool | None = None
    data_policy: DataPolicy | None = None


class RouteRequest(ApiModel):
    """
    A question to the router; nothing is called. `max_cost` is in US dollars.

    `model` and `models` are names as in a request, `preferred_model` is a preference.
    """

    task: str = Field(json_schema_extra={"enum": [task.value for task in ModelTask]})
    model: Name | None = None
    models: Annotated[list[Name], Field(max_length=MOST_MODELS)] | None = None
    provider: ProviderWords | None = None
    data_policy: DataPolicy | None = None
    preferred_model: str | None = None
    require_vision: StrictBool = False
    require_audio: StrictBool = False
    max_cost: Dollars | None = None
    context_size: Positive | None = None
    include_fallbacks: StrictBool = False

    @property
    def question(self) -> RouteQuestion:
        """Return the question as the gateway's own type."""
        return RouteQuestion(
            task=self.task,
            model=self.model,
            preferred_model=self.preferred_model,
            require_vision=self.require_vision,
            require_audio=self.require_audio,
            max_cost=None if self.max_cost is None else nano_dollars(self.max_cost),
            context_size=self.context_size,
            wishes=self.wishes,
        )

    @property
    def wishes(self) -> Wishes:
        """Return the caller's routing rules, as of a request."""
        provider = self.provider or ProviderWords()
        policies = (self.data_policy, provider.data_policy)
        return Wishes(
            models=tuple(dict.fromkeys(self.models or ())),
            only=None if provider.only is None else tuple(provider.only),
            ignore=tuple(provider.ignore or ()),
            order=tuple(dict.fromkeys(provider.order or ())),
            allow_fallbacks=provider.allow_fallbacks is not False,
            local_only=strictest(policies) is DataPolicy.LOCAL,
        )


class FallbackChoice(ApiModel):
    """A target that would be tried next."""

    provider_id: str
    model_id: str
    estimated_cost: float | None
    provider_type: str


class RouteAnswer(FallbackChoice):
    """The target that a request would go to. A cost is null if the price is unknown."""

    reason: str
    fallbacks: list[FallbackChoice] | None = None


class BreakerView(ApiModel):
    """A circuit breaker; some values have two keys, for clients of either name."""

    state: str
    failure_count: int
    success_count: int
    last_failure_time: str | None
    last_failure: str | None
    last_state_change: str
    time_since_failure: float | None


class HostedView(ApiModel):
    """
    The load of a model that the gateway hosts itself.

    `state` decides about the next request: `warm`: it is served now; `saturated`, `starting`: it goes to
    another target if it may; `cold`: likewise, and a replica is started for later requests. `running` counts
    the requests of all `replicas`, running or waiting.
    """

    state: str
    replicas: int
    starting: int
    running: int


class ProviderView(ApiModel):
    """
    One provider's health.

    `status` is `healthy` if its breaker is closed, unless the last health check of its upstream failed:
    `error` says why. `last_check` is null if there was no check, because it would cost tokens. `local` is
    null if the model runs elsewhere.
    """

    provider_type: str
    status: str
    latency_ms: float | None = None
    error: str | None = None
    last_check: str | None = None
    circuit_breaker: BreakerView
    circuit_breaker_state: str
    models_count: int
    local: HostedView | None = None


class ProvidersView(ApiModel):
    """All providers' health; `healthy` counts closed breakers."""

    providers: dict[str, ProviderView]
    total_providers: int
    healthy_providers: int
    total_models: int


class HealthView(ApiModel):
    """`GET /health`."""

    status: str
    ollama_status: dict[str, Any]
    models_loaded: list[str]
    timestamp: str
