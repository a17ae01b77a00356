"""A tenant, and how much of the gateway it may use: money, rates, models, tasks."""

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
    """How often a budget begins anew, in UTC; `total` never does."""

    TOTAL = "total"
    DAY = "day"
    MONTH = "month"


class BudgetConfig(Config):
    """
    At most `limit` US dollars within each window.

    `provider` and `model` narrow it down to what goes there.
    """

    limit: Dollars
    window: BudgetWindow = BudgetWindow.MONTH
    provider: str | None = None
    model: str | None = None


class RateConfig(Config):
    """
    At most so many requests and tokens within each minute, and so many requests at once.

    `provider` and `model` narrow it down to what goes there.
    """

    requests_per_minute: Rate | None = None
    tokens_per_minute: Rate | None = None
    concurrent_requests: Rate | None = None
    provider: str | None = None
    model: str | None = None


def _as_list(value: Any) -> Any:
    """One alone may stand without its list."""
    return (value,) if isinstance(value, Mapping | Config) else value


Budgets = Annotated[tuple[BudgetConfig, ...], BeforeValidator(_as_list)]
Rates = Annotated[tuple[RateConfig, ...], BeforeValidator(_as_list)]


class TenantConfig(Config):
    """
    Somebody who pays: a team, a customer, a project.

    `models` (model ids or `provider/model`) and `tasks` are what its keys may use at most; None: everything.
    `data_policy` binds every request of its keys; None: it adds nothing.
    """

    id: str = Field(pattern=TENANT_ID, max_length=64)
    budgets: Budgets = ()
    rates: Rates = ()
    models: tuple[str, ...] | None = None
    tasks: tuple[ModelTask, ...] | None = None
    data_policy: DataPolicy | None = None
