"""
Kill parts of a running gateway under load, one after the other, and print what the callers noticed.

Part one is `sekha serve` on this machine; part two a head and two worker nodes, which share this machine.
"""

import argparse
import json
import signal
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import asdict
from typing import Protocol

from tests.bench.processes import WORK, DidNotStart
from tests.chaos import cluster, one_node
from tests.chaos.figures import Figures, figures_of
from tests.chaos.play import QUICK, THOROUGH, Act, Course, Pace, play
from tests.chaos.stage import Play
from tests.chaos.table import reasons, table


class Stage(Protocol):
    """Where acts are played."""

    def acts(self) -> Mapping[str, Act]:
        """By the names that `--only` takes."""


PARTS: tuple[tuple[tuple[str, ...], Callable[[Play], AbstractContextManager[Stage]]], ...] = (
    (one_node.NAMES, one_node.one_node),
    (cluster.NAMES, cluster.cluster),
)
NAMES = [name for names, _ in PARTS for name in names]


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--only", default=",".join(NAMES), metavar="ACT,…", help=", ".join(NAMES))
    parser.add_argument("--quick", action="store_true", help="short pauses: for a look, not for a claim")
    chosen = parser.parse_args()
    chosen.only = chosen.only.split(",")
    if unknown := set(chosen.only) - set(NAMES):
        parser.error(f"no {', '.join(sorted(unknown))} among the acts: {', '.join(NAMES)}")
    return chosen


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def played(
    names: list[str],
    stage: Callable[[Play], AbstractContextManager[Stage]],
    pace: Pace,
    results: dict[str, Figures],
) -> None:
    """The acts of one part, under one load; what was played counts, however the part ended."""
    state = Play()
    courses: list[Course] = []
    try:
        with stage(state) as running:
            time.sleep(pace.quiet_s)
            for name in names:
                courses.append(play(running.acts()[name], state.requests, pace, say))
    except (DidNotStart, TimeoutError, LookupError) as reason:
        say(f"not played to the end: {reason}")
    finally:
        results.update({course.name: figures_of(course, state.requests) for course in courses})


def report(results: Mapping[str, Figures]) -> None:
    print("\n" + table(results) + "\n\n" + reasons(results))
    kept = {name: asdict(figures) for name, figures in results.items()}
    (WORK / "chaos.json").write_text(json.dumps(kept, indent=2, ensure_ascii=False) + "\n")


def main() -> None:
    chosen = options()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # unwinds, and so stops what was started
    WORK.mkdir(exist_ok=True)
    results: dict[str, Figures] = {}
    try:
        for names, stage in PARTS:
            if wanted := [name for name in names if name in chosen.only]:
                played(wanted, stage, QUICK if chosen.quick else THOROUGH, results)
    finally:
        report(results)


if __name__ == "__main__":
    main()
