"""What an operator changes while the gateway runs, over what the configuration says."""

from pydantic import Field, StrictBool

from serve_app.config.amounts import PricePer1k, PricePerUse, Priority
from serve_app.config.base import Config


class PriceOverride(Config):
    """
    A target's whole price, in US dollars per 1,000 tokens: nothing of what it cost before is left.

    What is read from a cache, or put into one, costs what other input does unless it has a price here;
    `cost_per_search` is for one search that the vendor runs.
    """

    cost_per_1k_input: PricePer1k
    cost_per_1k_output: PricePer1k = 0.0
    cost_per_1k_cached: PricePer1k | None = None
    cost_per_1k_cache_write: PricePer1k | None = None
    cost_per_search: PricePerUse | None = None


class ProviderOverride(Config):
    """Whether a provider is asked at all, and its priority; None: as configured."""

    enabled: StrictBool | None = None
    priority: Priority | None = None


class BackendState(Config):
    """
    The active backend (`anthropic` or `vllm`) and the address of vLLM; None: as configured.

    `vllm_since` is when the first endpoint of vLLM was known, in seconds since the epoch. In the store the
    two are records of their own, `current` and `vllm`, so that who changes one takes nothing from the other.
    """

    current: str | None = None
    vllm_endpoint: str | None = Field(default=None, pattern=r"^https?://[^\s/@]+", max_length=2000)
    vllm_since: float | None = None
