"""The settings that operators change at run time, which override the configuration."""

from pydantic import Field, StrictBool

from serve_app.config.amounts import PricePer1k, PricePerUse, Priority
from serve_app.config.base import Config


class PriceOverride(Config):
    """
    The price of a target, which replaces its former price completely.

    In US dollars per 1,000 tokens. Cache reads and writes cost as much as other input, unless they have a
    price here.

    Attributes:
        cost_per_search: US dollars for one search that the vendor runs.
        cost_per_minute: US dollars for a minute of sound, read or written.
        cost_per_1k_characters: US dollars for 1,000 characters of text that is spoken.
    """

    cost_per_1k_input: PricePer1k
    cost_per_1k_output: PricePer1k = 0.0
    cost_per_1k_cached: PricePer1k | None = None
    cost_per_1k_cache_write: PricePer1k | None = None
    cost_per_search: PricePerUse | None = None
    cost_per_image: PricePerUse | None = None
    cost_per_minute: PricePerUse | None = None
    cost_per_1k_characters: PricePer1k | None = None


class ProviderOverride(Config):
    """A provider's priority, and whether it is used at all; None: as configured."""

    enabled: StrictBool | None = None
    priority: Priority | None = None


class BackendState(Config):
    """
    The active backend (`anthropic` or `vllm`) and the address of vLLM; None: as configured.

    The store keeps the two in separate records, `current` and `vllm`, so that a change of one keeps the
    other.

    Attributes:
        vllm_since: when the first endpoint of vLLM was known, in seconds since the epoch.
    """

    current: str | None = None
    vllm_endpoint: str | None = Field(default=None, pattern=r"^https?://[^\s/@]+", max_length=2000)
    vllm_since: float | None = None
