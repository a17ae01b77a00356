"""
Whose time it is that a machine of one's own spends: shared evenly, moment by moment.

    one request alone         a second of it is a second of the machine
    n requests together       a second of each is a n-th of one

A clock of its own, which n requests slow down to an n-th of its pace, says what each has had: how far that
clock went while it was there. So nobody has to look at the others when one comes or goes.
"""

from math import floor


class Occupancy:
    """
    The requests that one machine works on; every moment in which there are any belongs to them, evenly.

    Moments are in seconds on any scale that does not go back. Shares are whole milliseconds, rounded half up;
    what one share was rounded by is made up for by the next, so that all of them together are never further
    than half a millisecond from what they should be. So a share may be more than its request's own time, by
    less than a millisecond.
    """

    def __init__(self) -> None:
        self._had: dict[int, float] = {}  # what each that is here would have had, were it here from the start
        self._each_s = 0.0
        self._seen = 0.0
        self._rounded_by_ms = 0.0
        self._tickets = 0
        self._busy_s = 0.0

    @property
    def present(self) -> int:
        """How many requests are being worked on."""
        return len(self._had)

    def busy_s(self, now: float) -> float:
        """For how long there was anybody, so far."""
        self._go_on(now)
        return self._busy_s

    def arrive(self, now: float) -> int:
        """A request is being worked on from now on: its ticket."""
        self._go_on(now)
        self._tickets += 1
        self._had[self._tickets] = self._each_s
        return self._tickets

    def leave(self, ticket: int, now: float) -> int:
        """Its share of the machine's time, in milliseconds; nothing for one that has left already."""
        if ticket not in self._had:
            return 0
        self._go_on(now)
        exact_ms = 1000 * (self._each_s - self._had.pop(ticket)) + self._rounded_by_ms
        share_ms = max(0, floor(exact_ms + 0.5))
        self._rounded_by_ms = exact_ms - share_ms
        if not self._had:
            self._each_s = 0.0  # a number that only grows would become less exact over the years
        return share_ms

    def _go_on(self, now: float) -> None:
        passed_s = max(0.0, now - self._seen)
        if self._had:
            self._each_s += passed_s / len(self._had)
            self._busy_s += passed_s
        self._seen += passed_s
