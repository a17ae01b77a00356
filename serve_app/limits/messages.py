"""
What a router and the authority say to each other about limits.

A router holds credit of every limit it uses, and serves out of it without asking. It always tells the whole
of what it holds, never a difference: a message that is lost or comes twice changes nothing.
"""

from dataclasses import dataclass

from serve_app.limits.limit import Limit, Window


@dataclass(frozen=True, slots=True)
class Lease:
    """
    What one router has of one limit, at the moment it says so.

    `drawn` is everything that was lent to it and is not settled: credit that is free, credit reserved for
    requests under way and, for limits by the minute, what it has used in the window that began at `window`.
    `free` is the part of it that could be given back.
    """

    drawn: int
    free: int
    window: float = 0.0


@dataclass(frozen=True, slots=True)
class Want:
    """
    Credit asked for: `need` is the least that helps, `upto` what would spare further questions.

    Nobody waits for a want without need: it is met as far as there is plenty.
    """

    need: int
    upto: int


@dataclass(frozen=True, slots=True)
class Grant:
    """
    What the authority answers to a want.

    `amount` is 0 when there is not as much left as was needed. `later`: ask again soon, because it was asked
    back from others, or the authority has only just come up. `used` and `limit` are how things stand, in the
    limit's unit, `window` as in a holding: credit of a minute that is over is worth nothing.
    """

    amount: int
    used: int
    window: float = 0.0
    later: bool = False


FOR_EVER = 0.0  # the window of credit that does not end; of a limit that is gone, whatever its window was


def lending_window(limit: Limit, now: float) -> float:
    """
    The beginning of the window in which a loan is good, or FOR_EVER.

    A loan by the minute ends with its minute. One of money does not end with its day: what is on loan then
    counts in the next one.
    """
    return float(int(now) // 60 * 60) if limit.window is Window.MINUTE else FOR_EVER
