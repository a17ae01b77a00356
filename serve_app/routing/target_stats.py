"""The current state of targets, as routing reads it."""

from collections.abc import Callable

from serve_app.config.model import CHAT_TASKS, SOUND_TASKS, ModelTask
from serve_app.pricing.price import Price
from serve_app.pricing.sound import speech_usage, transcript_usage
from serve_app.pricing.usage import Usage
from serve_app.routing.request_view import Load
from serve_app.routing.requirements import Requirements
from serve_app.routing.target import Target


class TargetStats:
    """
    The state of targets, read from callables: prices and latencies by target name, the rest by provider id.

    By default no breaker is open, nothing is measured, and every target is ready.
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

    def cost(self, target: Target, requirements: Requirements) -> int | None:
        """Return the estimate in nano-dollars, with output for chats only; None: the price is unknown."""
        price = self._price(target.name)
        if price is None:
            return None
        if requirements.task in SOUND_TASKS:
            return price.cost(sound_usage(price, requirements))
        if requirements.task not in CHAT_TASKS:
            return price.cost(requirements.pieces._replace(input=requirements.input_tokens))
        return price.cost_of_text(requirements.input_tokens, requirements.output_tokens)

    def latency_s(self, target: Target) -> float | None:
        """Return the measured latency; None before the first answer."""
        return self._latency_s(target.name)

    def load(self, target: Target) -> Load:
        """Return the load and health of a target."""
        id_ = target.provider_id
        return Load(self._in_flight(id_), self._latency_s(target.name), self._error_rate(id_))


def sound_usage(price: Price | None, requirements: Requirements) -> Usage:
    """Return what speech or a transcript probably uses at a target of this price."""
    if requirements.task is ModelTask.SPEECH:
        return speech_usage(requirements.input_tokens, requirements.characters, requirements.seconds)
    return transcript_usage(price, requirements.input_tokens, requirements.seconds)
