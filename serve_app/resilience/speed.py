"""The output speed of a target: a decaying 95th percentile of tokens per second."""

from math import ceil, log

HALF_LIFE_S = 600.0
UNMEASURED = 200.0  # tokens per second before the first answer: above what most models write
SHARE = 0.95

_GROWTH = 1.25  # from one bucket's upper edge to the next
_BUCKETS = 48  # the last one ends at 36,000 tokens per second
_STEP = log(_GROWTH)


class Speed:
    """
    A histogram of speeds in which a sample has half its weight after ten minutes.

    A percentile is the upper edge of its bucket, so it is up to a quarter too high and never too low.
    """

    __slots__ = ("_at", "_counts")

    def __init__(self) -> None:
        self._counts = [0.0] * _BUCKETS
        self._at = 0.0

    def add(self, tokens_per_s: float, now: float) -> None:
        """Add the speed of one answer, measured at `now`."""
        passed_s = now - self._at
        if passed_s > 0:
            kept = 0.5 ** (passed_s / HALF_LIFE_S)
            self._counts = [count * kept for count in self._counts]
            self._at = now
        self._counts[_bucket(tokens_per_s)] += 1.0

    @property
    def p95(self) -> float | None:
        """Return the 95th percentile in tokens per second; None before the first sample."""
        total = sum(self._counts)
        if not total:
            return None
        seen = 0.0
        for bucket, count in enumerate(self._counts):
            seen += count
            if seen >= SHARE * total:
                return float(_GROWTH**bucket)
        return float(_GROWTH ** (_BUCKETS - 1))


def _bucket(tokens_per_s: float) -> int:
    if tokens_per_s <= 1.0:
        return 0
    return min(_BUCKETS - 1, ceil(log(tokens_per_s) / _STEP))
