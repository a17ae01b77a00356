"""The error for a request that no target may serve, with advice on what would help."""

from collections.abc import Iterable, Sequence

from serve_app.errors import (
    CostLimitReached,
    GatewayError,
    InvalidRequest,
    ModelNotAllowed,
    ModelNotFound,
    NoProvidersAvailable,
    NoSuitableProviders,
    PriceUnknown,
)
from serve_app.routing.candidate import Candidate
from serve_app.routing.eligibility import FOR_NOW, Dropped, Obstacle, is_allowed, lost_at
from serve_app.routing.requirements import Requirements

MOST_NAMED = 5  # targets that are named in an error

# What a caller can change about a request that names no model.
_OF_THE_REQUEST = (
    Obstacle.MEDIA_DOMAINS,
    Obstacle.FORMAT,
    Obstacle.LINKS,
    Obstacle.PARAMETERS,
    Obstacle.PROVIDER,
)

# From temporary to permanent: the error is about the target that is nearest to serving.
_NEAREST = (
    Obstacle.BREAKER,
    Obstacle.DISABLED,
    Obstacle.BUDGET,
    Obstacle.COST,
    Obstacle.IMAGES,
    Obstacle.CONTEXT,
    Obstacle.PARAMETERS,
    Obstacle.MEDIA_DOMAINS,
    Obstacle.FORMAT,
    Obstacle.LINKS,
    Obstacle.AUDIO,
    Obstacle.VISION,
    Obstacle.PROVIDER,
    Obstacle.DATA_POLICY,
)

_CODES = {
    Obstacle.IMAGES: "too_many_images",
    Obstacle.CONTEXT: "context_length_exceeded",
    Obstacle.PARAMETERS: "unsupported_parameters",
    Obstacle.MEDIA_DOMAINS: "link_not_allowed",
    Obstacle.FORMAT: "vendor_objects_not_supported",
    Obstacle.LINKS: "image_links_not_supported",
    Obstacle.AUDIO: "audio_not_supported",
    Obstacle.VISION: "images_not_supported",
    Obstacle.PROVIDER: "provider_excluded",
    Obstacle.DATA_POLICY: "data_policy_local",
}
_PARAMS = {
    Obstacle.PROVIDER: "provider",
    Obstacle.DATA_POLICY: "data_policy",
    Obstacle.PARAMETERS: "require_parameters",
}


def named_refusal(
    requirements: Requirements,
    dropped: Sequence[Dropped],
    elsewhere: Iterable[Candidate],
    retry_after_s: float | None,
) -> GatewayError:
    """
    Return the error for a request whose named models cannot serve it.

    Args:
        requirements: the request's requirements.
        dropped: the targets that may not serve it.
        elsewhere: other targets that could serve it.
        retry_after_s: the time until the first breaker lets a request through again.
    """
    named = [d for d in dropped if d.candidate.named is not None]
    mine = [d for d in named if is_allowed(d.candidate.target, requirements)]
    if not mine:
        others = list(dict.fromkeys(candidate.target.model_id for candidate in elsewhere))
        return (ModelNotAllowed if named else ModelNotFound)(requirements.named[0], others)
    nearest = min(mine, key=lambda d: _NEAREST.index(d.obstacle))
    reasons = "; ".join(dict.fromkeys(f"{d.candidate.target.name}: {d.reason}" for d in mine))
    model = (
        f"The model '{requirements.named[0]}'"
        if len(requirements.named) == 1
        else "None of the models in 'models'"
    )
    would_do = tuple(elsewhere)
    advice = advice_of(would_do)
    match nearest.obstacle:
        case Obstacle.BREAKER | Obstacle.DISABLED:
            stand_ins = [d for d in dropped if d.candidate.named is None and d.obstacle in FOR_NOW]
            reasons_of_all = [f"provider {d.candidate.target.name}: {d.reason}" for d in (*mine, *stand_ins)]
            error = NoSuitableProviders(requirements.task, "; ".join(reasons_of_all), retry_after_s)
            return error.advising(advice) if would_do else error
        case Obstacle.BUDGET if nearest.error is not None:
            return nearest.error.advising(advice)
        case Obstacle.COST if nearest.candidate.cost is None:
            return PriceUnknown(nearest.candidate.target.name, "").advising(advice)
        case Obstacle.COST:
            return CostLimitReached(nearest.candidate.target.name, nearest.reason).advising(advice)
    verb = "cannot" if len(requirements.named) == 1 else "can"
    return InvalidRequest(
        f"{model} {verb} take this request: {reasons}",
        param=_PARAMS.get(nearest.obstacle, "model"),
        code=_CODES[nearest.obstacle],
    ).advising(advice)


def advice_of(elsewhere: Iterable[Candidate]) -> str:
    """Return a sentence that lists these targets, or says that there are none."""
    names = list(dict.fromkeys(candidate.target.name for candidate in elsewhere))
    if not names:
        return "No other model that you may use can take it"
    more = f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else ""
    return f"These can take it: {', '.join(names[:MOST_NAMED])}{more}"


def _takers(requirements: Requirements, dropped: Iterable[Dropped]) -> list[Candidate]:
    """
    Return the candidates that take every parameter but were dropped for another reason, such as the task.
    """
    others = (d.candidate for d in dropped if d.obstacle is not Obstacle.PARAMETERS)
    return [candidate for candidate in others if not lost_at(candidate.target, requirements)]


def refusal_for_all(
    requirements: Requirements, dropped: Sequence[Dropped], retry_after_s: float | None
) -> GatewayError:
    """Return the error for a request that names no model and has no eligible target."""
    if able := [d for d in dropped if d.obstacle in FOR_NOW]:
        why = "; ".join(f"provider {d.candidate.target.name}: {d.reason}" for d in able)
        return NoSuitableProviders(requirements.task, why, retry_after_s)
    crowded = [d for d in dropped if d.obstacle is Obstacle.IMAGES]
    if crowded:
        most = max(d.candidate.target.vision.max_images for d in crowded if d.candidate.target.vision)
        return InvalidRequest(f"Too many images: {requirements.images}, at most {most}", param="messages")
    # Targets that the caller may not use are not mentioned.
    mine = [d for d in dropped if is_allowed(d.candidate.target, requirements)]
    for obstacle in _OF_THE_REQUEST:
        if kept_out := [d for d in mine if d.obstacle is obstacle]:
            why = "; ".join(dict.fromkeys(f"{d.candidate.target.name}: {d.reason}" for d in kept_out))
            message = f"No model can take this request: {why}"
            error = InvalidRequest(message, _PARAMS.get(obstacle, "messages"), _CODES[obstacle])
            takers = _takers(requirements, mine) if obstacle is Obstacle.PARAMETERS else []
            return error.advising(advice_of(takers)) if takers else error
    if any(d.obstacle is Obstacle.FORBIDDEN for d in dropped):
        return ModelNotAllowed(None, dict.fromkeys(d.candidate.target.model_id for d in mine))
    close = [d for d in mine if d.obstacle is not Obstacle.TASK]
    why = "; ".join(f"{d.candidate.target.name}: {d.reason}" for d in close)
    return NoProvidersAvailable(requirements.task, requirements.require_vision, why)
