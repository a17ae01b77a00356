"""A straight line through a row of figures, and how sure one can be of its slope."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import inf, sqrt
from statistics import fmean, linear_regression, median


@dataclass(frozen=True)
class Trend:
    """
    Where the row begins and ends, as medians of its first and last fifth, and its slope by the hour.

    `error` is the slope's standard error; neighbouring samples are alike, and so count for fewer.
    """

    start: float
    end: float
    per_hour: float
    error: float

    def is_flat(self, most_per_hour: float) -> bool:
        """Unless it surely rises by more than that."""
        return self.per_hour - 2 * self.error <= most_per_hour


def trend(at_s: Sequence[float], values: Sequence[float]) -> Trend:
    fifth = max(1, len(values) // 5)
    start, end = median(values[:fifth]), median(values[-fifth:])
    if len(values) < 4:
        return Trend(start, end, 0.0, inf)
    slope, intercept = linear_regression(at_s, values)
    residuals = [value - (intercept + slope * at) for at, value in zip(at_s, values, strict=True)]
    squares = sum(r * r for r in residuals)
    if squares == 0.0:
        return Trend(start, end, slope * 3600, 0.0)
    alike = sum(a * b for a, b in pairwise(residuals)) / squares
    alike = min(max(alike, 0.0), 0.95)
    counting = max(3.0, len(values) * (1 - alike) / (1 + alike))
    middle = fmean(at_s)
    spread = sum((at - middle) ** 2 for at in at_s) / len(values)
    error = sqrt(squares / len(values) / (counting - 2) / spread)
    return Trend(start, end, slope * 3600, error * 3600)
