"""
The cost of a request: reserved and journaled before each attempt, settled after it.

An attempt is sent only after its reservation and its journal entry; every reservation is released.
"""

from dataclasses import dataclass

from serve_app.clock import Clock
from serve_app.config.model import CHAT_TASKS, SOUND_TASKS, ModelTask
from serve_app.control.control_cache import ControlCache
from serve_app.errors import PriceUnknown
from serve_app.gateway.affordable_targets import (
    Output,
    longest_of,
    most_usage,
    output_of,
    unpriced_use,
    worst_at,
)
from serve_app.gateway.request import GatewayRequest
from serve_app.ledger.entry import Entry, EntryOutcome
from serve_app.ledger.journal import Begun
from serve_app.limits.client import Need, Reservation
from serve_app.limits.limit import Unit
from serve_app.pricing.money import MOST_NANO
from serve_app.pricing.sound import charges_tokens, transcript_usage
from serve_app.pricing.usage import Usage, dearer_tier
from serve_app.pricing.usage_estimate import UsageEstimate
from serve_app.routing.requirements import Requirements
from serve_app.routing.target import Target
from serve_app.routing.target_stats import sound_usage

PER_IMAGE = 765  # tokens of a picture of 1024 by 1024, as gpt-4o counts it


@dataclass(slots=True)
class AttemptCharge:
    """The charge of one attempt, settled once; `ticket` is its place in the journal."""

    target: Target
    attempt: int
    reservation: Reservation | None
    ticket: int
    is_settled: bool = False


