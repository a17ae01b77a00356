"""Leave to serve one request: its place within its caller's rates and its caller's requests at once."""

from serve_app.control.cache import ControlCache
from serve_app.limits.caller_limits import CallerLimits
from serve_app.limits.client import Reservation


class RequestPermit:
    """Counts one request against its caller's limits, from its admission until it is over."""

    def __init__(self, control: ControlCache, reservation: Reservation | None) -> None:
        self._control = control
        self._reservation = reservation

    def close(self) -> None:
        """The request is over: another one of its caller may come. Further calls change nothing."""
        if (reservation := self._taken()) is not None:
            self._control.reservations.settle(reservation)

    def withdraw(self) -> None:
        """There was nobody to ask: as if the request had never come."""
        if (reservation := self._taken()) is not None:
            self._control.reservations.cancel(reservation)

    def _taken(self) -> Reservation | None:
        reservation, self._reservation = self._reservation, None
        return reservation


async def obtain_permit(control: ControlCache, limits: CallerLimits, within_s: float) -> RequestPermit:
    """
    Count a request against its caller's limits.

    Raises:
        LimitReached: the caller has as many requests, in this minute or at once, as it may.
        GatewayUnavailable: nobody can say within that time what is left, and nothing may go on without.
    """
    needs = [(limit, 1) for limit in limits.of_requests]
    return RequestPermit(control, await control.reservations.reserve(needs, within_s) if needs else None)
