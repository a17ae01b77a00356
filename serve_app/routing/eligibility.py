"""
Why a target may not serve a request.

Two questions, asked in turn, because callers hear different answers: can it do this at all (else "No
providers available"), and may it just now (else "No suitable providers available").
"""

from dataclasses import dataclass
from enum import StrEnum

from serve_app.config.model import CHAT_TASKS, ModelTask
from serve_app.errors import LimitReached
from serve_app.routing.candidate import Candidate
from serve_app.routing.requirements import Requirements
from serve_app.routing.target import Target

NANO = 1_000_000_000


class Obstacle(StrEnum):
    """What stands in the way."""

    TASK = "task"
    MODEL = "model"
    FORBIDDEN = "forbidden"
    VISION = "vision"
    AUDIO = "audio"
    CONTEXT = "context"
    IMAGES = "images"
    DISABLED = "disabled"
    BREAKER = "breaker"
    COST = "cost"
    BUDGET = "budget"


@dataclass(frozen=True, slots=True)
class Dropped:
    """A target that may not serve, with the reason in words; `error` is what a budget says to it."""

    candidate: Candidate
    obstacle: Obstacle
    reason: str
    error: LimitReached | None = None


def is_preferred(target: Target, wanted: Requirements) -> bool:
    """
    Whether the caller named this one (contract 3.1 step 2).

    Chat tasks stand in for one another; an embedding model only ever embeds.
    """
    if wanted.preferred_model not in (target.model_id, target.name):
        return False
    return target.task is wanted.task or (target.task in CHAT_TASKS and wanted.task in CHAT_TASKS)


def serves_task(target: Target, task: ModelTask) -> bool:
    """A model that sees serves `vision` whatever it is listed under; one that hears, `audio`."""
    if target.task is task:
        return True
    if task is ModelTask.VISION:
        return target.supports_vision
    return task is ModelTask.AUDIO and target.supports_audio


def is_allowed(target: Target, wanted: Requirements) -> bool:
    """Whether the caller may use this target for this; by the task it is listed under, or the one it does."""
    models, tasks = wanted.allowed_models, wanted.allowed_tasks
    if models is not None and target.model_id not in models and target.name not in models:
        return False
    if tasks is None or target.task in tasks:
        return True
    return wanted.task in tasks and serves_task(target, wanted.task)


def incapable(target: Target, preferred: bool, wanted: Requirements) -> tuple[Obstacle, str] | None:
    """What this target lacks for ever; None when it could serve."""
    if not preferred:
        if wanted.only_preferred:
            return Obstacle.MODEL, f"is not {wanted.preferred_model}"
        if not serves_task(target, wanted.task):
            return Obstacle.TASK, f"serves {target.task}, not {wanted.task}"
    if not is_allowed(target, wanted):
        return Obstacle.FORBIDDEN, "is not among what the caller may use"
    if wanted.require_vision and not target.supports_vision:
        return Obstacle.VISION, "does not see images"
    if wanted.require_audio and not target.supports_audio:
        return Obstacle.AUDIO, "does not hear audio"
    if wanted.context_size is not None and target.context_window < wanted.context_size:
        return Obstacle.CONTEXT, f"context window {target.context_window} is below {wanted.context_size}"
    if target.vision is not None and wanted.images > target.vision.max_images:
        return Obstacle.IMAGES, f"takes {target.vision.max_images} images, not {wanted.images}"
    return None


def held_back(candidate: Candidate, max_cost: int | None) -> tuple[Obstacle, str] | None:
    """What keeps a capable target from serving just now; a cost equal to the limit is allowed."""
    if not candidate.target.is_enabled:
        return Obstacle.DISABLED, "its provider is switched off by an operator"
    if candidate.is_open:
        return Obstacle.BREAKER, "its circuit breaker is open"
    if max_cost is None:
        return None
    if candidate.cost is None:
        return Obstacle.COST, "its price is unknown and there is a cost limit"
    if candidate.cost > max_cost:
        limit = f"{max_cost / NANO:.9f}".rstrip("0").rstrip(".")
        return Obstacle.COST, f"costs ${candidate.cost / NANO:.6f}, over the limit of ${limit}"
    return None
