"""Plans: the targets that may serve a request, ordered by strategy, budgets and breakers."""

from random import Random

from serve_app.caller import Caller
from serve_app.config.routing import StrategyName
from serve_app.config.settings import Settings
from serve_app.control.control_cache import ControlCache
from serve_app.errors import GatewayError
from serve_app.gateway.affordable_targets import BudgetFilter
from serve_app.gateway.model_access import ModelAccess
from serve_app.routing.eligibility import Obstacle
from serve_app.routing.plan import Plan, make_plan
from serve_app.routing.requirements import Requirements
from serve_app.routing.strategy import load_strategy
from serve_app.routing.strategy_choice import Strategies
from serve_app.routing.target import defaults_by_task
from serve_app.routing.target_index import TargetIndex
from serve_app.routing.target_stats import TargetStats


class Planner:
    """The planner of one gateway: makes the plan of each request."""

    def __init__(self, settings: Settings, control: ControlCache, access: ModelAccess, rng: Random) -> None:
        self._control = control
        self._access = access
        self._rng = rng
        self._defaults = defaults_by_task(settings.default_models)
        self._targets = TargetIndex(access.targets)
        self._strategies = Strategies(settings.routing, access.targets)
        self._cheapest = load_strategy(StrategyName.CHEAPEST)
        self._cheaper_below_percent = settings.routing.cheaper_below_percent
        self._stats = TargetStats(
            control.price,
            control.breakers.is_open,
            control.latency_s,
            control.is_ready,
            control.in_flight,
            control.breakers.error_rate,
        )

    def plan(self, requirements: Requirements, caller: Caller) -> Plan:
        """Return the targets that may serve this, best first, and why the others may not."""
        control, budget_filter, strategy = self._control, None, self._strategies.for_(requirements)
        if budgets := control.limits_for(caller).budgets:
            remaining = control.reservations.left(budgets)
            budget_filter = BudgetFilter(caller, remaining, control.price, control.reservations.foreseen)
            below = self._cheaper_below_percent
            if below is not None and budget_filter.is_low(below):
                strategy = self._cheapest
        return make_plan(
            requirements,
            self._index(),
            self._stats,
            strategy,
            self._rng,
            self._defaults,
            budget_filter,
        )

    def _index(self) -> TargetIndex:
        """Return the index of the current targets, with the operators' changes."""
        if self._targets.targets is not self._access.targets:
            self._targets = TargetIndex(self._access.targets)
        return self._targets

    def refusal(self, plan: Plan) -> GatewayError:
        """Return the error for an empty plan, with the time until a retry can succeed."""
        closed = (d.candidate.target.provider_id for d in plan.dropped if d.obstacle is Obstacle.BREAKER)
        return plan.refusal(min(map(self._control.breakers.opens_in_s, closed), default=None))
