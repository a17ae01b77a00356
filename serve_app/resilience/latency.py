"""The latency of a target, as an exponentially decaying average."""

from math import exp

HALF_LIFE_S = 60.0
_DECAY = 0.6931471805599453 / HALF_LIFE_S


class Latency:
    """
    An average in which a sample has half its weight after a minute.

    The weight of older samples depends on the time that has passed, not on the number of requests.
    """

    __slots__ = ("_at", "_mean", "_weight")

    def __init__(self) -> None:
        self._mean = 0.0
        self._weight = 0.0
        self._at = 0.0

    def add(self, seconds: float, now: float) -> None:
        """Add one sample, measured at `now`."""
        kept = self._weight * exp(-_DECAY * max(0.0, now - self._at))
        self._weight = kept + 1.0
        self._mean += (seconds - self._mean) / self._weight
        self._at = max(now, self._at)

    @property
    def mean_s(self) -> float | None:
        """Return the average in seconds; None before the first sample."""
        return self._mean if self._weight else None
