"""What a caller is told about the choice that was made."""

from typing import Any, NamedTuple

from serve_app.config.model import ModelTask
from serve_app.pricing.money import dollars
from serve_app.routing.target import Target

METADATA = "sekha_metadata"  # the member of an answer that says who gave it


class RoutingInfo(NamedTuple):
    """
    Which target answered, and why that one.

    Costs are in nano-dollars, None when nobody knows the price; `actual_cost` also until the answer is whole.
    `dropped` are the caller's parameters that the target did not get as they were.
    """

    target: Target
    task: ModelTask
    reason: str
    estimated_cost: int | None
    actual_cost: int | None = None
    images: int = 0
    dropped: tuple[str, ...] = ()


def metadata(routed: RoutingInfo) -> dict[str, Any]:
    """Return the `sekha_metadata` of an answer."""
    target = routed.target
    told: dict[str, Any] = {
        "routing": {
            "provider_id": target.provider_id,
            "model_id": target.model_id,
            "provider_type": target.provider_type,
            "estimated_cost": _dollars(routed.estimated_cost),
            "actual_cost": _dollars(routed.actual_cost),
            "reason": routed.reason,
            "task": routed.task,
        }
    }
    if routed.dropped:
        told["routing"]["dropped_params"] = list(routed.dropped)
    if routed.images:
        told["vision"] = {"image_count": routed.images, "supports_vision": target.supports_vision}
    return told


def _dollars(cost: int | None) -> float | None:
    return None if cost is None else dollars(cost)
