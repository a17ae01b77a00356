"""
Why a target may not serve a request.

Two questions, asked in turn, because callers hear different answers: can it do this at all (else "No
providers available"), and may it just now (else "No suitable providers available").
"""

from enum import StrEnum
from typing import NamedTuple

from serve_app.config.model import CHAT_TASKS, ModelTask
from serve_app.errors import LimitReached
from serve_app.routing.candidate import Candidate
from serve_app.routing.requirements import Requirements
from serve_app.routing.target import Target

NANO = 1_000_000_000
NOT_NAMED = "is another model than the one that was named"


class Obstacle(StrEnum):
    """What stands in the way."""

    TASK = "task"
    MODEL = "model"
    FORBIDDEN = "forbidden"
    DATA_POLICY = "data_policy"
    PROVIDER = "provider"
    VISION = "vision"
    AUDIO = "audio"
    LINKS = "links"
    PARAMETERS = "parameters"
    CONTEXT = "context"
    IMAGES = "images"
    DISABLED = "disabled"
    BREAKER = "breaker"
    COST = "cost"
    BUDGET = "budget"


# What a target may recover from without the request being another one.
FAILURES = frozenset({Obstacle.DISABLED, Obstacle.BREAKER})

# What keeps a target that could serve from doing so.
FOR_NOW = FAILURES | {Obstacle.COST, Obstacle.BUDGET}


class Dropped(NamedTuple):
    """A target that may not serve, with the reason in words; `error` is what a budget says to it."""

    candidate: Candidate
    obstacle: Obstacle
    reason: str
    error: LimitReached | None = None


def place_of(target: Target, wanted: Requirements) -> int | None:
    """Return its place among the models that the caller named; None: it is none of them."""
    for at, name in enumerate(wanted.named):
        if name in (target.model_id, target.name):
            return at if _is_of_kind(target, wanted.task) else None
    return None


def is_preferred(target: Target, wanted: Requirements) -> bool:
    """Return whether the caller would like this one."""
    if wanted.preferred_model not in (target.model_id, target.name):
        return False
    return _is_of_kind(target, wanted.task)


def _is_of_kind(target: Target, task: ModelTask) -> bool:
    """Chat tasks stand in for one another; an embedding model only ever embeds."""
    return target.task is task or (target.task in CHAT_TASKS and task in CHAT_TASKS)


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


def incapable(
    target: Target, named: int | None, is_wished: bool, wanted: Requirements
) -> tuple[Obstacle, str] | None:
    """
    Return what this target lacks for good; None when it could serve.

    `named` is its place among the named models; `is_wished`: it is one of them, or preferred.
    """
    if named is None and wanted.only_named:
        return Obstacle.MODEL, NOT_NAMED
    if not is_wished and not serves_task(target, wanted.task):
        return Obstacle.TASK, f"serves {target.task}, not {wanted.task}"
    if not is_allowed(target, wanted):
        return Obstacle.FORBIDDEN, "is not permitted for this caller"
    if wanted.local_only and not target.is_local:
        return Obstacle.DATA_POLICY, "is not local, and the data policy is local"
    only = wanted.only_providers
    if target.provider_id in wanted.ignored_providers or (
        only is not None and target.provider_id not in only
    ):
        return Obstacle.PROVIDER, "is at a provider that the request excludes"
    return _too_little(target, wanted)


def _too_little(target: Target, wanted: Requirements) -> tuple[Obstacle, str] | None:
    """Return what the request contains that this model cannot take."""
    if wanted.require_vision and not target.supports_vision:
        return Obstacle.VISION, "takes no images"
    if wanted.require_audio and not target.supports_audio:
        return Obstacle.AUDIO, "takes no audio"
    if not wanted.image_links <= target.image_links:
        taken = " and ".join(f"{scheme} links" for scheme in sorted(target.image_links))
        how = f"data: URIs and {taken}" if taken else "data only (data: URIs), not links"
        return Obstacle.LINKS, f"takes images as {how}"
    if wanted.parameters is not None and (lost := target.dialect.lost(wanted.parameters)):
        return Obstacle.PARAMETERS, f"does not take {', '.join(lost)}"
    if wanted.context_size is not None and target.context_window < wanted.context_size:
        return Obstacle.CONTEXT, f"context window {target.context_window} is below {wanted.context_size}"
    if target.vision is not None and wanted.images > target.vision.max_images:
        return Obstacle.IMAGES, f"takes {target.vision.max_images} images, not {wanted.images}"
    return None


def too_dear(candidate: Candidate, max_cost: int) -> tuple[Obstacle, str] | None:
    """Return what the cost limit says against a target; a cost equal to the limit is allowed."""
    if candidate.cost is None:
        return Obstacle.COST, "its price is unknown and a cost limit applies"
    if candidate.cost > max_cost:
        limit = f"{max_cost / NANO:.9f}".rstrip("0").rstrip(".")
        return Obstacle.COST, f"costs ${candidate.cost / NANO:.6f}, over the limit of ${limit}"
    return None


def unavailable(candidate: Candidate) -> tuple[Obstacle, str] | None:
    """Return what keeps a target from serving just now that has nothing to do with the request."""
    if not candidate.target.is_enabled:
        return Obstacle.DISABLED, "its provider is disabled by an operator"
    if candidate.is_open:
        return Obstacle.BREAKER, "its circuit breaker is open"
    return None
