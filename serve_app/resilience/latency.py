"""How long a target takes, as a moving average that forgets."""

from math import exp

HALF_LIFE_S = 60.0
_DECAY = 0.6931471805599453 / HALF_LIFE_S


class Latency:
    """
    An average in which a sample counts half after a minute.

    The weight of the past depends on the time that passed, not on how many requests came.
    """

    __slots__ = ("_at", "_mean", "_weight")

    def __init__(self) -> None:
        self._mean = 0.0
        self._weight = 0.0
        self._at = 0.0

    def add(self, seconds: float, now: float) -> None:
        """Take in one sample, seen at `now`."""
        kept = self._weight * exp(-_DECAY * max(0.0, now - self._at))
        self._weight = kept + 1.0
        self._mean += (seconds - self._mean) / self._weight
        self._at = max(now, self._at)

    @property
    def mean_s(self) -> float | None:
        """Seconds; None before the first sample."""
        return self._mean if self._weight else None
