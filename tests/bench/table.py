"""The one table: a row for each figure, a column for each subject, the ratio to the peer, and the aim."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import mean, median, stdev

from tests.bench.measure import CONCURRENCIES, STREAMS, Figures

NOTHING = "–"


@dataclass(frozen=True)
class Aim:
    """What the gateway should reach; `holds` is given its value and its ratio to the peer's."""

    text: str
    holds: Callable[[float, float], bool]


@dataclass(frozen=True)
class Row:
    """`key` is the figure's name; `better` says whether the peer's ratio is worth showing, and which way."""

    key: str
    label: str
    better: str = "less"  # or "more", or "" for a figure that has no ratio
    digits: int = 0
    aim: Aim | None = None


def at_most(limit: float, text: str) -> Aim:
    return Aim(text, lambda value, _: value <= limit)


AIMS = {
    "unary.32.cpu_us": at_most(1300, "≤ 1,300"),
    "unary.1.p50_ms": at_most(2, "≤ 2"),
    "unary.32.per_s": Aim("≥ 8 × LiteLLM", lambda _, times_better: times_better >= 8),
    "streams.stalled": at_most(0, "0"),
    "routing.decision_us": at_most(100, "≤ 100"),
}


def rows() -> list[Row]:
    unary = [
        row
        for c in CONCURRENCIES
        for row in (
            Row(f"unary.{c}.per_s", f"requests/s, {c} at once", "more"),
            Row(f"unary.{c}.p50_ms", f"p50, {c} at once, ms", digits=2),
            Row(f"unary.{c}.p99_ms", f"p99, {c} at once, ms", digits=2),
            Row(f"unary.{c}.cpu_us", f"CPU/request, {c} at once, µs"),
            Row(f"unary.{c}.net_cpu_us", "… less idle, µs"),
            Row(f"unary.{c}.errors", f"errors, {c} at once", ""),
        )
    ]
    all_rows = [
        Row("start_s", "start-up to the first answer, s", digits=1),
        Row("memory_mb", "memory, MB"),
        Row("idle_pct", "CPU when idle, % of a core", digits=1),
        *unary,
        Row("turns.p50_ms", "p50, with and without a key in turn, ms", digits=2),
        Row("streams.first_p50_ms", f"first token p50, {STREAMS} streams, ms", digits=1),
        Row("streams.first_p99_ms", f"first token p99, {STREAMS} streams, ms", digits=1),
        Row("streams.longest_gap_ms", "longest gap in a stream, ms"),
        Row("streams.stalled", f"stalled, of {STREAMS} streams", ""),
        Row("streams.delivered_pct", "tokens delivered, %", "", digits=1),
        Row("streams.cpu_us", "CPU/token, µs"),
        Row("streams.net_cpu_us", "… less idle, µs"),
        Row("streams.errors", "errors in streams", ""),
        Row("routing.decision_us", "routing decision, 50 targets, µs", digits=1),
    ]
    return [Row(r.key, r.label, r.better, r.digits, AIMS.get(r.key)) for r in all_rows]


def times_better(row: Row, ours: float | None, peers: float | None) -> float:
    """How many times better ours is; not-a-number where that means nothing."""
    if not row.better or not ours or not peers:
        return float("nan")
    return ours / peers if row.better == "more" else peers / ours


def show(value: float | None, digits: int) -> str:
    return NOTHING if value is None or math.isnan(value) else f"{value:,.{digits}f}"


def verdict(row: Row, ours: float | None, ratio: float) -> str:
    if row.aim is None:
        return ""
    if ours is None or ("×" in row.aim.text and math.isnan(ratio)):
        return row.aim.text
    return f"{row.aim.text} {'✓' if row.aim.holds(ours, ratio) else '✗'}"


def table(results: Mapping[str, Figures], ours: str, peer: str) -> str:
    """In Markdown. `ours` is the subject that the ratios and the aims are about."""
    compared = peer in results
    cells = [["", *results, *([f"× better than {peer}"] if compared else []), "aim"]]
    for row in rows():
        values = [figures.get(row.key) for figures in results.values()]
        if all(value is None for value in values):
            continue
        own = results.get(ours, {}).get(row.key)
        ratio = times_better(row, own, results.get(peer, {}).get(row.key))
        times = [("" if math.isnan(ratio) else f"{ratio:.1f}")] if compared else []
        cells.append([row.label, *(show(v, row.digits) for v in values), *times, verdict(row, own, ratio)])
    return in_columns(cells)


def growth(seen: Mapping[str, Mapping[str, Sequence[float]]], before: str, after: str) -> str:
    """
    What `after` takes more than `before`; empty where nobody was asked.

    Of processor time the median of the rounds, and their mean with its standard error; of the wait for an
    answer, which was asked for in turn, the median difference.
    """
    said = []
    for key in (*(f"unary.{c}.cpu_us" for c in CONCURRENCIES), "turns.p50_ms"):
        old_ones, new_ones = seen.get(before, {}).get(key, ()), seen.get(after, {}).get(key, ())
        if not old_ones or len(old_ones) != len(new_ones):
            continue  # one of a round was not measured: nobody knows which belong together
        pairs = list(zip(old_ones, new_ones, strict=True))
        more = [100 * (new / old - 1) for old, new in pairs]
        if key == "turns.p50_ms":
            said.append(f"p50 {median(new - old for old, new in pairs):+.2f} ms ({median(more):+.0f} %)")
        else:
            error = f" ± {stdev(more) / math.sqrt(len(more)):.0f}" if len(more) > 1 else ""
            _, c, _ = key.split(".")
            said.append(f"CPU/request, {c} at once {median(more):+.0f} % (mean {mean(more):+.0f}{error})")
    return f"{after}, compared with {before}: {', '.join(said)}" if said else ""


def in_columns(cells: Sequence[Sequence[str]]) -> str:
    """Numbers to the right, so that they can be compared by eye."""
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = [
        "| " + " | ".join([line[0].ljust(widths[0]), *map(str.rjust, line[1:], widths[1:])]) + " |"
        for line in cells
    ]
    rule = "|" + "|".join(["-" * (widths[0] + 2), *("-" * (width + 1) + ":" for width in widths[1:])]) + "|"
    return "\n".join([lines[0], rule, *lines[1:]])


def breakdown(name: str, figures: Figures) -> str:
    """Which processes the time and the memory go to, the largest first."""
    lines = []
    for title, prefix, unit in (
        ("CPU/request, 32 at once", "unary.32.cpu_us.", "µs"),
        ("CPU/token", "streams.cpu_us.", "µs"),
        ("memory", "memory_mb.", "MB"),
    ):
        parts = {key.removeprefix(prefix): v for key, v in figures.items() if key.startswith(prefix)}
        largest = sorted(parts.items(), key=lambda part: -part[1])[:7]
        if largest:
            lines.append(f"{name}, {title}: " + ", ".join(f"{role} {v:,.0f} {unit}" for role, v in largest))
    return "\n".join(lines)
