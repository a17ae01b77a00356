"""The targets as operators have set them, and which of them a caller may use."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from serve_app.caller import Caller
from serve_app.config.data_policy import DataPolicy
from serve_app.config.model import ModelTask
from serve_app.config.settings import Settings
from serve_app.control.backend import local_at, moved_to
from serve_app.control.control_cache import ControlCache
from serve_app.control.runtime_config import RuntimeConfig
from serve_app.errors import InvalidRequest, ModelNotAllowed, ModelNotFound
from serve_app.routing.eligibility import is_allowed, serves_task
from serve_app.routing.intent import ModelNames
from serve_app.routing.requirements import Requirements
from serve_app.routing.target import Target, overridden, targets_of


class ModelAccess:
    """
    The models of one gateway.

    Fields:
        targets: every target as it is now; replaced as a whole when operators change something, so that a
            request that has begun keeps its plan.
        names: resolves a model name in a request.
    """

    def __init__(self, settings: Settings, control: ControlCache) -> None:
        self._settings = settings
        self._control = control
        self._configured = targets_of(settings)
        self._local_only = settings.routing.data_policy is DataPolicy.LOCAL
        self.names = ModelNames(self._configured)
        self.targets = self._configured
        control.on_runtime_config(self._take)

    def _take(self, runtime_config: RuntimeConfig) -> None:
        at_home = local_at(self._configured, self._settings, runtime_config.backend)
        self.targets = overridden(at_home, runtime_config.providers)

    def moved(self, provider_id: str) -> str | None:
        """Return the address that replaces this provider's configured one; None: it is not replaced."""
        return moved_to(self._settings, self._control.runtime_config.backend, provider_id)

    def targets_for(self, caller: Caller) -> tuple[Target, ...]:
        """Return the targets that a caller may use at all."""
        if caller.models is None and caller.tasks is None:
            return self.targets
        questions = [
            Requirements(task, allowed_models=caller.models, allowed_tasks=caller.tasks) for task in ModelTask
        ]
        return tuple(
            target
            for target in self.targets
            if any(serves_task(target, ask.task) and is_allowed(target, ask) for ask in questions)
        )

    def names_for(self, caller: Caller, names: Sequence[str] | None = None) -> list[str]:
        """Return these names, or all there are, without the models that the caller may not use."""
        mine = {target.model_id for target in self.targets_for(caller)}
        others = {target.model_id for target in self.targets} - mine
        return [name for name in (self.names.known if names is None else names) if name not in others]

    def permitted(self, requirements: Requirements, caller: Caller) -> Requirements:
        """
        Return the requirements, limited to what the caller may use.

        Raises:
            ModelNotAllowed: the request names a model that the caller may not use.
        """
        if caller.local_only or self._local_only:
            requirements = requirements._replace(local_only=True)
        if caller.models is None and caller.tasks is None:
            return requirements
        requirements = requirements._replace(allowed_models=caller.models, allowed_tasks=caller.tasks)
        names = requirements.named
        if requirements.preferred_model:
            names = (*names, requirements.preferred_model)
        for name in names:
            called = [target for target in self.targets if name in (target.model_id, target.name)]
            if called and not any(is_allowed(target, requirements) for target in called):
                raise ModelNotAllowed(name, dict.fromkeys(t.model_id for t in self.targets_for(caller)))
        return requirements

    def providers_called(self, names: Sequence[str], caller: Caller) -> frozenset[str]:
        """
        Return the ids of the providers with these ids or types.

        Raises:
            InvalidRequest: there is no such provider, or none that the caller may use.
        """
        if not names:
            return frozenset()
        mine = {target.provider_id: target.provider_type for target in self.targets_for(caller)}
        if unknown := [name for name in names if name not in mine and name not in mine.values()]:
            message = f"No provider '{unknown[0]}' is available to you. Available: {', '.join(mine)}"
            raise InvalidRequest(message, param="provider", code="provider_not_found")
        return frozenset(id_ for id_, type_ in mine.items() if id_ in names or type_ in names)

    @contextmanager
    def seen_by(self, caller: Caller) -> Iterator[None]:
        """Remove from a ModelNotFound error every model that the caller may not use."""
        try:
            yield
        except ModelNotFound as error:
            known = self.names_for(caller, error.known)
            is_mine = any(error.name in (t.model_id, t.name) for t in self.targets_for(caller))
            visible = ModelNotFound(error.name, known, error.serves if is_mine else ())
            raise visible.advising(error.advice) from None
