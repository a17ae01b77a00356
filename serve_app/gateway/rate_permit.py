"""Permission to serve one request, within its caller's rate and concurrency limits."""

from serve_app.control.control_cache import ControlCache
from serve_app.limits.caller_limits import CallerLimits
from serve_app.limits.client import Reservation


class RequestPermit:
    """One request, counted against its caller's limits from its admission until it ends."""

    def __init__(self, control: ControlCache, reservation: Reservation | None) -> None:
        self._control = control
        self._reservation = reservation

    def close(self) -> None:
        """End the request and free its place for another one. Idempotent."""
        if (reservation := self._taken()) is not None:
            self._control.reservations.settle(reservation)

    def withdraw(self) -> None:
        """Cancel the reservation of a request that had no target, as if it had never been made."""
        if (reservation := self._taken()) is not None:
            self._control.reservations.cancel(reservation)

    def _taken(self) -> Reservation | None:
        reservation, self._reservation = self._reservation, None
        return reservation


async def obtain_permit(control: ControlCache, limits: CallerLimits, within_s: float) -> RequestPermit:
    """
    Count a request against its caller's limits.

    Raises:
        LimitReached: the caller is at its rate or concurrency limit.
        GatewayUnavailable: the remaining quota is not known within that time, and is required.
    """
    needs = [(limit, 1) for limit in limits.of_requests]
    return RequestPermit(control, await control.reservations.reserve(needs, within_s) if needs else None)
