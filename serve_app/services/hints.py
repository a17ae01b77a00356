"""The caller's hints about who should do the work."""

from typing import Any, NamedTuple


class Hints(NamedTuple):
    """
    Hints of one request.

    Fields:
        preferred_model: tried first, if it is configured and can do the work.
        named_model: no other model may do the work; for vectors, which differ from model to model.
        max_cost: in US dollars; None: no limit.
        local_only: only providers whose data stays on machines of one's own.
    """

    preferred_model: str | None = None
    named_model: str | None = None
    max_cost: float | None = None
    local_only: bool = False

    @property
    def fields(self) -> dict[str, Any]:
        """Return the fields of a request that carry them."""
        given = {
            "model": self.named_model,
            "preferred_model": self.preferred_model,
            "max_cost": self.max_cost,
            "data_policy": "local" if self.local_only else None,
        }
        return {name: value for name, value in given.items() if value is not None}
