"""
Measure the gateway beside its peers: start everything, take turns, print one table, stop everything.

Subjects take turns within a round, so that a slow minute of the machine hits all of them; figures are medians
over the rounds.
"""

import argparse
import contextlib
import json
import signal
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from statistics import median

from tests.bench import formats, routing
from tests.bench.measure import (
    CONCURRENCIES,
    IN_TURN,
    QUICK,
    THOROUGH,
    Figures,
    LoadFailed,
    Pace,
    streams,
    unary,
)
from tests.bench.processes import WORK, DidNotStart, Family, Helper, helper, idle_share
from tests.bench.subjects import (
    GOVERNED_SEKHA,
    HANDLE,
    LITELLM,
    SEKHA,
    Kind,
    Subject,
    started,
)
from tests.bench.table import breakdown, growth, table
from tests.bench.turns import latencies_in_turn

Part = Callable[[Subject, Helper, Pace, float], Figures]

PARTS = ("unary", "streams", "formats", "routing", "startup")
IN_PROCESS = frozenset({"formats", "routing"})
FLOOR = "upstream alone"
TRANSPORTS = ("", ", inline")  # as the names of subjects end
IDLE_S = 5.0


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument(
        "--peers", action="store_true", help="measure LiteLLM's proxy too; installs it in .bench"
    )
    parser.add_argument(
        "--governed",
        action="store_true",
        help="measure what keys, budgets, rates and the ledger cost, in one gateway",
    )
    parser.add_argument("--rounds", type=int, metavar="N", help="how often the subjects take turns")
    parser.add_argument("--quick", action="store_true", help="one short round: for a look, not for a claim")
    parser.add_argument("--only", default=",".join(PARTS), metavar="PART,…", help=", ".join(PARTS))
    parser.add_argument("--url", help="measure this running gateway instead of starting one")
    parser.add_argument("--model", default=HANDLE, help="the model that requests to --url name")
    parser.add_argument(
        "--pids", default="", metavar="PID,…", help="its processes; their descendants count too"
    )
    chosen = parser.parse_args()
    chosen.only = frozenset(chosen.only.split(","))
    chosen.pids = [int(pid) for pid in chosen.pids.split(",") if pid]
    if chosen.rounds is not None and chosen.rounds < 1:
        parser.error(f"--rounds {chosen.rounds}: there has to be one at least")
    if unknown := chosen.only - set(PARTS):
        parser.error(f"no {', '.join(sorted(unknown))} among the parts: {', '.join(PARTS)}")
    return chosen


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


class Bench:
    """One run: the subjects that are up, why others are not, and every figure so far."""

    def __init__(self, upstream: Helper, pace: Pace) -> None:
        self.upstream = upstream
        self.pace = pace
        self.subjects: list[Subject] = []
        self.failures: dict[str, str] = {}
        self.seen: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))

    def start(self, kind: Kind, running: contextlib.ExitStack) -> None:
        """A subject that does not start is reported, and the others go on."""
        say(f"starting {kind.name} ...")
        try:
            subjects = running.enter_context(started(kind, f"http://127.0.0.1:{self.upstream.first_line}"))
        except DidNotStart as reason:
            self.failures[kind.name] = str(reason)
        else:
            self.subjects += subjects

    def note(self, subject: Subject, figures: Figures) -> None:
        for name, value in figures.items():
            self.seen[subject.name][name].append(value)

    def note_rest(self) -> None:
        """What a subject uses when nobody asks anything."""
        time.sleep(3)  # what starting left to do is not idling
        for subject in self.subjects:
            if subject.start_s is not None:
                self.note(subject, {"start_s": subject.start_s})
            if subject.name != FLOOR:
                self.note(subject, {"idle_pct": 100 * idle_share(subject.family, IDLE_S)})

    def note_memory(self) -> None:
        """After the load: what a subject holds at work, not what it holds when new."""
        for subject in self.subjects:
            held = subject.family.memory_mb()
            if held:
                by_role = {f"memory_mb.{role}": mb for role, mb in held.items()}
                self.note(subject, {"memory_mb": sum(held.values()), **by_role})

    def take_turns(self, parts: Mapping[str, Part]) -> None:
        for turn in range(self.pace.rounds):
            for name, part in parts.items():
                # Back and forth: who comes after whom changes, and a machine that slows down slows both.
                for subject in self.subjects if turn % 2 == 0 else reversed(self.subjects):
                    say(f"round {turn + 1} of {self.pace.rounds}: {name}, {subject.name}")
                    idle = median(self.seen[subject.name].get("idle_pct", [0.0])) / 100
                    try:
                        self.note(subject, part(subject, self.upstream, self.pace, idle))
                    except LoadFailed as reason:
                        self.failures[f"{subject.name}, {name}"] = str(reason)

    def ask_in_turn(self, without: str, with_it: str) -> None:
        """Of two subjects of one gateway, what the accounts of the one add to the wait for an answer."""
        by_name = {subject.name: subject for subject in self.subjects}
        if not {without, with_it} <= by_name.keys():
            return  # it did not start
        for turn in range(self.pace.rounds):
            say(f"round {turn + 1} of {self.pace.rounds}: in turn, {without} and {with_it}")
            try:
                waits = latencies_in_turn(by_name[without], by_name[with_it], self.pace.loop_s)
            except OSError as reason:
                self.failures[f"{with_it}, in turn"] = str(reason)
                continue
            for name, p50_ms in waits.items():
                self.seen[name]["turns.p50_ms"].append(p50_ms)

    def results(self) -> dict[str, Figures]:
        """The medians, subjects in the order they were started."""
        names = list(dict.fromkeys([*(subject.name for subject in self.subjects), *self.seen]))
        return {
            name: {figure: median(values) for figure, values in self.seen[name].items()} for name in names
        }


