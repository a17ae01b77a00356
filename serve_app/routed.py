"""What a caller is told about the choice that was made."""

from typing import NamedTuple

from serve_app.config.model import ModelTask
from serve_app.routing.target import Target


class Routed(NamedTuple):
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