class RequestCharges:
    """Charges one request to its caller, within the limits that apply to it."""

    def __init__(
        self, request: GatewayRequest, requirements: Requirements, control: ControlCache, clock: Clock
    ) -> None:
        self._request = request
        self._requirements = requirements
        self._control = control
        self._clock = clock
        self._limits = control.limits_for(request.caller)
        self._most: dict[str, Usage] = {}
        self._worst: dict[str, tuple[Usage, int | None]] = {}
        self._outputs: dict[str, Output] = {}

    async def reserve(self, target: Target, within_s: float) -> Reservation | None:
        """
        Reserve the worst-case usage of an attempt at this target; None where no limit applies.

        A free model reserves no money, so it serves on an empty budget.

        Raises:
            LimitReached: not enough remains of a limit.
            GatewayUnavailable: the remaining quota is unknown.
        """
        limits = self._limits.of_attempts_at(target.provider_id, target.model_id)
        if not limits:
            return None
        most, cost = self.at_worst(target)
        price = self._control.price(target.name)
        needs: list[Need] = []
        for limit in limits:
            if limit.unit is Unit.NANO_DOLLARS:
                if cost is None or price is None:
                    raise PriceUnknown(target.name, limit.id)
                if unpriced := unpriced_use(price, target, self._requirements, limit.id):
                    raise unpriced
                amount = cost
            else:
                amount = most.total_tokens if limit.unit is Unit.TOKENS else 1
            if amount:
                needs.append((limit, amount))
        return await self._control.reservations.reserve(needs, within_s) if needs else None

    def release(self, reservation: Reservation | None) -> None:
        """Release the reservation of an attempt that was not sent."""
        if reservation is not None:
            self._control.reservations.cancel(reservation)

    def begin(self, target: Target, attempt: int, reservation: Reservation | None) -> AttemptCharge:
        """Journal the start of an attempt. Raises GatewayUnavailable if that is required and fails."""
        most, cost = self.at_worst(target)
        begun = Begun(
            request_id=self._request.id,
            attempt=attempt,
            at=self._clock.now(),
            tenant=self._request.caller.tenant,
            caller=self._request.caller.name,
            provider_id=target.provider_id,
            model_id=target.model_id,
            task=self._requirements.task,
            operation=self._request.operation,
            usage=most,
            cost=cost,
        )
        return AttemptCharge(target, attempt, reservation, self._control.begin(begun))

    def settle(
        self,
        charge: AttemptCharge,
        usage: Usage | None,
        outcome: EntryOutcome,
        latency_s: float,
        first_token_s: float | None = None,
    ) -> int | None:
        """
        Record the usage and cost of an attempt, and release the rest of its reservation.

        Without usage the attempt costs nothing.

        Returns:
            The cost in nano-dollars; None if the price is unknown.
        """
        cost = 0 if usage is None else self._cost(charge.target, usage)
        if charge.is_settled:
            return cost
        charge.is_settled = True
        journal, number = self._control.next_page()
        entry = Entry(
            journal=journal,
            number=number,
            request_id=self._request.id,
            attempt=charge.attempt,
            at=self._clock.now(),
            tenant=self._request.caller.tenant,
            caller=self._request.caller.name,
            provider_id=charge.target.provider_id,
            model_id=charge.target.model_id,
            task=self._requirements.task,
            operation=self._request.operation,
            usage=usage or Usage(),
            cost=cost,
            outcome=outcome,
            latency_s=latency_s,
            first_token_s=first_token_s,
            cache_saving=0 if usage is None else self._cache_saving(charge.target, usage),
        )
        self._control.account(entry, charge.ticket, charge.reservation)
        return cost

    def at_worst(self, target: Target) -> tuple[Usage, int | None]:
        """Return the worst-case usage and cost (None without a price) of an attempt, cached by target."""
        known = self._worst.get(target.name)
        if known is None:
            most, cost = self.most(target), None
            if price := self._control.price(target.name):
                most = worst_at(price, most, self._requirements, target.caches_prompts)
                cost = price.cost(most)
            known = self._worst[target.name] = most, cost
        return known

    def most(self, target: Target) -> Usage:
        """Return the most that an attempt may use, in plain kinds of token; cached by target."""
        known = self._most.get(target.name)
        if known is None:
            known = most_usage(target, self._requirements, self._output(target))
            is_transcript = self._requirements.task is ModelTask.TRANSCRIPTION
            if is_transcript and not charges_tokens(self._control.price(target.name)):
                known = known._replace(input=0, output=0, audio_input=0)  # nor do rates of tokens count any
            self._most[target.name] = known
        return known

    def sends(self, target: Target) -> int | None:
        """Return the bound of output tokens to put into the request, as it was reserved; None: no bound."""
        return self._output(target).sent

    def longest(self, target: Target) -> int | None:
        """Return the most tokens of all answers together; None if unbounded."""
        sent = self._output(target).sent
        return longest_of(target) if sent is None else self._output(target).most * self._requirements.answers

    def estimate(self, target: Target) -> UsageEstimate:
        """Return the estimate of an attempt's usage, for a provider that does not report it."""
        requirements = self._requirements
        return UsageEstimate(
            requirements.input_tokens + PER_IMAGE * requirements.images,
            requirements.extent.sound if requirements.extent else 0,
            dearer_tier(requirements.service_tier),
            requirements.task in CHAT_TASKS,
            self.most(target).output_tokens,
            self.longest(target),
            requirements.pieces,
            self._of_sound(target),
        )

    def by_price(self, target: Target, reported: Usage) -> Usage:
        """
        Return a reported usage, in tokens if only those of a transcript have a price.

        Some servers report how long a sound is, whatever is charged for it.
        """
        if self._requirements.task is not ModelTask.TRANSCRIPTION:
            return reported
        price = self._control.price(target.name)
        if price is None or price.second or not charges_tokens(price):
            return reported
        if reported.total_tokens or not reported.seconds:
            return reported
        return transcript_usage(price, self._requirements.input_tokens, reported.seconds)

    def _of_sound(self, target: Target) -> Usage | None:
        """Return what speech or a transcript probably uses; None for other requests."""
        requirements = self._requirements
        if requirements.task not in SOUND_TASKS:
            return None
        return sound_usage(self._control.price(target.name), requirements)

    def limits_tools(self, target: Target) -> bool:
        """Return whether the vendor's tools get a bound where the caller has set none."""
        extent = self._requirements.extent
        return extent is not None and extent.lacks_uses and self._is_limited(target)

    def _output(self, target: Target) -> Output:
        known = self._outputs.get(target.name)
        if known is None:
            known = output_of(target, self._requirements, self._is_limited(target))
            self._outputs[target.name] = known
        return known

    def _is_limited(self, target: Target) -> bool:
        """Return whether a limit of tokens, or a budget that pays for output, applies to this target."""
        limits = self._limits.of_attempts_at(target.provider_id, target.model_id)
        if not limits:
            return False
        units = {limit.unit for limit in limits}
        if Unit.TOKENS in units:
            return True
        if Unit.NANO_DOLLARS not in units:
            return False
        price = self._control.price(target.name)
        return price is None or price.charges_for_output

    def _cache_saving(self, target: Target, usage: Usage) -> int:
        price = self._control.price(target.name)
        return 0 if price is None else price.cache_saving(usage)

    def _cost(self, target: Target, usage: Usage) -> int | None:
        price = self._control.price(target.name)
        return None if price is None else min(price.cost(usage), MOST_NANO)
