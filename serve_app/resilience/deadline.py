"""A moment by which the whole request must be done, all attempts together."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Deadline:
    """`at` is on the clock's monotonic scale, in seconds."""

    at: float

    @classmethod
    def after(cls, now: float, seconds: float) -> "Deadline":
        return cls(now + seconds)

    def remaining(self, now: float) -> float:
        """Seconds left; never below zero."""
        return max(0.0, self.at - now)
