"""The choice of a strategy: that of the request's model, tenant or task, else the default."""

from collections.abc import Iterable

from serve_app.config.routing import RoutingConfig
from serve_app.routing.requirements import Requirements
from serve_app.routing.strategy import Strategy, load_strategy
from serve_app.routing.target import Target


class Strategies:
    """
    The strategies of a configuration.

    Each entry of `routing.strategies` has an instance of its own, so that one with a counter (`round_robin`)
    counts only its own requests. Raises ConfigError for a strategy that cannot be loaded.
    """

    def __init__(self, config: RoutingConfig, targets: Iterable[Target]) -> None:
        chosen = config.strategies
        by_model = {name: load_strategy(strategy) for name, strategy in chosen.models.items()}
        self._of_model = by_model.copy()
        for target in targets if by_model else ():
            # The name of a model at a provider includes the model.
            if target.model_id in by_model and target.name not in by_model:
                self._of_model[target.name] = by_model[target.model_id]
        self._of_tenant = {name: load_strategy(strategy) for name, strategy in chosen.tenants.items()}
        self._of_task = {task: load_strategy(strategy) for task, strategy in chosen.tasks.items()}
        self._for_all = load_strategy(config.strategy)
        self._is_one = not chosen.names

    def for_(self, requirements: Requirements) -> Strategy:
        """Return the strategy for a request; of several named models the first one counts."""
        if self._is_one:
            return self._for_all
        model = requirements.named[0] if requirements.named else ""
        return (
            self._of_model.get(model)
            or self._of_tenant.get(requirements.tenant)
            or self._of_task.get(requirements.task)
            or self._for_all
        )
