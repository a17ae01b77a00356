"""
The reasons why a target may not serve a request.

They are checked in two steps, because callers get different errors: is the target capable at all (else "No
providers available"), and is it available now (else "No suitable providers available").
"""

from collections.abc import Iterable
from enum import StrEnum
from typing import NamedTuple

from serve_app.config.model import CHAT_TASKS, ModelTask
from serve_app.config.web_hosts import is_listed
from serve_app.errors import LimitReached
from serve_app.providers.catalogue.wire_format import OPENAI
from serve_app.routing.candidate import Candidate
from serve_app.routing.requirements import Requirements
from serve_app.routing.target import Target

NANO = 1_000_000_000
NOT_NAMED = "is another model than the one that was named"


class Obstacle(StrEnum):
    """The kinds of reasons."""

    TASK = "task"
    MODEL = "model"
    FORBIDDEN = "forbidden"
    DATA_POLICY = "data_policy"
    PROVIDER = "provider"
    VISION = "vision"
    AUDIO = "audio"
    LINKS = "links"
    MEDIA_DOMAINS = "media_domains"
    FORMAT = "format"
    PARAMETERS = "parameters"
    CONTEXT = "context"
    IMAGES = "images"
    DISABLED = "disabled"
    BREAKER = "breaker"
    COST = "cost"
    BUDGET = "budget"


# Failures of a target, which may end without a change of the request.
FAILURES = frozenset({Obstacle.DISABLED, Obstacle.BREAKER})

# The obstacles of a capable target.
FOR_NOW = FAILURES | {Obstacle.COST, Obstacle.BUDGET}


class Dropped(NamedTuple):
    """
    A target that may not serve.

    Attributes:
        reason: the obstacle as a text.
        error: the refusal of a budget.
    """

    candidate: Candidate
    obstacle: Obstacle
    reason: str
    error: LimitReached | None = None


def place_of(target: Target, requirements: Requirements) -> int | None:
    """Return the target's place among the models that the caller named; None: not named."""
    for at, name in enumerate(requirements.named):
        if name in (target.model_id, target.name):
            return at if _is_of_kind(target, requirements.task) else None
    return None


def is_preferred(target: Target, requirements: Requirements) -> bool:
    """Return whether the caller prefers this target's model."""
    if requirements.preferred_model not in (target.model_id, target.name):
        return False
    return _is_of_kind(target, requirements.task)


def _is_of_kind(target: Target, task: ModelTask) -> bool:
    """
    Return whether the target can replace one for this task: chat tasks replace each other, embeddings never.
    """
    return target.task is task or (target.task in CHAT_TASKS and task in CHAT_TASKS)


def serves_task(target: Target, task: ModelTask) -> bool:
    """
    Return whether the target serves a task; a model with vision serves `vision`, one with audio `audio`.
    """
    if target.task is task:
        return True
    if task is ModelTask.VISION:
        return target.supports_vision
    return task is ModelTask.AUDIO and target.supports_audio


def is_allowed(target: Target, requirements: Requirements) -> bool:
    """Return whether the caller may use the target, for its configured task or for the requested one."""
    models, tasks = requirements.allowed_models, requirements.allowed_tasks
    if models is not None and target.model_id not in models and target.name not in models:
        return False
    if tasks is None or target.task in tasks:
        return True
    return requirements.task in tasks and serves_task(target, requirements.task)


def lacks_task_or_name(
    target: Target, named: int | None, is_wished: bool, requirements: Requirements
) -> tuple[Obstacle, str] | None:
    """
    Return why this is not one of the models that the request is about; None: it is.

    Args:
        target: the target to check.
        named: its place among the named models; None: not named.
        is_wished: it is named or preferred.
        requirements: the request's requirements.
    """
    if named is None and requirements.only_named:
        return Obstacle.MODEL, NOT_NAMED
    if not is_wished and not serves_task(target, requirements.task):
        return Obstacle.TASK, f"serves {target.task}, not {requirements.task}"
    return None


