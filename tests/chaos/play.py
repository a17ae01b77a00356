"""The course of an act: some quiet, the blow, and then waiting until all is well and stays well."""

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tests.chaos.load import Request

LOOK_EVERY_S = 0.25


@dataclass(frozen=True)
class Pace:
    """Seconds: of quiet before a blow, that all must stay well for to count, and after which we give up."""

    quiet_s: float
    calm_s: float
    limit_s: float


THOROUGH = Pace(quiet_s=10.0, calm_s=10.0, limit_s=300.0)
QUICK = Pace(quiet_s=3.0, calm_s=4.0, limit_s=240.0)


@dataclass(frozen=True)
class Blow:
    """Who was struck, no sooner than `since`; from `at` on they were gone."""

    since: float
    at: float
    whom: str


def no_preparation() -> None:
    """Most acts need none."""


def no_claims() -> Sequence[str]:
    """Most acts claim nothing beyond what the requests show."""
    return ()


@dataclass(frozen=True)
class Act:
    """
    One thing that goes wrong.

    `missing` says what is not well, nothing when all is; `broken` which of the act's own claims did not hold.
    """

    name: str
    strike: Callable[[], Blow]
    missing: Callable[[], str]
    prepare: Callable[[], None] = no_preparation
    broken: Callable[[], Sequence[str]] = no_claims


@dataclass(frozen=True)
class Course:
    """
    An act that was played; `well_at` is None when it never got well.

    `queue` is how many threads of the whole machine wanted a processor on average, for the last minute of it.
    """

    name: str
    began: float
    blow: Blow
    well_at: float | None
    ended: float
    broken: Sequence[str] = ()
    queue: float = 0.0


def play(act: Act, requests: Sequence[Request], pace: Pace, say: Callable[[str], None]) -> Course:
    """Play an act under the load whose ended requests are `requests`."""
    act.prepare()
    began = time.monotonic()
    time.sleep(pace.quiet_s)
    blow = act.strike()
    say(f"{act.name}: {blow.whom}")
    lacked: list[str] = []
    ill_at = well_since = time.monotonic()
    while (now := time.monotonic()) < blow.at + pace.limit_s:
        if missing := act.missing():
            ill_at = well_since = now
            if missing not in lacked:
                lacked.append(missing)
                say(f"  {now - blow.at:5.1f} s: {missing}")
        elif well_since == ill_at:
            well_since = now
            say(f"  {now - blow.at:5.1f} s: everything is back")
        well_at = max(well_since, last_failure_after(blow.at, requests))
        if not missing and now - well_at >= pace.calm_s:
            return Course(act.name, began, blow, well_at, now, act.broken(), os.getloadavg()[0])
        time.sleep(LOOK_EVERY_S)
    return Course(act.name, began, blow, None, time.monotonic(), act.broken(), os.getloadavg()[0])


def last_failure_after(moment: float, requests: Sequence[Request]) -> float:
    """When the last request failed; `moment` when none has since then."""
    newest = max((r.ended for r in requests[-5000:] if r.failure), default=moment)
    return max(newest, moment)
