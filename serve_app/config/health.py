"""The settings of health checks."""

from collections.abc import Mapping
from typing import Any

from pydantic import AliasChoices, Field

from serve_app.config.base import Config

OLD_INTERVAL = "health_check_interval"


class HealthPolicy(Config):
    """
    The interval and time limit of health checks.

    Attributes:
        interval_s: seconds between two checks of a provider by each router, varied so that routers do not
            check in step.
        timeout_s: a check that takes longer counts as unhealthy.
    """

    interval_s: float = Field(
        default=60.0, ge=1, le=3600, validation_alias=AliasChoices("interval_s", "interval", OLD_INTERVAL)
    )
    timeout_s: float = Field(
        default=5.0, gt=0, le=5, validation_alias=AliasChoices("timeout_s", "timeout", "timeout_secs")
    )


def with_interval_under_health(values: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the configuration with a top-level `health_check_interval` moved to `health`."""
    if OLD_INTERVAL not in values:
        return values
    section = values.get("health") or {}
    if not isinstance(section, Mapping):
        return values  # the types report it
    if {"interval_s", "interval", OLD_INTERVAL} & set(section):
        raise ValueError(f"'{OLD_INTERVAL}' means the same as 'health.interval_s'; keep one of them")
    rest = {key: value for key, value in values.items() if key != OLD_INTERVAL}
    return {**rest, "health": {**section, "interval_s": values[OLD_INTERVAL]}}