def incapable(target: Target, requirements: Requirements) -> tuple[Obstacle, str] | None:
    """Return what a target with the right model and task permanently lacks; None: it could serve."""
    if not is_allowed(target, requirements):
        return Obstacle.FORBIDDEN, "is not permitted for this caller"
    if requirements.local_only and not target.is_local:
        return Obstacle.DATA_POLICY, "is not local, and the data policy is local"
    only = requirements.only_providers
    if target.provider_id in requirements.ignored_providers or (
        only is not None and target.provider_id not in only
    ):
        return Obstacle.PROVIDER, "is at a provider that the request excludes"
    return _too_little(target, requirements)


def lost_at(target: Target, requirements: Requirements) -> tuple[str, ...]:
    """Return the parameters that a target must take and does not, in alphabetical order."""
    if requirements.parameters is None:
        return ()
    if requirements.format in OPENAI:
        return target.dialect.lost(requirements.parameters)
    return () if requirements.format in target.formats else requirements.untranslatable


def _too_little(target: Target, requirements: Requirements) -> tuple[Obstacle, str] | None:
    """Return what the request contains that this model does not accept."""
    if requirements.require_vision and not target.supports_vision:
        return Obstacle.VISION, "takes no images"
    if requirements.require_audio and not target.supports_audio:
        return Obstacle.AUDIO, "takes no audio"
    if not requirements.image_links <= target.image_links:
        taken = " and ".join(f"{scheme} links" for scheme in sorted(target.image_links))
        how = f"data: URIs and {taken}" if taken else "data only (data: URIs), not links"
        return Obstacle.LINKS, f"takes images as {how}"
    if requirements.links and (link := _forbidden_link(target, requirements.links)):
        return Obstacle.MEDIA_DOMAINS, (
            f"may not fetch {link} from the operator's network: allowed_media_domains of provider "
            f"'{target.provider_id}' does not list it; send the content as a data: URI"
        )
    if requirements.needs_own_format and requirements.format not in target.formats:
        return Obstacle.FORMAT, f"is asked by a translation of {requirements.format}, which cannot carry ids"
    if lost := lost_at(target, requirements):
        return Obstacle.PARAMETERS, f"does not take {', '.join(lost)}"
    if requirements.context_size is not None and target.context_window < requirements.context_size:
        return (
            Obstacle.CONTEXT,
            f"context window {target.context_window} is below {requirements.context_size}",
        )
    if target.vision is not None and requirements.images > target.vision.max_images:
        return Obstacle.IMAGES, f"takes {target.vision.max_images} images, not {requirements.images}"
    return None


def _forbidden_link(target: Target, links: Iterable[str]) -> str | None:
    """Return the first of these links that the target must not fetch; None: it may fetch all of them."""
    hosts = target.media_domains
    if hosts is None:
        return None
    return next((link for link in sorted(links) if not is_listed(link, hosts)), None)


def too_dear(candidate: Candidate, max_cost: int) -> tuple[Obstacle, str] | None:
    """Return the obstacle of a target over the cost limit; a cost equal to the limit is allowed."""
    if candidate.cost is None:
        return Obstacle.COST, "its price is unknown and a cost limit applies"
    if candidate.cost > max_cost:
        limit = f"{max_cost / NANO:.9f}".rstrip("0").rstrip(".")
        return Obstacle.COST, f"costs ${candidate.cost / NANO:.6f}, over the limit of ${limit}"
    return None


def unavailable(candidate: Candidate) -> tuple[Obstacle, str] | None:
    """Return the obstacle that currently keeps a target from serving any request."""
    if not candidate.target.is_enabled:
        return Obstacle.DISABLED, "its provider is disabled by an operator"
    if candidate.is_open:
        return Obstacle.BREAKER, "its circuit breaker is open"
    return None
