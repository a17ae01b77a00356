"""Routing metadata of an answer: which target answered, and why."""

from typing import Any, NamedTuple

from serve_app.config.model import ModelTask
from serve_app.gateway.attempt import Attempt
from serve_app.gateway.request_context import RequestContext
from serve_app.pricing.money import dollars
from serve_app.routing.target import Target

METADATA = "sekha_metadata"  # the member of an answer with its routing metadata


class RoutingInfo(NamedTuple):
    """
    The target that answered, and the reason for its choice.

    Fields:
        target: None where a middleware answered itself.
        task: what the model was chosen for.
        reason: why this target, in words.
        estimated_cost, actual_cost: in nano-dollars, None when the price is unknown; the actual cost also
            until the answer is whole.
        images: how many the request shows.
        dropped: the caller's parameters that the target did not get as they were.
        answered_by: the middleware that answered itself; None: a target did.
        local_only: only providers whose data stays on local machines could be asked.
    """

    target: Target | None
    task: ModelTask
    reason: str
    estimated_cost: int | None
    actual_cost: int | None = None
    images: int = 0
    dropped: tuple[str, ...] = ()
    answered_by: str | None = None
    local_only: bool = False

    @property
    def provider_id(self) -> str:
        """Return the provider that answered; empty where a middleware did."""
        return "" if self.target is None else self.target.provider_id

    @property
    def model_id(self) -> str:
        """Return the model that answered; empty where a middleware did."""
        return "" if self.target is None else self.target.model_id


def routing_info(context: RequestContext, attempt: Attempt, cost: int | None = None) -> RoutingInfo:
    """Return the routing metadata of this attempt; `cost` once it is known."""
    requirements, candidate = context.requirements, attempt.candidate
    return RoutingInfo(
        candidate.target,
        requirements.task,
        context.plan.reason(candidate),
        candidate.cost,
        cost,
        requirements.images + requirements.written_images,
        attempt.dropped,
        local_only=requirements.local_only,
    )


def answered_by(middleware: str, task: ModelTask, reason: str) -> RoutingInfo:
    """Return the routing metadata of an answer that a middleware gives itself; its cost is zero."""
    return RoutingInfo(None, task, reason, 0, 0, answered_by=middleware)


def metadata(routed: RoutingInfo) -> dict[str, Any]:
    """Return the `sekha_metadata` of an answer."""
    target = routed.target
    routing: dict[str, Any] = {
        "provider_id": target.provider_id if target else None,
        "model_id": target.model_id if target else None,
        "provider_type": target.provider_type if target else None,
        "estimated_cost": _dollars(routed.estimated_cost),
        "actual_cost": _dollars(routed.actual_cost),
        "reason": routed.reason,
        "task": routed.task,
    }
    if routed.answered_by is not None:
        routing["answered_by"] = routed.answered_by
    if routed.dropped:
        routing["dropped_params"] = list(routed.dropped)
    payload: dict[str, Any] = {"routing": routing}
    if routed.images and target:
        payload["vision"] = {"image_count": routed.images, "supports_vision": target.supports_vision}
    return payload


def _dollars(cost: int | None) -> float | None:
    return None if cost is None else dollars(cost)