def measure(chosen: argparse.Namespace, running: contextlib.ExitStack) -> Bench:
    pace = QUICK if chosen.quick else IN_TURN if chosen.governed else THOROUGH
    pace = replace(pace, rounds=chosen.rounds or pace.rounds)
    bench = Bench(running.enter_context(helper("tests.bench.upstream")), pace)
    if chosen.only <= IN_PROCESS:
        return bench
    parts: dict[str, Part] = {}
    if "unary" in chosen.only:
        parts |= {f"{c} at once": partial(unary, c) for c in CONCURRENCIES}
    if "streams" in chosen.only:
        parts["streams"] = streams
    if parts:
        floor = Subject(FLOOR, f"http://127.0.0.1:{bench.upstream.first_line}", HANDLE, Family())
        bench.subjects.append(floor)
    if chosen.url:
        bench.subjects.append(Subject("sekha", chosen.url, chosen.model, Family(roots=chosen.pids)))
    else:
        bench.start(GOVERNED_SEKHA if chosen.governed else SEKHA, running)
    if chosen.peers:
        bench.start(LITELLM, running)
    bench.note_rest()
    bench.take_turns(parts)
    if chosen.governed and "unary" in chosen.only:
        for transport in TRANSPORTS:
            bench.ask_in_turn(f"unaccounted{transport}", f"governed{transport}")
    bench.note_memory()
    return bench


def report(bench: Bench) -> None:
    results = bench.results()
    print("\n" + table(results, ours="sekha", peer="LiteLLM") + "\n")
    for name, figures in results.items():
        if name != FLOOR and (where := breakdown(name, figures)):
            print(where)
    for transport in TRANSPORTS:
        if more := growth(bench.seen, f"unaccounted{transport}", f"governed{transport}"):
            print(more)
    floor = results.get(FLOOR, {})
    if "unary.32.generator_cpu_us" in floor:
        generator, upstream = floor["unary.32.generator_cpu_us"], floor["unary.32.upstream_cpu_us"]
        print(f"generator {generator:.0f} µs and upstream {upstream:.0f} µs of CPU per request, 32 at once")
    for name, reason in bench.failures.items():
        print(f"not measured: {name}: {reason}")
    WORK.mkdir(exist_ok=True)
    kept = {"results": results, "rounds": bench.seen, "failures": bench.failures}
    (WORK / "results.json").write_text(json.dumps(kept, indent=2) + "\n")


def main() -> None:
    chosen = options()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # unwinds, and so stops what was started
    with contextlib.ExitStack() as running:
        bench = measure(chosen, running)
    if "routing" in chosen.only:
        bench.seen["sekha"]["routing.decision_us"].append(routing.decision_us())
    report(bench)
    if "formats" in chosen.only:
        print(formats.table(formats.costs()))


if __name__ == "__main__":
    main()
