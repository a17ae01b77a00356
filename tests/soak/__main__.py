"""
Soak the gateway: everything at once for some minutes, faults included; then say what it has kept of that.

Memory, file descriptors and threads are judged on the plateau, which begins when a third of the time is over.
"""

import argparse
import asyncio
import contextlib
import json
import logging
import re
import signal
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from random import Random
from time import monotonic

from tests.bench.processes import WORK, DidNotStart
from tests.bench.subjects import Subject, started
from tests.soak import report
from tests.soak.callers import Callers
from tests.soak.gateway import kind
from tests.soak.meter import Meter, as_json
from tests.soak.samples import Sample, sample
from tests.support.api import Api
from tests.support.upstream import ScriptedUpstream

LOOK_EVERY_S = 4.0
LEAVE_EVERY_S = 0.5
OUTAGE_EVERY_S, OUTAGE_S = 45.0, 10.0
DOWN = {"reset": True}
SETTLE_S = 20.0  # the gateway's own limits have ended everything by then
KEPT_REQUESTS = 200  # an upstream remembers what it saw, and images are large
IN_FLIGHT = re.compile(r"^sekha_requests_in_flight\{.*\} (\S+)$", re.MULTILINE)


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0, help="how long callers come (default 10)")
    parser.add_argument("--rate", type=float, default=30.0, help="requests a second (default 30)")
    parser.add_argument("--seed", type=int, default=1, help="of everything that is left to chance")
    return parser.parse_args()


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


@dataclass
class Soak:
    """One run. `left` is what should be nothing at its end."""

    subject: Subject
    upstreams: Sequence[ScriptedUpstream]
    callers: Callers
    meter: Meter
    samples: list[Sample] = field(default_factory=list)
    left: dict[str, float] = field(default_factory=dict)

    async def run(self, seconds: float) -> None:
        beside = [
            asyncio.create_task(task)
            for task in (
                self._look(seconds),
                self._fail_now_and_then(),
                self.meter.keep_measuring(LEAVE_EVERY_S),
            )
        ]
        await self.callers.keep_coming(seconds)
        for task in beside:
            task.cancel()
        for ended in await asyncio.gather(*beside, return_exceptions=True):
            if isinstance(ended, Exception):
                raise ended
        for upstream in self.upstreams:
            upstream.recover()
        await self._settle()

    async def _look(self, seconds: float) -> None:
        """Sample until it is cancelled; also keep the upstreams, which are ours, from growing."""
        started_at = monotonic()
        while True:
            self.samples.append(
                await asyncio.to_thread(sample, self.subject.family, monotonic() - started_at)
            )
            for upstream in self.upstreams:
                del upstream.requests[:-KEPT_REQUESTS]
            if len(self.samples) % 15 == 0:
                say(f"{self.samples[-1].at_s:.0f} of {seconds:.0f} s, {self.callers.count:,} requests")
            await asyncio.sleep(LOOK_EVERY_S)

    async def _fail_now_and_then(self) -> None:
        """The first provider goes down, and comes back."""
        first = self.upstreams[0]
        while True:
            await asyncio.sleep(OUTAGE_EVERY_S)
            first.mode = DOWN
            await asyncio.sleep(OUTAGE_S)
            first.recover()

    async def _settle(self) -> None:
        """Wait until nothing is under way any more, for so long."""
        until = monotonic() + SETTLE_S
        while True:
            in_flight = await asyncio.to_thread(in_flight_at, self.subject.url)
            open_requests = sum(upstream.open_requests for upstream in self.upstreams)
            self.left = {"requests in flight": in_flight, "requests open upstream": open_requests}
            if not any(self.left.values()) or monotonic() > until:
                return
            await asyncio.sleep(0.5)


def in_flight_at(url: str) -> float:
    return sum(map(float, IN_FLIGHT.findall(Api(url).get("/metrics").text)))


def show(soak: Soak, seconds: float) -> bool:
    """Print and keep what was found; return whether all of it is as it should be."""
    plateau = [taken for taken in soak.samples if taken.at_s >= seconds / 3]
    trends = report.trends(plateau)
    counts = {role: held["count"] for role, held in plateau[-1].held.items()}
    resting = sum(len(upstream.open_connections) for upstream in soak.upstreams)
    callers, meter = soak.callers, soak.meter
    print(f"\n{callers.count:,} requests in {seconds / 60:g} minutes; {resting} connections rest in pools\n")
    print(report.growth_table(trends, counts) + "\n")
    print(report.traffic_table(callers.outcomes) + "\n")
    print(report.leaving_table(meter.closed_after_s, meter.late_s) + "\n")
    print(report.verdicts(soak.left, callers.unexplained))
    WORK.mkdir(exist_ok=True)
    kept = {
        "seconds": seconds,
        "left": soak.left,
        "outcomes": callers.outcomes,
        "closed_after_s": as_json(meter.closed_after_s),
        "late_s": meter.late_s,
        "trends": {role: {name: asdict(found) for name, found in of.items()} for role, of in trends.items()},
        "samples": report.kept(soak.samples),
    }
    (WORK / "soak.json").write_text(json.dumps(kept, indent=1) + "\n")
    return report.holds(trends, soak.left, callers.unexplained, meter.closed_after_s)


def main() -> None:
    chosen = options()
    try:
        soak_for(chosen)
    except DidNotStart as reason:
        sys.exit(f"the gateway did not start: {reason}")


def soak_for(chosen: argparse.Namespace) -> None:
    """As long, and as hard, as was chosen."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # unwinds, and so stops what was started
    logging.getLogger("aiohttp.server").setLevel(logging.CRITICAL)  # an upstream whose caller left is no news
    seconds, rng = chosen.minutes * 60, Random(chosen.seed)
    with contextlib.ExitStack() as running:
        upstreams = [running.enter_context(ScriptedUpstream()) for _ in range(2)]
        say("starting the gateway ...")
        (subject,) = running.enter_context(started(kind(upstreams[1].url), upstreams[0].url))
        callers = Callers(subject.url, chosen.rate, rng)
        soak = Soak(subject, upstreams, callers, Meter(subject.url, upstreams, rng))
        asyncio.run(soak.run(seconds))
        is_good = show(soak, seconds)
    if not is_good:
        sys.exit("the soak found what should not be: see the rows with ✗")


if __name__ == "__main__":
    main()
