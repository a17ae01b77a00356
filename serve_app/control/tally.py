"""
Counters that add up across processes.

A router counts in its own tally and sends it in batches; the control plane adds them up. So a number in
`/metrics` is the cluster's, whichever replica is asked.
"""

from bisect import bisect_left
from collections.abc import Mapping
from dataclasses import dataclass, field

Labels = tuple[str, ...]
Key = tuple[str, Labels]

IN_FLIGHT = "sekha_requests_in_flight"  # a gauge, by provider
UNDER_WAY = "sekha_requests_under_way"  # a gauge, by operation: requests whose answer has not begun

BUCKETS_S = (
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0,
)  # fmt: skip


@dataclass(slots=True)
class Histogram:
    """The number of observed times in each bucket of `BUCKETS_S`; the last one counts longer times."""

    counts: list[int] = field(default_factory=lambda: [0] * (len(BUCKETS_S) + 1))
    total: float = 0.0

    def observe(self, seconds: float) -> None:
        """Count one duration."""
        self.counts[bisect_left(BUCKETS_S, seconds)] += 1
        self.total += seconds

    def add(self, other: "Histogram") -> None:
        """Add another histogram to this one."""
        self.counts = [mine + theirs for mine, theirs in zip(self.counts, other.counts, strict=True)]
        self.total += other.total


@dataclass(slots=True)
class Tally:
    """Counters and histograms by (metric name, label values)."""

    counters: dict[Key, float] = field(default_factory=dict)
    histograms: dict[Key, Histogram] = field(default_factory=dict)

    def count(self, name: str, labels: Labels, by: float = 1) -> None:
        """Increase a counter."""
        key = (name, labels)
        self.counters[key] = self.counters.get(key, 0) + by

    def observe(self, name: str, labels: Labels, seconds: float) -> None:
        """Count a duration in a histogram."""
        key = (name, labels)
        histogram = self.histograms.get(key)
        if histogram is None:
            histogram = self.histograms[key] = Histogram()
        histogram.observe(seconds)

    def add(self, other: "Tally") -> None:
        """Add another tally to this one."""
        for key, value in other.counters.items():
            self.counters[key] = self.counters.get(key, 0) + value
        for key, histogram in other.histograms.items():
            self.histograms.setdefault(key, Histogram()).add(histogram)

    def __bool__(self) -> bool:
        return bool(self.counters or self.histograms)


Gauges = Mapping[Key, float]
