"""The policies of retries and circuit breakers."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Any

from pydantic import AliasChoices, Field, model_validator

from serve_app.config.base import Config


class Patience(StrEnum):
    """
    The targets at which all retries of a policy are made.

    Attributes:
        LAST_TARGET: only the last available one; others get one quick retry.
        EVERY_TARGET: all of them.
    """

    LAST_TARGET = "last_target"
    EVERY_TARGET = "every_target"


class RetryPolicy(Config):
    """
    The number and the delays of retries at the same target.

    The delay grows from `first_delay_s` by `factor` up to `max_delay_s`, plus up to a quarter at random. A
    delay announced by the provider is used instead, up to `retry_after_max_s`.

    While another target is available, `patience` decides: `last_target` retries this one only once, within
    half a second, or after an announced delay of at most `retry_after_short_s`. Values in a configuration
    apply exactly: configured delays or retries apply at every target, and a configured `retry_after_max_s` is
    the limit there as well.
    """

    max_retries: int = Field(default=3, ge=0, le=20)
    first_delay_s: float = Field(default=1.0, ge=0, le=60)
    factor: float = Field(default=2.0, ge=1, le=10)
    max_delay_s: float = Field(default=60.0, ge=0, le=600)
    retry_after_max_s: float = Field(default=10.0, ge=0, le=600)
    retry_after_short_s: float = Field(default=3.0, ge=0, le=600)
    patience: Patience = Patience.LAST_TARGET

    @model_validator(mode="before")
    @classmethod
    def _what_is_written_counts_exactly(cls, values: Any) -> Any:
        if not isinstance(values, Mapping):
            return values
        implied: dict[str, Any] = {}
        if {"max_retries", "first_delay_s", "factor", "max_delay_s"} & set(values):
            implied["patience"] = Patience.EVERY_TARGET
        if "retry_after_max_s" in values:
            implied["retry_after_short_s"] = values["retry_after_max_s"]
        return {**implied, **values}


_RESET_NAMES = ("reset_timeout", "timeout_secs", "timeout_seconds")


class BreakerPolicy(Config):
    """
    The conditions under which a provider's circuit breaker opens and closes.

    A configuration with this section gets these defaults, and its own delays exactly: no health check
    shortens a configured `reset_timeout`. Without this section, `USUAL_BREAKER` applies.

    Attributes:
        failure_threshold: failures in a row that open the breaker.
        failure_rate: the share of failures within ten seconds that opens it, with at least
            `failure_rate_calls` calls; None: off.
        reset_timeout: seconds before a probe is sent; 0: the next request is the probe. Each failed probe
            doubles them, up to `reset_timeout_max`.
        check_interval_s: seconds between free health checks of an open breaker's provider. After a successful
            one the next request is the probe; 0: no checks.
        half_open_timeout: a probe without a result within these seconds is forgotten, and the next one is
            sent.
        success_threshold: successful probes that close the breaker.
    """

    failure_threshold: int = Field(default=5, ge=1, le=10)
    failure_rate: float | None = Field(default=0.5, gt=0, le=1)
    failure_rate_calls: int = Field(default=10, ge=1, le=10_000)
    reset_timeout: float = Field(default=60.0, ge=0, le=600, validation_alias=AliasChoices(*_RESET_NAMES))
    reset_timeout_max: float | None = Field(default=None, ge=0, le=600)
    check_interval_s: float = Field(default=5.0, ge=0, le=600)
    half_open_timeout: float = Field(default=30.0, gt=0, le=600)
    success_threshold: int = Field(
        default=2, ge=1, validation_alias=AliasChoices("success_threshold", "half_open_requests")
    )

    @model_validator(mode="before")
    @classmethod
    def _a_written_wait_counts_exactly(cls, values: Any) -> Any:
        if isinstance(values, Mapping) and any(name in values for name in _RESET_NAMES):
            return {"check_interval_s": 0.0, **values}
        return values

    def wait_s(self, openings: int) -> float:
        """
        Return the seconds that a breaker stays open, by how often it has opened since it was last closed.
        """
        longest_s = max(self.reset_timeout, self.reset_timeout_max or 0.0)
        return min(longest_s, self.reset_timeout * 2.0 ** min(max(openings - 1, 0), 16))


# The policy without a `circuit_breaker` section, which closes a breaker within a minute of the provider's
# recovery: the longest delay leaves five seconds for the probes.
USUAL_BREAKER = BreakerPolicy(reset_timeout=20.0, reset_timeout_max=55.0, check_interval_s=5.0)
