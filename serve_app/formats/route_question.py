"""A question to the router: where a request would go. Nothing is called for it."""

from typing import NamedTuple

from serve_app.formats.routing_fields import NO_WISHES, Wishes


class RouteQuestion(NamedTuple):
    """
    A caller's question to the router.

    Fields:
        task: what the model is for, as the caller wrote it.
        model: the name of a model, as in a request; None: the router chooses.
        preferred_model: a hint; another model may be chosen.
        require_vision: whether the model must take images.
        require_audio: whether the model must take sound.
        max_cost: in nano-dollars; None: no limit.
        context_size: tokens that the context window must have; None: any.
        wishes: the caller's own routing rules.
    """

    task: str
    model: str | None = None
    preferred_model: str | None = None
    require_vision: bool = False
    require_audio: bool = False
    max_cost: int | None = None
    context_size: int | None = None
    wishes: Wishes = NO_WISHES
