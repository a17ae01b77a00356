"""
Attempts at the targets of a plan, one after another, until one answers.

The same code serves whole answers, streams and embeddings: the function `ask` makes the call.
`resilience/retry.py` decides what follows a failure.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from random import Random
from typing import TypeVar

from serve_app.clock import Clock
from serve_app.config.settings import Settings
from serve_app.control.backend import Backend, moved_to
from serve_app.control.breakers import Admission
from serve_app.control.control_cache import ControlCache
from serve_app.errors import (
    FailureKind,
    LimitReached,
    UpstreamError,
    internal_error,
    upstream_error,
)
from serve_app.gateway.attempt import Attempt, AttemptTimeouts
from serve_app.gateway.final_error import final_error
from serve_app.gateway.next_targets import advised
from serve_app.gateway.recorder import Recorder
from serve_app.gateway.request_context import RequestContext
from serve_app.limits.client import Reservation
from serve_app.providers.base import Call, Provider, Wakeable
from serve_app.providers.translating import speaking
from serve_app.resilience.retry import JITTER, NextStep, Outlook, Retry, Tried, next_step
from serve_app.resilience.silence import first_token_limit
from serve_app.routing.candidate import Candidate
from serve_app.routing.plan import Plan
from serve_app.routing.target import Target

A = TypeVar("A")

Ask = Callable[[Provider, Call, Attempt], Awaitable[A | UpstreamError]]

LOOKS_EVERY_S = 1.0  # checks that a local replica is still alive while its answer is awaited
NO_HURRY = 0.9  # of the usual time: time spent before the first attempt does not make it hurried

log = logging.getLogger("sekha.gateway")


class Executor:
    """Tries the targets of a plan; the only place that does."""

    def __init__(
        self,
        settings: Settings,
        providers: Mapping[str, Provider],
        control: ControlCache,
        recorder: Recorder,
        clock: Clock,
        rng: Random,
    ) -> None:
        self.recorder = recorder
        self._providers = providers
        self._configs = {provider.id: provider for provider in settings.llm_providers}
        self._settings = settings
        self._request_timeout = settings.routing.request_timeout
        self._passes_filter = settings.routing.fallback_on_content_filter
        self._control = control
        self._clock = clock
        self._rng = rng

    async def answer(self, context: RequestContext, ask: Ask[A]) -> tuple[Attempt, A]:
        """
        Return the first answer of the remaining targets, and the attempt that got it.

        Called again after an answer has broken off, it continues with the targets that remain then.

        Raises:
            GatewayError: no target answered; the error to show to the caller.
        """
        self._wake(context.plan)  # only for admitted requests: a machine costs money
        while context.remaining_s > 0.0 and (candidate := self._choose(context)) is not None:
            found = await self._try(context, candidate, ask)
            if not isinstance(found, NextStep):
                return found
            context.leave(candidate, found)
        raise advised(final_error(context), context.plan)

    def passes_on(self, context: RequestContext, broken: Attempt, error: UpstreamError) -> bool:
        """Drop the target whose answer broke off; return whether another one may continue it."""
        tried = Tried(error, broken.retries, has_begun=True)
        policy = self._configs[broken.provider_id].retry
        step = next_step(tried, policy, self._outlook(context, broken.candidate), chance=0.0)
        move = step if isinstance(step, NextStep) else NextStep.FALLBACK
        context.leave(broken.candidate, move)
        return move is not NextStep.GIVE_UP

    def answer_limit(self, provider_id: str) -> float:
        """Return the most bytes that an answer of this provider may have."""
        return self._configs[provider_id].max_answer_mb * 1024**2

    def fail(
        self, context: RequestContext, attempt: Attempt, error: UpstreamError, retry_in_s: float | None = None
    ) -> None:
        """Record a failed attempt; `retry_in_s` is set if the same target is asked again."""
        context.fail(attempt.target, error)
        self.recorder.failed(context, attempt, error, retry_in_s)

    def _wake(self, plan: Plan) -> None:
        """Start replicas of the scaled-to-zero targets that the plan missed; others answer meanwhile."""
        for candidate in plan.missed:
            provider = self._providers[candidate.target.provider_id]
            if isinstance(provider, Wakeable):
                provider.wake()

    def _choose(self, context: RequestContext) -> Candidate | None:
        """Return the best remaining target; rate-limited targets come after the others."""
        askable = context.askable
        if not askable:
            return None
        chosen = askable[0]
        if context.requirements.falls_back and self._control.breakers.cooling_s(chosen.target.name):
            # It is rate limited: a stand-in may be asked.
            chosen = min(
                context.remaining, key=lambda other: self._control.breakers.cooling_s(other.target.name)
            )
            context.passes_over = context.passes_over or chosen is not askable[0]
        context.take(chosen)
        return chosen

    async def _try(
        self, context: RequestContext, candidate: Candidate, ask: Ask[A]
    ) -> tuple[Attempt, A] | NextStep:
        """Call one target, with retries as its policy allows."""
        target = candidate.target
        policy = self._configs[target.provider_id].retry
        retries = 0
        wait_s = 0.0
        while True:
            if not await self._waited(context, target, wait_s):
                return NextStep.FALLBACK
            try:
                attempt = await self._admitted(context, candidate, retries)
            except LimitReached as reached:
                context.refusals.append(reached)
                return NextStep.FALLBACK
            if attempt is None:
                context.miss(target)
                return NextStep.FALLBACK
            began = self._clock.monotonic()
            answer = await self._asked(context, attempt, ask)
            if not isinstance(answer, UpstreamError):
                return attempt, answer
            took_s = self._clock.monotonic() - began
            tried = Tried(answer, retries, took_s, has_begun=attempt.frames > 0)
            step = next_step(tried, policy, self._outlook(context, candidate), self._rng.random())
            if not isinstance(step, Retry):
                self.fail(context, attempt, answer)
                return step
            self.fail(context, attempt, answer, retry_in_s=step.after_s)
            wait_s = step.after_s
            retries += 1

    def _outlook(self, context: RequestContext, candidate: Candidate) -> Outlook:
        # A target whose machine is still starting does not count as an alternative.
        has_other = any(self._may_serve(other) for other in context.after(candidate) if other.is_ready)
        stands_in = context.stands_in(candidate.target)
        return Outlook(context.remaining_s, has_other, stands_in, self._passes_filter)

    async def _admitted(self, context: RequestContext, candidate: Candidate, retries: int) -> Attempt | None:
        """Return the next attempt at a target; None if its breaker is open. Raises LimitReached."""
        target = candidate.target
        reservation = await context.charges.reserve(target, context.remaining_s)
        admission = None
        try:
            admission = await self._control.admit(target.provider_id)
            if admission is not None:
                return self._attempt(
                    context, candidate, admission, retries, self._timeouts(context, candidate), reservation
                )
        except BaseException:
            context.charges.release(reservation)
            if admission is not None:
                self._control.breakers.decline(admission)
            raise
        context.charges.release(reservation)
        return None

    def _attempt(
        self,
        context: RequestContext,
        candidate: Candidate,
        admission: Admission,
        retries: int,
        timeouts: AttemptTimeouts,
        reservation: Reservation | None,
    ) -> Attempt:
        """Journal and return the next attempt. Raises GatewayUnavailable if a required journal fails."""
        charge = context.charges.begin(candidate.target, context.attempts + 1, reservation)
        context.attempts += 1
        has_machine = self._control.has_machine(candidate.target.provider_id)
        began = self._clock.monotonic() if has_machine else None
        return Attempt(
            candidate,
            admission,
            context.attempts,
            retries,
            timeouts,
            charge,
            began,
            context.request.chat_format,
        )

    @contextmanager
    def _asking(self, context: RequestContext, attempt: Attempt) -> Iterator[None]:
        """Mark the attempt as current until the target's first output: a caller that leaves abandons it."""
        context.current = attempt
        with self.recorder.in_flight(attempt):
            yield
        context.current = None
        if attempt.began is None:
            attempt.began = self._clock.monotonic()  # at the latest: the first output has arrived

    async def _waited(self, context: RequestContext, target: Target, wait_s: float) -> bool:
        """
        Sleep for the retry delay and the target's rate limit, which another request may have extended.

        Returns:
            False, without waiting, if the deadline or `retry_after_max_s` does not allow the wait.
        """
        patience_s = self._configs[target.provider_id].retry.retry_after_max_s
        while True:
            cooling_s = self._control.breakers.cooling_s(target.name)
            if not (wait_s or cooling_s):
                return True
            if cooling_s > patience_s or max(wait_s, cooling_s) >= context.remaining_s:
                context.postpone(target, max(wait_s, cooling_s))
                return False
            # Requests that waited together must not retry together.
            apart_s = cooling_s * (1 + JITTER * self._rng.random())
            await self._clock.sleep(max(wait_s, apart_s if apart_s < context.remaining_s else cooling_s))
            wait_s = 0.0

    def _timeouts(self, context: RequestContext, candidate: Candidate) -> AttemptTimeouts:
        """
        Return the timeouts of this attempt.

        A stream must begin within its target's first-token limit while another target could still be asked;
        the last target may use the remaining time.
        """
        config = self._configs[candidate.target.provider_id]
        remaining_s = context.remaining_s
        own_s = self._first_token_s(context, candidate.target) if context.request.streams else config.timeout
        hurried = remaining_s < NO_HURRY * min(own_s, self._request_timeout)
        if not context.request.streams:
            return AttemptTimeouts(
                min(remaining_s, own_s), config.first_byte_timeout_s or own_s, hurried=hurried
            )
        return AttemptTimeouts(
            min(remaining_s, own_s) if self._has_other(context, candidate) else remaining_s,
            config.first_byte_timeout_s or remaining_s,
            config.stream_idle_timeout_s,
            hurried=hurried,
        )

    def _first_token_s(self, context: RequestContext, target: Target) -> float:
        config, requirements = self._configs[target.provider_id], context.requirements
        return first_token_limit(
            config.first_token_timeout_s,
            target.model_id,
            is_asked_to_think=requirements.thinks,
            input_tokens=requirements.input_tokens,
            is_own=config.may_load_first,
        )

    def _has_other(self, context: RequestContext, candidate: Candidate) -> bool:
        """Return whether another target could be asked if this one fails."""
        return any(self._may_serve(other) for other in context.after(candidate))

    def _may_serve(self, candidate: Candidate) -> bool:
        target = candidate.target
        patience_s = self._configs[target.provider_id].retry.retry_after_max_s
        return (
            not self._control.breakers.is_open(target.provider_id)
            and self._control.breakers.cooling_s(target.name) <= patience_s
        )

    def _moved_to(self, target: Target) -> str | None:
        """Return the address that an operator set in place of the configured one; None: none."""
        if target.provider_type != Backend.VLLM:
            return None
        return moved_to(self._settings, self._control.runtime_config.backend, target.provider_id)

    def _is_local(self, target: Target, moved_to: str | None) -> bool:
        """Return whether a request's data stays local, even if the target was moved after planning."""
        return self._configs[target.provider_id].keeps_data_local(moved_to)

    async def _asked(self, context: RequestContext, attempt: Attempt, ask: Ask[A]) -> A | UpstreamError:
        """Call the target; an exception of our own code is no failure of the provider."""
        target, timeouts = attempt.target, attempt.timeouts
        moved_to = self._moved_to(target)
        if context.requirements.local_only and not self._is_local(target, moved_to):
            message = f"Provider '{target.provider_id}' was moved to an address that is not local"
            return upstream_error(message, target.provider_id, FailureKind.NOT_FOUND)
        call = Call(
            target.model_id,
            context.request.body,
            timeouts.timeout_s,
            context.request.id,
            context.request.wants_usage,
            timeouts.first_byte_s,
            timeouts.idle_s,
            moved_to,
            context.charges.sends(target),
            context.charges.limits_tools(target),
            context.request.format.name,
            context.request.headers,
            context.request.files,
        )
        provider = self._provider(context, target)
        if isinstance(provider, UpstreamError):
            return provider
        most = self._configs[target.provider_id].most_in_router
        if self.recorder.in_flight_at(target.provider_id) >= most:
            message = f"Provider '{target.provider_id}' is at its concurrency limit ({most})"
            return upstream_error(message, target.provider_id, FailureKind.SATURATED, retry_after_s=1.0)
        with self._asking(context, attempt):
            try:
                if self._may_be_lost(context, attempt.candidate):
                    return await self._unless_gone(target.provider_id, ask(provider, call, attempt))
                return await ask(provider, call, attempt)
            except Exception:
                log.exception(
                    "request %s: our code failed at provider '%s'", context.request.id, target.provider_id
                )
                return internal_error(target.provider_id, context.request.id)

    def _provider(self, context: RequestContext, target: Target) -> Provider | UpstreamError:
        """Return the target's provider, wrapped in a translator if it does not speak the caller's format."""
        provider, callers = self._providers[target.provider_id], context.request.format.name
        if callers in target.formats:
            return provider
        translating = speaking(callers, provider, target.provider_id, target.formats, self._clock)
        if translating is not None:
            return translating
        message = f"Provider '{target.provider_id}' cannot be asked for '{callers}'"
        return upstream_error(message, target.provider_id, FailureKind.UNSUPPORTED)

    def _may_be_lost(self, context: RequestContext, candidate: Candidate) -> bool:
        """Return whether the target is a running local replica, and another target could replace it."""
        hosted = self._configs[candidate.target.provider_id].local is not None
        return hosted and candidate.is_ready and bool(context.after(candidate))

    async def _unless_gone(
        self, provider_id: str, answering: Awaitable[A | UpstreamError]
    ) -> A | UpstreamError:
        """
        Return the answer, or a failure as soon as the provider has no replica left.

        Otherwise a request whose replica has died would wait for the next one to start.
        """
        coming = asyncio.ensure_future(answering)
        looking: asyncio.Future[None] | None = None
        try:
            while not coming.done():
                looking = asyncio.ensure_future(self._clock.sleep(LOOKS_EVERY_S))
                await asyncio.wait((coming, looking), return_when=asyncio.FIRST_COMPLETED)
                if not coming.done() and not self._control.capacity(provider_id).ready:
                    message = f"The last replica of provider '{provider_id}' has stopped"
                    return upstream_error(message, provider_id, FailureKind.SATURATED, retry_after_s=1.0)
            return coming.result()
        finally:
            for task in (coming, looking):
                if task is not None and not task.done():
                    task.cancel()
            await asyncio.gather(coming, return_exceptions=True)
