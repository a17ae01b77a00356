"""`sekha explain`: the plan for a request, with the reason for each target."""

import os
from collections.abc import Sequence
from random import Random
from typing import Annotated

import typer
from rich.table import Table

from serve_app.caller import ANYONE
from serve_app.cli.configured import CANNOT_START, ConfigOption, configured, fail
from serve_app.cli.tables import show
from serve_app.clock import SystemClock
from serve_app.config.data_policy import DataPolicy
from serve_app.config.model import CHAT_TASKS, SOUND_TASKS, ModelTask
from serve_app.config.override import BackendState
from serve_app.config.settings import Settings
from serve_app.control.backend import local_at
from serve_app.control.runtime_config import runtime_config_of
from serve_app.errors import ConfigError, LimitReached
from serve_app.gateway.affordable_targets import BudgetFilter
from serve_app.limits.client import Shortfall
from serve_app.limits.limit import Limit
from serve_app.limits.refusals import refusal_of
from serve_app.pricing.asked_pieces import ASKED_PIECES
from serve_app.pricing.money import dollars, nano_dollars
from serve_app.pricing.sound import ASKED_CHARACTERS, ASKED_S
from serve_app.pricing.target_prices import prices_of
from serve_app.pricing.usage import NO_PIECES
from serve_app.routing.plan import Plan, make_plan
from serve_app.routing.requirements import Requirements
from serve_app.routing.strategy import Strategy
from serve_app.routing.strategy_choice import Strategies
from serve_app.routing.target import Target, defaults_by_task, targets_of
from serve_app.routing.target_index import TargetIndex
from serve_app.routing.target_stats import TargetStats


def explain(
    task: Annotated[ModelTask, typer.Option(help="The task of the request.")],
    config: ConfigOption = None,
    max_cost: Annotated[float | None, typer.Option(min=0, help="US dollars for one request.")] = None,
    model: Annotated[
        list[str] | None,
        typer.Option(help="The named model: its id, or provider_id/model_id. Repeat it for a list."),
    ] = None,
    prefer: Annotated[str | None, typer.Option(help="A model to try first, if it can serve.")] = None,
    local_only: Annotated[
        bool, typer.Option("--local-only", help="Use providers with local data only.")
    ] = False,
    links: Annotated[bool, typer.Option("--links", help="The images are web addresses.")] = False,
    vision: Annotated[bool, typer.Option("--vision", help="The request contains images.")] = False,
    audio: Annotated[bool, typer.Option("--audio", help="The request contains audio.")] = False,
    context_size: Annotated[
        int | None, typer.Option(min=1, help="The least context window, in tokens.")
    ] = None,
    input_tokens: Annotated[int, typer.Option(min=0, help="Input tokens.")] = 1000,
    output_tokens: Annotated[int, typer.Option(min=0, help="Output tokens.")] = 500,
    down: Annotated[
        list[str] | None, typer.Option(help="Plan as if this provider's breaker were open.")
    ] = None,
) -> None:
    """Print the plan: every target, its price, and why it was chosen or dropped. Nothing is called."""
    settings = configured(config).settings
    names = [*(model or []), *([prefer] if prefer else [])]
    _refuse_unknown(settings, names, down or [])
    falls_back = settings.routing.auto_fallback
    limits = [limit for limit in (max_cost, settings.routing.max_cost_per_request) if limit is not None]
    requirements = Requirements(
        task=task,
        preferred_model=prefer,
        named=tuple(dict.fromkeys(model or ())),
        only_named=len(model or ()) > 1 or (bool(model) and not (falls_back and task in CHAT_TASKS)),
        falls_back=falls_back,
        image_links=frozenset({"https"}) if links else frozenset(),
        links=frozenset({"https://…"}) if links else frozenset(),
        local_only=local_only or settings.routing.data_policy is DataPolicy.LOCAL,
        require_vision=vision,
        require_audio=audio,
        max_cost=nano_dollars(min(limits)) if limits else None,
        context_size=context_size,
        input_tokens=input_tokens,
        output_tokens=output_tokens,
        pieces=ASKED_PIECES.get(task, NO_PIECES),
        seconds=ASKED_S if task in SOUND_TASKS else 0,
        characters=ASKED_CHARACTERS if task is ModelTask.SPEECH else 0,
    )
    targets = local_at(targets_of(settings), settings, BackendState())
    conditions = TargetStats(prices_of(settings, os.environ).get, frozenset(down or ()).__contains__)
    plan = make_plan(
        requirements,
        TargetIndex(targets),
        conditions,
        _strategy(settings, targets, requirements),
        Random(0),
        defaults_by_task(settings.default_models),
        _unspent_budgets(settings),
    )
    show(_table(plan, conditions))
    if not plan.ordered:
        typer.secho(plan.refusal().told, err=True, fg=typer.colors.RED)
        raise typer.Exit(CANNOT_START)


def _strategy(settings: Settings, targets: Sequence[Target], requirements: Requirements) -> Strategy:
    try:
        return Strategies(settings.routing, targets).for_(requirements)
    except ConfigError as error:
        fail(str(error), CANNOT_START)


def _unspent_budgets(settings: Settings) -> BudgetFilter:
    """Return the default caller's budgets with nothing spent, because no running gateway is asked."""
    now = SystemClock().now()

    def refusal(limit: Limit, amount: int) -> LimitReached | None:
        return refusal_of(Shortfall(limit, amount, 0), now) if amount > limit.amount else None

    budgets = runtime_config_of(settings, (), 0).limits_for(ANYONE).budgets
    return BudgetFilter(
        ANYONE, [(budget, budget.amount) for budget in budgets], prices_of(settings, os.environ).get, refusal
    )


def _refuse_unknown(settings: Settings, requested: list[str], down: list[str]) -> None:
    providers = [provider.id for provider in settings.llm_providers]
    models = [target.model_id for target in targets_of(settings)]
    names = [target.name for target in targets_of(settings)]
    strangers = [name for name in down if name not in providers]
    if strangers:
        fail(f"unknown provider '{strangers[0]}'; configured: {', '.join(providers)}", CANNOT_START)
    for model in requested:
        if model not in (*models, *names):
            fail(f"unknown model '{model}'; configured: {', '.join(dict.fromkeys(models))}", CANNOT_START)


def _table(plan: Plan, conditions: TargetStats) -> Table:
    table = Table(
        "", "target", "type", "priority", "estimated cost", "why", title=f"Plan for {plan.requirements.task}"
    )
    for place, candidate in enumerate(plan.ordered, start=1):
        why = plan.reason(candidate) if place == 1 else "fallback"
        table.add_row(
            str(place), *_facts(candidate.target, candidate.cost), why, style="bold" if place == 1 else None
        )
    for dropped in plan.dropped:
        target = dropped.candidate.target
        cost = conditions.cost(target, plan.requirements)
        table.add_row("-", *_facts(target, cost), dropped.reason, style="dim")
    return table


def _facts(target: Target, cost: int | None) -> tuple[str, str, str, str]:
    amount = "unknown" if cost is None else f"${dollars(cost):.6f}"
    return target.name, target.provider_type, str(target.priority), amount
