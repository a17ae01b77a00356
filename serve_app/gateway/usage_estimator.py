"""What an attempt used: as reported, and reckoned where the provider says nothing or what cannot be."""

import logging
from math import ceil

from serve_app.clock import Clock
from serve_app.config.model import ModelTask
from serve_app.control.cache import ControlCache
from serve_app.gateway.budget_filter import always_searches, window_of
from serve_app.gateway.charging import RequestCharges
from serve_app.pricing.plausible_usage import is_impossible
from serve_app.pricing.usage import Usage, dearer_tier, estimate_tokens
from serve_app.routing.requirements import Requirements
from serve_app.routing.target import Target

LEAST_TIMED = 8  # tokens of an answer that says how fast its target writes
PER_IMAGE = 765  # tokens of a picture of 1024 by 1024, as gpt-4o counts it
ROUNDS = 100  # how often a model may read its prompt, with tools that the vendor runs

log = logging.getLogger("sekha.gateway")


class UsageEstimator:
    """
    Reckons for one request.

    `began` is always the moment from which an attempt is at its target, on the monotonic clock; None while a
    machine has yet to start for it.
    """

    def __init__(
        self, wanted: Requirements, charges: RequestCharges, control: ControlCache, clock: Clock
    ) -> None:
        self._wanted = wanted
        self._charges = charges
        self._control = control
        self._clock = clock

    def used(self, target: Target, began: float | None, told: Usage | None, chars: int) -> Usage:
        """
        Return what a whole answer used.

        A usage that cannot be true is not charged: time says how much there can have been.
        """
        usage = self.guessed(chars) if told is None else told
        if told is not None and self._is_impossible(target, told):
            usage = self.by_time(target, began)
            log.error(
                "provider '%s' reports impossible usage for '%s': %d tokens read, %d written; charged for "
                "%d and %d, reckoned by time",
                target.provider_id,
                target.model_id,
                told.input_tokens,
                told.output_tokens,
                usage.input_tokens,
                usage.output_tokens,
            )
        if not usage.searches and always_searches(target):
            usage = usage._replace(searches=1)  # which OpenAI's search models do not report
        return usage

    def guessed(self, chars: int) -> Usage:
        """Return what an answer of so many characters used."""
        return self._with(0 if self._wanted.task is ModelTask.EMBEDDING else estimate_tokens(chars))

    def so_far(self, target: Target, frames: int, chars: int) -> Usage:
        """
        Return what an answer that broke off has used, by its text: at least a token for each frame.

        Some upstreams send a token in a frame, others a sentence, and others all there was before it, too.
        """
        most = self._charges.most(target).output_tokens
        return self._with(max(frames, min(estimate_tokens(chars), most)))

    def by_time(self, target: Target, began: float | None) -> Usage:
        """
        Return what an attempt that has reported nothing can have used.

        That is the input, and what the target writes in that time at its 95th percentile, but no more than
        it was allowed to.
        """
        if began is None or self._wanted.task is ModelTask.EMBEDDING:
            return self._with(0)
        elapsed_s = max(0.0, self._clock.monotonic() - began)
        written = ceil(elapsed_s * self._control.tokens_per_s(target.name))
        longest = self._charges.longest(target)
        return self._with(written if longest is None else min(written, longest))

    def tokens_per_s(self, began: float | None, usage: Usage) -> float | None:
        """Return how fast an answer was written; None where that says nothing."""
        if usage.estimated or usage.output_tokens < LEAST_TIMED or began is None:
            return None
        elapsed_s = self._clock.monotonic() - began
        return usage.output_tokens / elapsed_s if elapsed_s > 0 else None

    def _with(self, written: int) -> Usage:
        """The input as it is estimated, and so much written."""
        wanted = self._wanted
        return Usage(
            wanted.input_tokens + PER_IMAGE * wanted.images,
            written,
            audio_input=wanted.extent.sound if wanted.extent else 0,
            estimated=True,
            tier=dearer_tier(wanted.service_tier),
        )

    def _is_impossible(self, target: Target, told: Usage) -> bool:
        extent, answers = self._wanted.extent, self._wanted.answers
        hosted = extent is not None and bool(extent.searches or extent.fetched or extent.unbounded_tool)
        rounds = ROUNDS if hosted or always_searches(target) else 1
        return is_impossible(told, self._charges.most(target), window_of(target), answers, rounds)
