"""
Reservations of quota for requests, which wait where this router's leases are used up.

`limits/client.py` does the arithmetic; this module waits, and decides what happens while the control plane
does not answer.
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

QUOTA_WITHIN_S = 2.0  # a request waits this long for quota of other routers or a restarted control plane


class Reservations:
    """
    The reservations of one router's requests.

    Args:
        report: called when the control plane should soon receive a report.
        trusts: while the control plane is unreachable, requests continue within the last known remainder.
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
        Reserve all of these amounts from this router's leases; ask for more where they fall short.

        Raises:
            BudgetExceeded, RateLimitExceeded: less is left in the whole cluster.
            GatewayUnavailable: the control plane did not answer within `within_s` seconds, and `trusts` is
                False.
        """
        until = self._clock.monotonic() + min(within_s, QUOTA_WITHIN_S)
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
        """Settle a reservation with the entry's usage; without an entry only a counted request stays."""
        self.lease_client.settle(reservation, entry, self._clock.now())

    def cancel(self, reservation: Reservation) -> None:
        """Cancel a reservation whose request was not sent."""
        self.lease_client.cancel(reservation, self._clock.now())

    def foreseen(self, limit: Limit, amount: int) -> LimitReached | None:
        """Return the refusal that this amount is known to get; None: the control plane must decide."""
        now = self._clock.now()
        short = self.lease_client.foreseen(limit, amount, now)
        return None if short is None else refusal_of(short, now)

    def left(self, budgets: Iterable[Limit]) -> list[tuple[Limit, int]]:
        """Return how much of each budget is left, by the last report that this router received."""
        now, left_of = self._clock.now(), self.lease_client.left
        return [(limit, left_of(limit, now)) for limit in budgets]

    def heard(self, at: float) -> None:
        """Record that the control plane answered a report of this moment, on the monotonic clock."""
        self._heard_at = at

    def answer(self) -> None:
        """Let the waiting requests try again."""
        self._answered.set()
        self._answered = asyncio.Event()
