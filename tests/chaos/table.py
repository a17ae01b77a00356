"""The one table: a row for each act, what it cost the callers, and whether the aim was met."""

import os
from collections.abc import Mapping, Sequence

from tests.bench.table import in_columns
from tests.chaos.figures import AT_MOST, Figures

BUSY = (
    4  # threads that want one processor; from there on, figures say more of the machine than of the gateway
)

HEAD = (
    "act",
    "requests",
    "failed",
    "%",
    "of them not in flight",
    "longest outage, s",
    "slowest answer, s",
    "all well after, s",
    "aim",
)


def mark(met: bool) -> str:
    return "✓" if met else "✗"


def met(figures: Figures) -> bool:
    """Only what was in flight failed, all became well again, and every claim of the act held."""
    served, well = bool(figures.served_by), figures.well_after_s is not None
    return served and well and not figures.late and not figures.broken


def row(name: str, figures: Figures) -> Sequence[str]:
    well = figures.well_after_s
    return (
        name,
        f"{figures.requests:,}",
        f"{figures.failed:,}",
        f"{100 * figures.share:.2f}",
        f"{figures.late:,}",
        f"{figures.outage_s:.2f}",
        f"{figures.slowest_s:.2f}",
        "never" if well is None else f"{well:.1f}",
        mark(met(figures)),
    )


def table(results: Mapping[str, Figures]) -> str:
    """In Markdown, the whole run in the last row; there the aim is the share that failed."""
    asked = sum(figures.requests for figures in results.values())
    failed = sum(figures.failed for figures in results.values())
    late = sum(figures.late for figures in results.values())
    share = failed / asked if asked else 0.0
    whole = (
        "the whole run",
        f"{asked:,}",
        f"{failed:,}",
        f"{100 * share:.2f}",
        f"{late:,}",
        *[""] * 3,
        f"≤ {100 * AT_MOST:g} % {mark(bool(asked) and share <= AT_MOST)}",
    )
    return in_columns([HEAD, *(row(name, figures) for name, figures in results.items()), whole])


def reasons(results: Mapping[str, Figures]) -> str:
    """Who served, why and when after the blow requests failed, which claims did not hold; act by act."""
    lines = []
    for name, figures in results.items():
        failures = ", ".join(
            f"{len(moments)} × {why} ({min(moments):.1f} to {max(moments):.1f} s)"
            for why, moments in figures.failures.items()
        )
        served = ", ".join(f"{who or 'nobody'} {count:,}" for who, count in figures.served_by.items())
        lines.append(f"{name}: served by {served}" + (f"; failed: {failures}" if failures else ""))
        if figures.queue > BUSY * (os.cpu_count() or 1):
            lines.append(f"{name}: the machine was overloaded, {figures.queue:.0f} threads in its queue")
        lines += [f"{name}: not so: {claim}" for claim in figures.broken]
    return "\n".join(lines)
