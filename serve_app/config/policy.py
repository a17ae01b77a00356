"""Numbers that configure a behaviour."""

from pydantic import AliasChoices, Field

from serve_app.config.base import Config


class RetryPolicy(Config):
    """
    How often, and after what wait, the same target is asked again (seed 004).

    At most `max_retries` more attempts follow the first one. The wait begins with `first_delay_s` and grows
    by `factor` up to `max_delay_s`; up to a quarter is added by chance. Where the provider says how long to
    wait, that counts instead, and above `retry_after_max_s` the next target is asked at once.
    """

    max_retries: int = Field(default=3, ge=0, le=20)
    first_delay_s: float = Field(default=1.0, ge=0, le=60)
    factor: float = Field(default=2.0, ge=1, le=10)
    max_delay_s: float = Field(default=60.0, ge=0, le=600)
    retry_after_max_s: float = Field(default=10.0, ge=0, le=600)


class BreakerPolicy(Config):
    """
    When a provider is left alone, and when it is tried again (contract 3.4).

    `failure_threshold` failures in a row open it; after `reset_timeout` seconds one probe at a time may try;
    `success_threshold` probes that succeed close it. A probe that brings no verdict within
    `half_open_timeout` seconds is forgotten and the next one may go. A `reset_timeout` of 0 makes the very
    next request the probe.
    """

    failure_threshold: int = Field(default=5, ge=1, le=10)
    reset_timeout: float = Field(
        default=60.0,
        ge=0,
        le=600,
        validation_alias=AliasChoices("reset_timeout", "timeout_secs", "timeout_seconds"),
    )
    half_open_timeout: float = Field(default=30.0, gt=0, le=600)
    success_threshold: int = Field(
        default=2, ge=1, validation_alias=AliasChoices("success_threshold", "half_open_requests")
    )
