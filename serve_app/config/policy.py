"""Numbers that configure a behaviour."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Any

from pydantic import AliasChoices, Field, model_validator

from serve_app.config.base import Config


class Patience(StrEnum):
    """
    Where all the retries of a policy are made.

    `last_target`: only where no other target can be asked; before that, one quick retry. `every_target`:
    everywhere.
    """

    LAST_TARGET = "last_target"
    EVERY_TARGET = "every_target"


class RetryPolicy(Config):
    """
    How often, and after what wait, the same target is retried.

    At most `max_retries` more attempts follow the first one. The wait begins with `first_delay_s` and grows
    by `factor` up to `max_delay_s`; up to a quarter is added by chance. Where the provider says how long to
    wait, that counts instead, up to `retry_after_max_s`.

    While another target can be asked, `patience` decides: `last_target` asks this one again once, within half
    a second, or after an announced wait of at most `retry_after_short_s`. What a configuration writes counts
    exactly: written waits or retries hold at every target, and a written `retry_after_max_s` is the limit
    there as well.
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
    When a provider's circuit breaker opens, and when the provider is tried again.

    `failure_threshold` failures in a row open it, and so does a share of `failure_rate` among at least
    `failure_rate_calls` calls within ten seconds. After `reset_timeout` seconds one probe at a time may try;
    each probe that fails doubles that wait, up to `reset_timeout_max`. `success_threshold` probes that
    succeed close it. A probe that brings no verdict within `half_open_timeout` seconds is forgotten and the
    next one may go. A `reset_timeout` of 0 makes the very next request the probe.

    While it is open, the provider's health is checked every `check_interval_s` seconds where that costs
    nothing, and a check that finds it well lets the next request be the probe at once; 0: no such checks.

    A configuration that has this section gets these defaults, and the waits that it writes exactly:
    no check shortens a written `reset_timeout`. See `USUAL_BREAKER` for one that has not.
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
        """Seconds that an open breaker waits for a probe when it has opened so often without closing."""
        longest_s = max(self.reset_timeout, self.reset_timeout_max or 0.0)
        return min(longest_s, self.reset_timeout * 2.0 ** min(max(openings - 1, 0), 16))


# Without a section of its own a gateway closes a breaker within a minute of the provider's recovery: the
# longest wait leaves five seconds for the probes.
USUAL_BREAKER = BreakerPolicy(reset_timeout=20.0, reset_timeout_max=55.0, check_interval_s=5.0)
