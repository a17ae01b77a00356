"""
The meaning of a model name in a request (docs/models.md).

    gpt-4o                     a configured model, at whichever provider has it
    openai_cloud/gpt-4o        that model at that provider
    chat_small, vision, …      a task
    auto, or nothing           the default model for the task
    haiku, sonnet, opus, qwen  a tier
"""

from collections.abc import Sequence
from dataclasses import dataclass

from serve_app.config.model import CHAT_TASKS, ModelTask
from serve_app.errors import ModelNotFound
from serve_app.providers.catalogue.rows import VLLM
from serve_app.routing.target import Target


@dataclass(frozen=True, slots=True)
class Intent:
    """
    The task of a request, and perhaps a model.

    Attributes:
        preferred_model: a preference, from a tier.
        named: a configured model, which is replaced only if it fails.
    """

    task: ModelTask
    preferred_model: str | None = None
    named: str | None = None


@dataclass(frozen=True, slots=True)
class _Tier:
    """
    A model by the name of its class.

    Attributes:
        tasks: what it is for, the likeliest first.
        provider_type: the tier is a local model, available only if a provider of this type is configured.
    """

    model_id: str
    tasks: tuple[ModelTask, ...]
    provider_type: str | None = None


TIERS = {
    "haiku": _Tier("claude-3-haiku-20240307", (ModelTask.CHAT_SMALL,)),
    "sonnet": _Tier("claude-3-5-sonnet-20241022", (ModelTask.CHAT_SMART,)),
    "opus": _Tier("claude-3-opus-20240229", (ModelTask.CHAT_LARGE, ModelTask.CHAT_SMART)),
    "qwen": _Tier("Qwen/Qwen2.5-7B-Instruct", (ModelTask.CHAT_SMALL, ModelTask.CHAT_SMART), VLLM.type),
}


class ModelNames:
    """The model names that a caller may use, computed once from the configured targets."""

    def __init__(self, targets: Sequence[Target]) -> None:
        self._tasks: dict[str, tuple[ModelTask, ...]] = {}
        for target in targets:
            for name in (target.model_id, target.name):
                self._tasks[name] = (*self._tasks.get(name, ()), target.task)
        self._configured = tuple(dict.fromkeys(target.model_id for target in targets))
        self._served = frozenset(target.task for target in targets)
        self._served_by: dict[str, frozenset[ModelTask]] = {}
        for target in targets:
            served = self._served_by.get(target.provider_type, frozenset())
            self._served_by[target.provider_type] = served | {target.task}

    @property
    def known(self) -> tuple[str, ...]:
        """Return the model ids, then the tasks that some target serves."""
        return (*self._configured, *sorted(self._served), "auto")

    def is_model(self, name: str) -> bool:
        """Return whether this is the name of a configured model."""
        return name in self._tasks

    def stands_for_many(self, name: str) -> bool:
        """Return whether this is a task, a tier or `auto`, and not a model."""
        return not self.is_model(name) and (name == "auto" or name in list(ModelTask) or name in TIERS)

    def leaves_the_choice(self, name: str | None) -> bool:
        """Return whether the gateway chooses the provider: for no name, `auto` or a tier."""
        return not name or name == "auto" or (name in TIERS and name not in self._tasks)

    def own_type(self, name: str | None) -> str | None:
        """Return the type of provider that serves a tier before all others; None: any."""
        tier = None if name is None or self.is_model(name) else TIERS.get(name)
        return tier.provider_type if tier is not None and tier.provider_type in self._served_by else None

    def tier_at(self, tier: str, provider_type: str) -> Intent:
        """
        Return the intent of a tier at providers of this type, without a model: theirs may be another one.

        If they serve none of its tasks, any other chat task is used.
        """
        served = self._served_by.get(provider_type, frozenset())
        tasks = (*TIERS[tier].tasks, ModelTask.CHAT_SMART, ModelTask.CHAT_SMALL, ModelTask.CHAT_LARGE)
        return Intent(next((task for task in tasks if task in served), tasks[0]))

    def chat(self, name: str | None) -> Intent:
        """Return the intent of a chat request; raise ModelNotFound for an unknown name."""
        if not name or name == "auto":
            return Intent(ModelTask.CHAT_SMART)
        if tasks := self._tasks.get(name):
            able = [task for task in tasks if task in CHAT_TASKS]
            if not able:
                raise ModelNotFound(name, [n for n in self.known if n != name], tasks)
            return Intent(_likely_task(name, able), named=name)
        if name in CHAT_TASKS:
            return Intent(ModelTask(name))
        if tier := TIERS.get(name):
            if tier.provider_type not in (None, *self._served_by) and tier.model_id not in self._tasks:
                raise ModelNotFound(name, self.known).advising(
                    f"The tier '{name}' is served by providers of type '{tier.provider_type}', and none is "
                    "configured"
                )
            task = next((t for t in tier.tasks if t in self._served), tier.tasks[-1])
            return Intent(task, preferred_model=tier.model_id)
        raise ModelNotFound(name, self.known)

    def of_task(self, task: ModelTask, name: str | None) -> Intent:
        """
        Return the intent of a request to the endpoint of this task, which is no chat.

        Raises ModelNotFound for an unknown name, and for a model without the task.
        """
        if not name or name in ("auto", task):
            return Intent(task)
        if task in self._tasks.get(name, ()):
            return Intent(task, named=name)
        known = [n for n in self._configured if task in self._tasks[n]]
        raise ModelNotFound(name, known, self._tasks.get(name, ()))


def _likely_task(name: str, configured: Sequence[ModelTask]) -> ModelTask:
    """Guess the task from the words in the name, among the tasks that the configuration has."""
    if "mini" in name or "small" in name:
        likely = ModelTask.CHAT_SMALL
    elif "large" in name:
        likely = ModelTask.CHAT_LARGE
    else:
        likely = ModelTask.CHAT_SMART
    return likely if likely in configured else configured[0]
