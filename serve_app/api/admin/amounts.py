"""The gateway's own budget, the amounts spent, and their JSON."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from serve_app.api.admin.service import AdminService
from serve_app.control.backend import Backend, Backends, backends_of, first_vllm
from serve_app.control.machine_report import Machine, hourly_of_vllm, machines_of
from serve_app.control.runtime_config import RuntimeConfig
from serve_app.ledger.cost_report import Sum, by_type
from serve_app.ledger.store import Spend
from serve_app.limits.limit import Limit, Scope, Unit, Window
from serve_app.pricing.money import dollars

_SHOWN_FIRST = (Window.TOTAL, Window.MONTH, Window.DAY)


@dataclass(frozen=True, slots=True)
class Money:
    """
    The amounts spent in one period, in nano-dollars.

    Fields:
        by_type: the sums of the ledger by provider type: tokens, shares of machines, and the idle time of
            hosted models.
        hours: the cost of the machine behind vLLM's endpoint.
        idle: the part of `hours` that no request has paid. Only this part is added to `by_type` in `total`,
            so that nothing counts twice.
        machines: by provider id.
    """

    by_type: dict[str, int]
    hours: int
    idle: int
    machines: dict[str, Machine]

    @property
    def total(self) -> int:
        return sum(self.by_type.values()) + self.idle

    def of(self, backend: Backend) -> int:
        """Return the amount of one of the two backends."""
        return self.by_type.get(backend, 0) + (self.idle if backend is Backend.VLLM else 0)


def gateway_budget(runtime_config: RuntimeConfig, tenant: str | None = None) -> Limit | None:
    """Return the budget of the gateway or of a tenant, of several windows the longest; None if unset."""
    scope = Scope(tenant)
    budgets = [
        limit for limit in runtime_config.limits if limit.unit is Unit.NANO_DOLLARS and limit.scope == scope
    ]
    return min(budgets, key=lambda limit: _SHOWN_FIRST.index(limit.window), default=None)


def spent(
    spends: Sequence[Spend], service: AdminService, backends: Backends, since: float, until: float
) -> Money:
    """Return the amounts of these sums, and of the machine hours between two timestamps."""
    types = {provider.id: provider.type for provider in service.settings.llm_providers}
    sums: dict[str, Sum] = by_type(spends, types)
    up_ms = round(1000 * max(0.0, backends.vllm_up_s(until) - backends.vllm_up_s(since)))
    is_known = backends.vllm_since is not None
    machines = machines_of(service.settings, spends, up_ms if is_known else None)
    vllm, machine = first_vllm(service.settings), Machine(hourly_of_vllm(service.settings), up_ms)
    if vllm is not None and is_known:  # otherwise its hours, if any, still have to be paid
        machine = machines[vllm.id]
    costs = {name: its.cost for name, its in sums.items()}
    return Money(costs, machine.cost or 0, machine.idle or 0, machines)


def spent_by_tenant(spends: Sequence[Spend], service: AdminService) -> Money:
    """Return the amounts of one tenant's sums; idle machine time belongs to no tenant."""
    types = {provider.id: provider.type for provider in service.settings.llm_providers}
    return Money({name: its.cost for name, its in by_type(spends, types).items()}, 0, 0, {})


async def spent_in_window(
    service: AdminService, runtime_config: RuntimeConfig, budget: Limit | None, tenant: str | None = None
) -> Money:
    """Return the amounts of the budget's current window; without a budget, of all time."""
    now = service.clock.now()
    since = budget.window.start(now) if budget else 0.0
    spends = await service.spends(since, tenant=tenant)
    if tenant is not None:
        return spent_by_tenant(spends, service)
    return spent(spends, service, backends_of(service.settings, runtime_config.backend), since, now)


def told(budget: Limit | None, used: int) -> dict[str, Any]:
    """Return the JSON of a budget in US dollars; all values are null without a budget."""
    if budget is None:
        return {"budget_limit": None, "remaining": None, "budget_used_percent": None, "window": None}
    return {
        "budget_limit": in_dollars(budget.amount),
        "remaining": in_dollars(max(0, budget.amount - used)),
        "budget_used_percent": round(100 * used / budget.amount, 2) if budget.amount else 100.0,
        "window": budget.window.value,
    }


def in_dollars(nano: int) -> float:
    """Return US dollars, rounded to six decimals."""
    return round(dollars(nano), 6)
