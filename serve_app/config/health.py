"""How providers are looked at."""

from collections.abc import Mapping
from typing import Any

from pydantic import AliasChoices, Field

from serve_app.config.base import Config

OLD_INTERVAL = "health_check_interval"


class HealthPolicy(Config):
    """
    Every router looks at every provider once in `interval_s` seconds, or so: never in step with the others.

    A look that brings nothing within `timeout_s` has found the provider unhealthy.
    """

    interval_s: float = Field(
        default=60.0, ge=1, le=3600, validation_alias=AliasChoices("interval_s", "interval", OLD_INTERVAL)
    )
    timeout_s: float = Field(
        default=5.0, gt=0, le=5, validation_alias=AliasChoices("timeout_s", "timeout", "timeout_secs")
    )


def with_interval_under_health(values: Mapping[str, Any]) -> Mapping[str, Any]:
    """The same configuration with `health_check_interval` of the top level moved to `health`."""
    if OLD_INTERVAL not in values:
        return values
    section = values.get("health") or {}
    if not isinstance(section, Mapping):
        return values  # the types will say so
    if {"interval_s", "interval", OLD_INTERVAL} & set(section):
        raise ValueError(f"'{OLD_INTERVAL}' means the same as 'health.interval_s'; keep one of them")
    rest = {key: value for key, value in values.items() if key != OLD_INTERVAL}
    return {**rest, "health": {**section, "interval_s": values[OLD_INTERVAL]}}
