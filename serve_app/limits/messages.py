"""
The messages between a router and the control plane about limits.

A router holds a lease of every limit that it uses, and serves requests from it without asking. A report
always states the leases in full, never a difference, so a message that is lost or arrives twice changes
nothing.
"""

from dataclasses import dataclass

from serve_app.limits.limit import Limit, Window


@dataclass(frozen=True, slots=True)
class Lease:
    """
    The share of one limit that one router holds when it reports.

    Attributes:
        drawn: everything that was leased and is not settled: free, reserved for requests in flight and, for
            rates, used in the window that began at `window`.
        free: the part that could be given back.
        window: when the window of the lease began; FOR_EVER for budgets.
    """

    drawn: int
    free: int
    window: float = 0.0


@dataclass(frozen=True, slots=True)
class Want:
    """
    A request of a router for quota.

    Attributes:
        need: the least that helps; 0: no request waits, so it is granted only from plenty.
        upto: enough to avoid further questions.
    """

    need: int
    upto: int


@dataclass(frozen=True, slots=True)
class Grant:
    """
    The control plane's answer to a `Want`.

    Attributes:
        amount: the granted quota; 0: less than needed is left.
        used: how much of the limit is used, in its unit.
        window: as in a `Lease`; the quota of a minute that is over is worth nothing.
        later: ask again soon: quota was recalled from other routers, or the control plane is still in its
            learning mode.
    """

    amount: int
    used: int
    window: float = 0.0
    later: bool = False


FOR_EVER = 0.0  # the window of a lease that does not end, and of any lease of a removed limit


def lending_window(limit: Limit, now: float) -> float:
    """
    Return the start of the window in which a lease is valid, or FOR_EVER.

    A lease of a rate ends with its minute. A lease of money does not end with its day: it counts in the next.
    """
    return float(int(now) // 60 * 60) if limit.window is Window.MINUTE else FOR_EVER
