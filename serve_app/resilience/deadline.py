"""The deadline of a whole request, with all its attempts."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Deadline:
    """The latest moment at which a request must end; `at` is in seconds on the clock's monotonic scale."""

    at: float

    @classmethod
    def after(cls, now: float, seconds: float) -> "Deadline":
        return cls(now + seconds)

    def remaining(self, now: float) -> float:
        """Return the remaining seconds; never below zero."""
        return max(0.0, self.at - now)
