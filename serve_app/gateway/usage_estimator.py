"""The usage of an attempt: as its provider reports it, or estimated where it does not."""

import logging

from serve_app.clock import Clock
from serve_app.control.control_cache import ControlCache
from serve_app.control.tally import IN_FLIGHT
from serve_app.gateway.affordable_targets import always_searches, window_for
from serve_app.gateway.attempt import Attempt
from serve_app.gateway.request_context import RequestContext
from serve_app.pricing.plausible_usage import is_impossible
from serve_app.pricing.usage import Usage
from serve_app.routing.target import Target

ROUNDS = 100  # how often a model may read its prompt, with tools that the vendor runs

log = logging.getLogger("sekha.gateway")


class UsageEstimator:
    """The estimator of one gateway: returns the usage of attempts."""

    def __init__(self, control: ControlCache, clock: Clock) -> None:
        self._control = control
        self._clock = clock

    def of_answer(
        self,
        context: RequestContext,
        attempt: Attempt,
        reported: Usage | None,
        output_chars: int,
        machine_ms: int,
    ) -> Usage:
        """
        Return the usage of a whole answer.

        An impossible usage is not charged; the usage is estimated from the elapsed time instead.
        """
        target = attempt.target
        if reported is None:
            usage = context.charges.estimate(target).by_text(output_chars)
        elif _is_impossible(context, target, reported):
            usage = self.by_time(context, attempt)
            log.error(
                "provider '%s' reports impossible usage for '%s': %d tokens read, %d written; charged for "
                "%d and %d, estimated by time",
                target.provider_id,
                target.model_id,
                reported.input_tokens,
                reported.output_tokens,
                usage.input_tokens,
                usage.output_tokens,
            )
        else:
            usage = context.charges.by_price(target, reported)
        if not usage.searches and always_searches(target):
            usage = usage._replace(searches=1)  # which OpenAI's search models do not report
        return usage._replace(machine_ms=machine_ms) if machine_ms else usage

    def so_far(self, context: RequestContext, attempt: Attempt) -> Usage:
        """Return the usage so far of an answer that broke off."""
        return context.charges.estimate(attempt.target).so_far(attempt.frames, attempt.output_chars)

    def by_time(self, context: RequestContext, attempt: Attempt) -> Usage:
        """Return the usage of an attempt without any report, estimated from its elapsed time."""
        target = attempt.target
        elapsed_s = None if attempt.began is None else self._clock.monotonic() - attempt.began
        return context.charges.estimate(target).by_time(elapsed_s, self._control.tokens_per_s(target.name))

    def machine_ms(self, attempt: Attempt) -> int:
        """
        Return an attempt's share of the time of a local machine, where its provider reports none.

        It is the attempt's duration, divided by the attempts that this router has in flight there at its end.
        """
        if not attempt.target.machine_ms or attempt.began is None:
            return 0
        present = 1 + self._control.gauges.get((IN_FLIGHT, (attempt.provider_id,)), 0)
        return round(1000 * (self._clock.monotonic() - attempt.began) / present)


def _is_impossible(context: RequestContext, target: Target, reported: Usage) -> bool:
    requirements = context.requirements
    extent = requirements.extent
    hosted = extent is not None and bool(extent.searches or extent.fetched or extent.unbounded_tool)
    rounds = ROUNDS if hosted or always_searches(target) else 1
    if extent is not None:
        rounds = max(rounds, 1 + extent.further_prompts)
    most = context.charges.most(target)
    return is_impossible(reported, most, window_for(target, requirements), requirements.answers, rounds)
