"""
The division of a local machine's time among its requests: evenly, at every moment.

    one request alone         each second of it is a second of the machine
    n requests together       each second of each is an n-th of one

A virtual clock runs at an n-th of real time while n requests are present. The share of a request is the
virtual time that passed while it was there, so arrivals and departures cost the same for any n.
"""

from math import floor


class Occupancy:
    """
    The requests that one machine serves; its busy time is divided among them evenly.

    Times are in seconds on any monotonic scale. Shares are whole milliseconds, rounded half up. Each rounding
    error is carried over to the next share, so the sum of all shares is never off by more than half a
    millisecond, and a share may exceed its request's own time by less than a millisecond.
    """

    def __init__(self) -> None:
        self._had: dict[int, float] = {}  # by ticket: the virtual clock at its arrival
        self._each_s = 0.0
        self._seen = 0.0
        self._rounded_by_ms = 0.0
        self._tickets = 0
        self._busy_s = 0.0

    @property
    def present(self) -> int:
        """Return the number of requests being served."""
        return len(self._had)

    def busy_s(self, now: float) -> float:
        """Return for how many seconds there was at least one request, so far."""
        self._go_on(now)
        return self._busy_s

    def arrive(self, now: float) -> int:
        """Add a request that is served from now on; return its ticket."""
        self._go_on(now)
        self._tickets += 1
        self._had[self._tickets] = self._each_s
        return self._tickets

    def leave(self, ticket: int, now: float) -> int:
        """
        Remove a request; return its share of the machine's time in milliseconds, 0 if it was removed before.
        """
        if ticket not in self._had:
            return 0
        self._go_on(now)
        exact_ms = 1000 * (self._each_s - self._had.pop(ticket)) + self._rounded_by_ms
        share_ms = max(0, floor(exact_ms + 0.5))
        self._rounded_by_ms = exact_ms - share_ms
        if not self._had:
            self._each_s = 0.0  # a float that only grows would lose precision over the years
        return share_ms

    def _go_on(self, now: float) -> None:
        passed_s = max(0.0, now - self._seen)
        if self._had:
            self._each_s += passed_s / len(self._had)
            self._busy_s += passed_s
        self._seen += passed_s
