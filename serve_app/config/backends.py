"""The two backends, as far as their providers do not say it: where vLLM is, and what an hour costs."""

from pydantic import Field

from serve_app.config.amounts import PricePerHour
from serve_app.config.base import Config


class BackendsConfig(Config):
    """
    `vllm_endpoint` is vLLM's address without `/v1`; none: that of the first provider of type `vllm`.

    From the moment an endpoint is known its hours are counted, at `vllm_hourly_rate` US dollars each. Where
    that is set, it is also the `hourly_rate` of every provider of type `vllm` that has none of its own.
    `allow_private`: an endpoint that is set at run time may have a private or loopback address.
    """

    vllm_endpoint: str | None = Field(default=None, pattern=r"^https?://[^\s/@]+", max_length=2000)
    vllm_hourly_rate: PricePerHour = 0.16
    allow_private: bool = True

    @property
    def api_base(self) -> str | None:
        """Where the API at `vllm_endpoint` is."""
        return f"{tidy(self.vllm_endpoint)}/v1" if self.vllm_endpoint else None


def tidy(address: str) -> str:
    """Return an address without a trailing slash or `/v1`."""
    return address.strip().rstrip("/").removesuffix("/v1").rstrip("/")
