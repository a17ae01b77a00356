"""What a soak found, as three tables and a few lines; a verdict for each."""

from collections import Counter
from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any

from tests.bench.table import in_columns
from tests.soak.callers import ANSWERED, LEFT
from tests.soak.samples import FIGURES, Sample
from tests.soak.trend import Trend, trend

# What may surely be gained in an hour. At thirty requests a second, 20 MB an hour are 185 bytes a request.
# The size is told as PSS, which adds up; growth is judged by RSS, which does not move when a process that
# shares pages with this one comes or goes.
MOST_PER_HOUR = {"rss_mb": 20.0, "fds": 100.0, "threads": 30.0}
CLOSED_WITHIN_S = 0.25

Trends = Mapping[str, Mapping[str, Trend]]


def mark(holds: bool) -> str:
    return "✓" if holds else "✗"


def trends(samples: Sequence[Sample]) -> dict[str, dict[str, Trend]]:
    """Of every role that was there all the time."""
    roles = [role for role in samples[0].held if all(role in taken.held for taken in samples)]
    at_s = [taken.at_s for taken in samples]
    return {
        role: {name: trend(at_s, [taken.held[role][name] for taken in samples]) for name in FIGURES}
        for role in roles
    }


def is_flat(found: Mapping[str, Trend]) -> bool:
    return all(found[name].is_flat(most) for name, most in MOST_PER_HOUR.items())


def holds(
    found: Trends,
    left: Mapping[str, float],
    unexplained: Mapping[str, int],
    closed_after_s: Mapping[tuple[str, str], Sequence[float]],
) -> bool:
    """Whether nothing grew, nothing was left, and every outcome and time is as it should be."""
    slowest = max((each for seconds in closed_after_s.values() for each in seconds), default=0.0)
    is_calm = all(is_flat(of) for of in found.values()) and slowest <= CLOSED_WITHIN_S
    return is_calm and not any(left.values()) and not unexplained


def growth_table(found: Trends, counts: Mapping[str, float]) -> str:
    head = ["", "processes", "MB, start", "MB, end", "MB/hour", "fds, start", "fds, end", "threads", "flat"]
    lines = [head]
    for role, of in sorted(found.items(), key=lambda item: -item[1]["pss_mb"].end):
        memory, growth, fds, threads = of["pss_mb"], of["rss_mb"], of["fds"], of["threads"]
        lines.append([
            role,
            f"{counts[role]:.0f}",
            f"{memory.start:.1f}",
            f"{memory.end:.1f}",
            f"{growth.per_hour:+.1f} ± {2 * growth.error:.1f}",
            f"{fds.start:.0f}",
            f"{fds.end:.0f}",
            f"{threads.start:.0f} → {threads.end:.0f}",
            mark(is_flat(of)),
        ])  # fmt: skip
    return in_columns(lines)


def traffic_table(outcomes: Mapping[str, Counter[str]]) -> str:
    lines = [["", "sent", "answered", "otherwise"]]
    for kind, counted in outcomes.items():
        others = {what: count for what, count in counted.most_common() if what not in (ANSWERED, LEFT)}
        told = ", ".join(f"{count} × {what}" for what, count in others.items())
        good = f"{counted[ANSWERED]:,}" if LEFT not in counted else "–"
        lines.append([kind, f"{counted.total():,}", good, told])
    return in_columns(lines)


def leaving_table(closed_after_s: Mapping[tuple[str, str], Sequence[float]], late_s: Sequence[float]) -> str:
    """With how late the meter itself was, for on a busy machine that is what the longest times consist of."""
    lines = [["upstream closed after a caller left, by", "times", "median, ms", "max, ms", "≤ 250 ms"]]
    for (way, moment), seconds in closed_after_s.items():
        worst = max(seconds)
        lines.append([
            f"{way}, {moment}",
            str(len(seconds)),
            f"{median(seconds) * 1e3:.1f}",
            f"{worst * 1e3:.1f}",
            mark(worst <= CLOSED_WITHIN_S),
        ])  # fmt: skip
    return (
        f"{in_columns(lines)}\nthe meter itself was held up for up to {max(late_s, default=0) * 1e3:.0f} ms"
    )


def verdicts(left: Mapping[str, float], unexplained: Mapping[str, int]) -> str:
    """What must be nothing at the end, and what has no explanation."""
    lines = [f"{mark(not value)} {name} at the end: {value:g}" for name, value in left.items()]
    told = ", ".join(f"{count} × {what}" for what, count in unexplained.items()) or "none"
    return "\n".join([*lines, f"{mark(not unexplained)} outcomes that no fault explains: {told}"])


def kept(samples: Sequence[Sample]) -> list[dict[str, Any]]:
    """Every sample, for who wants to draw it."""
    return [{"at_s": taken.at_s, "held": taken.held} for taken in samples]
