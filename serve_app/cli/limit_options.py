"""The options for limits and rights of `sekha keys create` and `sekha tenants set`."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import typer

from serve_app.cli.admin import FAILED
from serve_app.cli.configured import fail
from serve_app.config.amounts import MOST_DOLLARS
from serve_app.config.data_policy import DataPolicy
from serve_app.config.model import ModelTask
from serve_app.config.tenant import BudgetConfig, BudgetWindow

BudgetsOption = Annotated[
    list[str] | None,
    typer.Option("--budget", help="US dollars a month, or in a named window: 50, 5/day, 500/total."),
]
RateOption = Annotated[int | None, typer.Option("--rpm", min=1, help="Requests a minute.")]
TokensOption = Annotated[int | None, typer.Option("--tpm", min=1, help="Tokens a minute.")]
ModelsOption = Annotated[
    list[str] | None, typer.Option("--model", help="A model that it may use; repeatable.")
]
TasksOption = Annotated[
    list[ModelTask] | None, typer.Option("--task", help="A task that it may use; repeatable.")
]
DataPolicyOption = Annotated[
    DataPolicy | None, typer.Option(help="local: its requests never leave providers with local data.")
]
ClearOption = Annotated[
    list[str] | None,
    typer.Option(
        "--clear",
        help="Remove a limit; repeatable: budgets, or the one of a day, month or total; rates, rpm or tpm; "
        "models; tasks; data_policy.",
    ),
]

Tenant = Mapping[str, Any]
_RATES = {"rpm": "requests_per_minute", "tpm": "tokens_per_minute"}
_WINDOWS = tuple(BudgetWindow)
CLEARABLE = ("budgets", *_WINDOWS, "rates", *_RATES, "models", "tasks", "data_policy")


def limits_of(budgets: list[str] | None, rpm: int | None, tpm: int | None) -> dict[str, Any]:
    """Return budgets and rates in the format of the admin API."""
    given = {_RATES[name]: value for name, value in (("rpm", rpm), ("tpm", tpm)) if value is not None}
    return {"budgets": [_budget(text) for text in budgets or ()], "rates": [given] if given else []}


def cleared(present: Tenant, clear: Sequence[str]) -> Tenant:
    """Return the tenant without these limits; end the command for an unknown name."""
    after = dict(present)
    for name in clear:
        if name not in CLEARABLE:
            fail(f"'{name}' cannot be cleared; known: {', '.join(CLEARABLE)}", FAILED)
        if name in ("budgets", "rates"):
            after[name] = []
        elif name in ("models", "tasks", "data_policy"):
            after[name] = None
        elif name in _RATES:
            after["rates"] = _with_rates(after["rates"], {_RATES[name]: None})
        else:
            after["budgets"] = [b for b in after["budgets"] if not _is_for_all(b) or b["window"] != name]
    return after


def changed(present: Tenant, given: Mapping[str, Any]) -> Tenant:
    """
    Return the tenant with the given settings replaced, and everything else unchanged.

    A budget replaces the one of the same window, a rate the one of the same kind; those for a single provider
    or model stay. A list of models or tasks is replaced as a whole.
    """
    windows = {budget["window"] for budget in given["budgets"]}
    kept = [b for b in present["budgets"] if not _is_for_all(b) or b["window"] not in windows]
    rates = present["rates"]
    for rate in given["rates"]:
        rates = _with_rates(rates, rate)
    others = {name: given[name] for name in ("models", "tasks", "data_policy") if given.get(name)}
    if given.get("vendor_objects") is not None:
        others["vendor_objects"] = given["vendor_objects"]
    return {**present, "budgets": [*kept, *given["budgets"]], "rates": rates, **others}


def _with_rates(rates: Sequence[Mapping[str, Any]], fields: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Set these fields in the general rates: in each entry that has them, else in one of them."""
    for_all = [rate for rate in rates if _is_for_all(rate)]
    others = [rate for rate in rates if not _is_for_all(rate)]
    together: dict[str, Any] = {}
    for rate in for_all:
        for name, value in rate.items():
            if value is not None:
                together[name] = min(value, together.get(name, value)) if isinstance(value, int) else value
    together = {name: value for name, value in {**together, **fields}.items() if value is not None}
    return [*others, together] if together else others


def _is_for_all(limit: Mapping[str, Any]) -> bool:
    return limit.get("provider") is None and limit.get("model") is None


def _budget(text: str) -> dict[str, Any]:
    amount, _, window = text.partition("/")
    try:
        budget = BudgetConfig(limit=float(amount), window=BudgetWindow(window or BudgetWindow.MONTH))
    except ValueError:
        fail(
            f"'{text}' is not a budget; write 50, 5/day, 50/month or 500/total, "
            f"with at most {MOST_DOLLARS:,.0f} US dollars",
            FAILED,
        )
    return {"limit": budget.limit, "window": budget.window.value}
