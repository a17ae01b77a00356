"""
Credit that requests wait for, where there is none left to reserve.

The sums are the borrower's (`limits/client.py`); here is the waiting, and what becomes of a request while
the authority does not answer.
"""

import asyncio
import contextlib
from collections.abc import Callable, Iterable, Sequence

from serve_app.clock import Clock
from serve_app.errors import GatewayUnavailable, LimitReached
from serve_app.ledger.entry import Entry
from serve_app.limits.allocator import LEASE_S
from serve_app.limits.client import LeaseClient, Need, Reservation
from serve_app.limits.limit import Limit
from serve_app.limits.refusals import refusal_of

CREDIT_WITHIN_S = 2.0  # a request waits for credit that others hold, or for an authority that starts anew


class Reservations:
    """
    The credit of one router, as its requests see it.

    `report` is called when the authority has to hear soon what is wanted; `trusts`: where that cannot be
    asked, requests go on within what was last known to be left.
    """

    def __init__(self, clock: Clock, trusts: bool, report: Callable[[], None]) -> None:
        self._clock = clock
        self._trusts = trusts
        self._report = report
        self._answered = asyncio.Event()
        self._heard_at = clock.monotonic()
        self.lease_client = LeaseClient()

    async def reserve(self, needs: Sequence[Need], within_s: float) -> Reservation:
        """
        Reserve all of these, out of the credit that is held here; where that is short, more is asked for.

        Raises BudgetExceeded or RateLimitExceeded when there is not as much left in the whole cluster, and
        GatewayUnavailable when nobody could say so within `within_s` seconds, and nothing may go on without.
        """
        until = self._clock.monotonic() + min(within_s, CREDIT_WITHIN_S)
        while True:
            now = self._clock.now()
            is_alone = self._clock.monotonic() - self._heard_at > LEASE_S
            if is_alone:
                self.lease_client.lose_free()
            if reservation := self.lease_client.reserve(needs, now):
                if reservation.leaves_little:
                    self._report()
                return reservation
            if short := self.lease_client.shortfall(needs, now):
                raise refusal_of(short, now)
            left_s = until - self._clock.monotonic()
            if (
                self._trusts
                and (is_alone or left_s <= 0)
                and (reservation := self.lease_client.trust(needs, now))
            ):
                self._report()
                return reservation
            if left_s <= 0:
                limit, _ = needs[0]
                raise GatewayUnavailable(
                    f"The remaining quota of limit '{limit.id}' is temporarily unavailable", retry_after_s=1.0
                )
            self.lease_client.ask(needs, now)
            answered = self._answered
            self._report()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(left_s):
                    await answered.wait()

    def settle(self, reservation: Reservation, entry: Entry | None = None) -> None:
        """End a hold, with what the entry says was used; without one nothing was, but a count stays."""
        self.lease_client.settle(reservation, entry, self._clock.now())

    def cancel(self, reservation: Reservation) -> None:
        """Give back a hold of which nothing was sent."""
        self.lease_client.cancel(reservation, self._clock.now())

    def foreseen(self, limit: Limit, amount: int) -> LimitReached | None:
        """The refusal that this much of a limit is known to meet; None where one has to ask."""
        now = self._clock.now()
        short = self.lease_client.foreseen(limit, amount, now)
        return None if short is None else refusal_of(short, now)

    def left(self, budgets: Iterable[Limit]) -> list[tuple[Limit, int]]:
        """How much of each budget is left, for all that this router has heard."""
        now, left_of = self._clock.now(), self.lease_client.left
        return [(limit, left_of(limit, now)) for limit in budgets]

    def heard(self, at: float) -> None:
        """The authority has answered what was asked at this moment, on the monotonic clock."""
        self._heard_at = at

    def answer(self) -> None:
        """Let those who wait for credit try again."""
        self._answered.set()
        self._answered = asyncio.Event()
