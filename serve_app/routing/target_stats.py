"""What is known about targets at this moment, in the shape in which routing asks for it."""

from collections.abc import Callable

from serve_app.config.model import ModelTask
from serve_app.pricing.price import Price
from serve_app.routing.request_view import Load
from serve_app.routing.requirements import Requirements
from serve_app.routing.target import Target


class TargetStats:
    """
    Prices and latencies by target name, the rest by provider id, each from wherever it is kept.

    Without the rest no breaker is open, nothing has been measured, and everyone is there.
    """

    def __init__(
        self,
        price: Callable[[str], Price | None],
        is_open: Callable[[str], bool] = lambda provider_id: False,
        latency_s: Callable[[str], float | None] = lambda target: None,
        is_ready: Callable[[str], bool] = lambda provider_id: True,
        in_flight: Callable[[str], int] = lambda provider_id: 0,
        error_rate: Callable[[str], float | None] = lambda provider_id: None,
    ) -> None:
        self._price = price
        self._latency_s = latency_s
        self.is_open = is_open
        self.is_ready = is_ready
        self._in_flight = in_flight
        self._error_rate = error_rate

    def cost(self, target: Target, wanted: Requirements) -> int | None:
        """The estimate in nano-dollars; an embedding has no output to pay for."""
        price = self._price(target.name)
        if price is None:
            return None
        output = 0 if wanted.task is ModelTask.EMBEDDING else wanted.output_tokens
        return price.cost_of_text(wanted.input_tokens, output)

    def latency_s(self, target: Target) -> float | None:
        """The measured latency; None before the first answer."""
        return self._latency_s(target.name)

    def load(self, target: Target) -> Load:
        """Return how busy and how well a target is."""
        id_ = target.provider_id
        return Load(self._in_flight(id_), self._latency_s(target.name), self._error_rate(id_))
