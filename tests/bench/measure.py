"""What is measured of a subject in one round; every figure has a name that the table knows."""

import json
import subprocess
import sys
import time
from dataclasses import asdict, dataclass

import psutil

from tests.bench.load import Load, Outcome
from tests.bench.processes import ROOT, Helper, cpu_since
from tests.bench.subjects import Subject

CONCURRENCIES = (1, 32, 128)
STREAMS = 100
START_UP_S = 0.7  # of the load generator, which must be there when its time comes

Figures = dict[str, float]


class LoadFailed(Exception):
    """The load generator itself broke: nothing can be said about the subject."""


@dataclass(frozen=True)
class Pace:
    """How long each part of a round takes."""

    rounds: int
    warm_up_s: float
    loop_s: float
    tokens: int


THOROUGH = Pace(rounds=3, warm_up_s=1.5, loop_s=4.0, tokens=250)
# What is compared is near in time; a router that was not asked for long needs a second to borrow ahead.
IN_TURN = Pace(rounds=12, warm_up_s=1.5, loop_s=2.5, tokens=100)
QUICK = Pace(rounds=1, warm_up_s=0.5, loop_s=2.0, tokens=100)


class Sent:
    """A load that the load generator, a process of its own, has been told of."""

    def __init__(self, load: Load) -> None:
        self._generator = subprocess.Popen(
            [sys.executable, "-m", "tests.bench.load"],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert self._generator.stdin is not None
        self._generator.stdin.write(json.dumps(asdict(load)))
        self._generator.stdin.close()
        self._generator.stdin = None  # for `communicate`, which would close it again

    @property
    def cpu_s(self) -> float:
        """What the generator has used."""
        times = psutil.Process(self._generator.pid).cpu_times()
        return times.user + times.system

    def outcome(self) -> Outcome:
        """What has come of it, once it is over."""
        said, errors = self._generator.communicate()
        if self._generator.returncode:
            raise LoadFailed(errors[-500:])
        return Outcome(**json.loads(said))


@dataclass(frozen=True)
class Spent:
    """Processor time of one run of the load: of the subject by role, of the upstream, of the generator."""

    by_role: dict[str, float]
    upstream_s: float
    generator_s: float
    wall_s: float

    def per(self, count: int, prefix: str, idle_share: float) -> Figures:
        """In microseconds for each of `count` requests or tokens: gross, and less what idling costs."""
        us = 1e6 / count if count else float("nan")
        gross = sum(self.by_role.values())
        helpers = {
            f"{prefix}.upstream_cpu_us": self.upstream_s * us,
            f"{prefix}.generator_cpu_us": self.generator_s * us,
        }
        if not self.by_role:
            return helpers
        return {
            f"{prefix}.cpu_us": gross * us,
            f"{prefix}.net_cpu_us": (gross - idle_share * self.wall_s) * us,
            **{f"{prefix}.cpu_us.{role}": seconds * us for role, seconds in self.by_role.items()},
            **helpers,
        }


def watched(subject: Subject, upstream: Helper, load: Load) -> tuple[Outcome, Spent]:
    """Send the load and see what everybody spends on all of it."""
    before, upstream_before, started = subject.family.cpu_s(), upstream.cpu_s(), time.monotonic()
    outcome = Sent(load).outcome()
    wall_s = time.monotonic() - started
    by_role = cpu_since(before, subject.family.cpu_s())
    return outcome, Spent(by_role, upstream.cpu_s() - upstream_before, outcome.own_cpu_s, wall_s)


def watched_within(subject: Subject, upstream: Helper, load: Load) -> tuple[Outcome, Spent]:
    """
    Send the load and see what everybody spends within its window.

    What comes of a request a second later, as what it cost does, is then another request's: there are as many
    of those that ended just before the window as of those whose accounts come after it.
    """
    sent = Sent(load)
    since, until = load.window
    time.sleep(max(0.0, since - time.perf_counter()))
    before, upstream_before, generator_before = subject.family.cpu_s(), upstream.cpu_s(), sent.cpu_s
    time.sleep(max(0.0, until - time.perf_counter()))
    by_role = cpu_since(before, subject.family.cpu_s())
    upstream_s, generator_s = upstream.cpu_s() - upstream_before, sent.cpu_s - generator_before
    return sent.outcome(), Spent(by_role, upstream_s, generator_s, load.seconds)


def unary(concurrency: int, subject: Subject, upstream: Helper, pace: Pace, idle_share: float) -> Figures:
    """Whole answers in a closed loop, so many at once."""
    load = Load(
        subject.url,
        subject.model,
        concurrency,
        pace.loop_s,
        pace.warm_up_s,
        key=subject.key,
        starts_at=time.perf_counter() + START_UP_S,
    )
    outcome, spent = watched_within(subject, upstream, load)
    prefix = f"unary.{concurrency}"
    return {
        f"{prefix}.per_s": outcome.in_window / pace.loop_s,
        f"{prefix}.p50_ms": outcome.latency_p50_ms,
        f"{prefix}.p99_ms": outcome.latency_p99_ms,
        f"{prefix}.errors": sum(outcome.errors.values()),
        **{f"{prefix}.errors.{kind}": count for kind, count in outcome.errors.items()},
        **spent.per(outcome.in_window, prefix, idle_share),
    }


def streams(subject: Subject, upstream: Helper, pace: Pace, idle_share: float) -> Figures:
    """Many streams at once: when does the first token come, and does any of them stop on the way."""
    due_s = 1 + pace.tokens / 50
    load = Load(subject.url, subject.model, STREAMS, due_s, tokens=pace.tokens)
    outcome, spent = watched(subject, upstream, load)
    return {
        "streams.first_p50_ms": outcome.first_p50_ms,
        "streams.first_p99_ms": outcome.first_p99_ms,
        "streams.longest_gap_ms": outcome.longest_gap_ms,
        "streams.stalled": outcome.stalled,
        "streams.delivered_pct": 100 * outcome.tokens / (STREAMS * pace.tokens),
        "streams.errors": sum(outcome.errors.values()),
        **{f"streams.errors.{kind}": count for kind, count in outcome.errors.items()},
        **spent.per(outcome.tokens, "streams", idle_share),
    }
