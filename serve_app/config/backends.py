"""Settings of the two backends that their providers do not have: vLLM's endpoint and hourly cost."""

from pydantic import Field

from serve_app.config.amounts import PricePerHour
from serve_app.config.base import Config


class BackendsConfig(Config):
    """
    Settings of the backends.

    Attributes:
        vllm_endpoint: vLLM's address without `/v1`; None: that of the first provider of type `vllm`.
        vllm_hourly_rate: US dollars for an hour, counted once an endpoint is known. If set, it is also the
            `hourly_rate` of every provider of type `vllm` without one.
        allow_private: an endpoint that is set at run time may have a private or loopback address.
    """

    vllm_endpoint: str | None = Field(default=None, pattern=r"^https?://[^\s/@]+", max_length=2000)
    vllm_hourly_rate: PricePerHour = 0.16
    allow_private: bool = True

    @property
    def api_base(self) -> str | None:
        """Return the base URL of the API at `vllm_endpoint`; None: no endpoint is set."""
        return f"{tidy(self.vllm_endpoint)}/v1" if self.vllm_endpoint else None


def tidy(address: str) -> str:
    """Return an address without a trailing slash or `/v1`."""
    return address.strip().rstrip("/").removesuffix("/v1").rstrip("/")
