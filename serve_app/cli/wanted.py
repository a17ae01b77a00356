"""The limits and rights that `sekha keys create` and `sekha tenants set` can give."""

from typing import Annotated, Any

import typer

from serve_app.cli.admin import FAILED
from serve_app.cli.configured import fail
from serve_app.config.model import ModelTask
from serve_app.config.tenant import BudgetWindow

BudgetsOption = Annotated[
    list[str] | None,
    typer.Option("--budget", help="US dollars, a month unless it says otherwise: 50, 5/day, 500/total."),
]
RateOption = Annotated[int | None, typer.Option("--rpm", min=1, help="Requests a minute.")]
TokensOption = Annotated[int | None, typer.Option("--tpm", min=1, help="Tokens a minute.")]
ModelsOption = Annotated[list[str] | None, typer.Option("--model", help="It may use this one; repeatable.")]
TasksOption = Annotated[list[ModelTask] | None, typer.Option("--task", help="Likewise, by task.")]


def limits_of(budgets: list[str] | None, rpm: int | None, tpm: int | None) -> dict[str, Any]:
    """Budgets and rates as the admin API has them."""
    rates = {"requests_per_minute": rpm, "tokens_per_minute": tpm}
    given = {name: value for name, value in rates.items() if value is not None}
    return {"budgets": [_budget(text) for text in budgets or ()], "rates": [given] if given else []}


def _budget(text: str) -> dict[str, Any]:
    amount, _, window = text.partition("/")
    try:
        return {"limit": float(amount), "window": BudgetWindow(window or BudgetWindow.MONTH).value}
    except ValueError:
        fail(f"'{text}' is no budget: write 50, 5/day, 50/month or 500/total", FAILED)
