"""How a target is chosen."""

from enum import StrEnum

from pydantic import AliasChoices, Field

from serve_app.config.amounts import CostLimit
from serve_app.config.base import Config
from serve_app.config.data_policy import DataPolicy


class StrategyName(StrEnum):
    """What orders the eligible targets; one file each in `routing/strategies`."""

    FALLBACK = "fallback"
    CHEAPEST = "cheapest"
    FASTEST = "fastest"
    BEST_QUALITY = "best_quality"
    ROUND_ROBIN = "round_robin"


class OnStreamFailure(StrEnum):
    """
    What happens when an answer breaks off after part of it went to the caller.

    `error`: an error event ends the stream. `resume`: the next target is asked, and what the caller has
    already is skipped where the new answer begins with it. `hold`: nothing is sent before the answer is
    whole.
    """

    ERROR = "error"
    RESUME = "resume"
    HOLD = "hold"


class RoutingConfig(Config):
    """
    The rules of routing.

    `auto_fallback`: when a target fails, try the next one; False: only the first eligible one is asked.
    `max_cost_per_request` is in US dollars and is
    compared with the estimate. `request_timeout` bounds, in seconds, all attempts of one request together
    (of a stream: until its first token). `metadata`: put `sekha_metadata.routing` into answers.
    `fallback_on_content_filter`: a request that one provider's filter refuses goes to the next.
    `data_policy`: `local` keeps every request on providers whose data stays on machines of one's own.
    `cheaper_below_percent`: with less than that left of one of the caller's budgets, the cheapest goes first.
    `require_parameters`: a target that would drop a parameter of the request is not asked.
    """

    strategy: StrategyName = StrategyName.FALLBACK
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
    require_parameters: bool = False
