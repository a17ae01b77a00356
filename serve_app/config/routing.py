"""The settings of routing."""

from enum import StrEnum
from typing import Annotated

from pydantic import AfterValidator, AliasChoices, Field, field_validator

from serve_app.config.amounts import CostLimit
from serve_app.config.base import Config
from serve_app.config.data_policy import DataPolicy
from serve_app.config.mistakes import WholeMistake
from serve_app.config.model import ModelTask
from serve_app.config.names import did_you_mean
from serve_app.config.plugins import STRATEGIES, plugin_mistake
from serve_app.config.web_hosts import Hosts


class StrategyName(StrEnum):
    """The built-in strategies; one file each in `routing/strategies`."""

    FALLBACK = "fallback"
    CHEAPEST = "cheapest"
    FASTEST = "fastest"
    BEST_QUALITY = "best_quality"
    ROUND_ROBIN = "round_robin"


def _known_strategy(name: str) -> str:
    if mistake := plugin_mistake(STRATEGIES, name):
        raise WholeMistake(mistake)
    return name


# A built-in strategy, or one that an installed package offers.
Strategy = Annotated[str, AfterValidator(_known_strategy)]


class StrategyChoices(Config):
    """
    Strategies for some requests, instead of the default one.

    The first that applies counts: that of the model which the request names, of its tenant, of its task.

    Attributes:
        models: by model id, or by `provider/model` for requests that name it so.
        tenants: by tenant id.
        tasks: by task.
    """

    models: dict[str, Strategy] = Field(default_factory=dict)
    tenants: dict[str, Strategy] = Field(default_factory=dict)
    tasks: dict[str, Strategy] = Field(default_factory=dict)

    @field_validator("tasks")
    @classmethod
    def _are_tasks(cls, value: dict[str, str]) -> dict[str, str]:
        tasks = [task.value for task in ModelTask]
        if unknown := next((name for name in value if name not in tasks), None):
            hint = did_you_mean(unknown, tasks) or f"; there are: {', '.join(tasks)}"
            raise WholeMistake(f"there is no task '{unknown}'{hint}")
        return value

    @property
    def names(self) -> set[str]:
        """Return the strategies that are chosen for something."""
        return {*self.models.values(), *self.tenants.values(), *self.tasks.values()}


class OnStreamFailure(StrEnum):
    """
    The handling of a stream that breaks off after a part of it was sent to the caller.

    Attributes:
        ERROR: the stream ends with an error event.
        RESUME: the next target answers; what the caller has already is skipped, where the new answer begins
            with it.
        HOLD: nothing is sent before the answer is complete.
    """

    ERROR = "error"
    RESUME = "resume"
    HOLD = "hold"


class RoutingConfig(Config):
    """
    The settings of routing.

    Attributes:
        strategy: orders the targets of a request, unless `strategies` has another one for it.
        auto_fallback: try the next target if one fails; False: only the first eligible one is tried.
        max_cost_per_request: US dollars, compared with the estimate.
        request_timeout: seconds for all attempts of a request together; for a stream, until its first token.
        metadata: add `sekha_metadata.routing` to answers.
        fallback_on_content_filter: try the next target if one's content filter refuses the request.
        data_policy: `local` keeps every request on providers whose data stays on local machines.
        cheaper_below_percent: with less than this left of one of the caller's budgets, the cheapest target is
            first.
        allowed_mcp_servers: hosts of the MCP servers that a request may have a vendor call; none: no server.
        require_parameters: skip targets that would drop a parameter of the request.
    """

    strategy: Strategy = StrategyName.FALLBACK.value
    strategies: StrategyChoices = StrategyChoices()
    auto_fallback: bool = Field(
        default=True, validation_alias=AliasChoices("auto_fallback", "enable_fallback")
    )
    require_vision_for_images: bool = Field(
        default=True, validation_alias=AliasChoices("require_vision_for_images", "require_vision")
    )
    max_cost_per_request: CostLimit | None = Field(
        default=None,
        validation_alias=AliasChoices("max_cost_per_request", "cost_limit_per_request", "max_cost"),
    )
    request_timeout: float = Field(default=300.0, gt=0, le=3600)
    metadata: bool = True
    on_stream_failure: OnStreamFailure = OnStreamFailure.ERROR
    fallback_on_content_filter: bool = False
    data_policy: DataPolicy = DataPolicy.ANY
    cheaper_below_percent: float | None = Field(default=None, gt=0, le=100)
    allowed_mcp_servers: Hosts = ()
    require_parameters: bool = False
