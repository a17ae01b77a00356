"""A tenant and its limits: money, rates, models, tasks."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from serve_app.config.amounts import Dollars, Rate
from serve_app.config.base import Config
from serve_app.config.data_policy import DataPolicy
from serve_app.config.model import ModelTask

TENANT_ID = r"^[a-z0-9_-]+$"


class BudgetWindow(StrEnum):
    """The time after which a budget starts anew, in UTC; `total` never does."""

    TOTAL = "total"
    DAY = "day"
    MONTH = "month"


class BudgetConfig(Config):
    """At most `limit` US dollars within each window; optionally for one provider or model."""

    limit: Dollars
    window: BudgetWindow = BudgetWindow.MONTH
    provider: str | None = None
    model: str | None = None


class RateConfig(Config):
    """
    Limits of requests and tokens per minute, and of concurrent requests; optionally for one provider or
    model.
    """

    requests_per_minute: Rate | None = None
    tokens_per_minute: Rate | None = None
    concurrent_requests: Rate | None = None
    provider: str | None = None
    model: str | None = None


def _as_list(value: Any) -> Any:
    """Accept a single value in place of a list."""
    return (value,) if isinstance(value, Mapping | Config) else value


Budgets = Annotated[tuple[BudgetConfig, ...], BeforeValidator(_as_list)]
Rates = Annotated[tuple[RateConfig, ...], BeforeValidator(_as_list)]


class TenantConfig(Config):
    """
    A team, a customer or a project that pays.

    Attributes:
        models, tasks: what its keys may use, models as model ids or `provider/model`; None: everything.
        data_policy: applies to every request of its keys; None: adds nothing.
        vendor_objects: its requests may name objects of the operator's accounts at vendors, such as files.
    """

    id: str = Field(pattern=TENANT_ID, max_length=64)
    budgets: Budgets = ()
    rates: Rates = ()
    models: tuple[str, ...] | None = None
    tasks: tuple[ModelTask, ...] | None = None
    data_policy: DataPolicy | None = None
    vendor_objects: bool = False
