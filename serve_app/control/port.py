"""What a router and the authority say to each other."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from serve_app.accounting.price import Price
from serve_app.config.settings import Settings
from serve_app.control.tally import Gauges, Tally
from serve_app.resilience.breaker import Breaker
from serve_app.resilience.outcome import Outcome


@dataclass(frozen=True, slots=True)
class Observation:
    """
    The end of one attempt, as the authority needs to know it.

    `at` is in seconds since the epoch, `latency_s` None unless the attempt succeeded; `probe` names the
    probe if the attempt was let through by a half-open breaker. `cool_until`: the provider asked not to be
    sent anything for this target before then (Retry-After).
    """

    provider_id: str
    target: str
    outcome: Outcome
    at: float
    probe: float | None = None
    latency_s: float | None = None
    cool_until: float | None = None


@dataclass(frozen=True, slots=True)
class Report:
    """
    What one router saw since its last report.

    `sequence` grows by one; a report that comes twice is taken in once (architecture D2).
    """

    replica_id: str
    sequence: int
    observations: tuple[Observation, ...] = ()
    tally: Tally = field(default_factory=Tally)
    gauges: Gauges = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """
    The authority's state at one version, never changed afterwards.

    `generation` differs after the authority was started anew. `applied` says, for each router, the last
    report that is in here. `cooling` says until when targets want to be left alone.
    """

    generation: str = ""
    version: int = 0
    breakers: Mapping[str, Breaker] = field(default_factory=dict)
    prices: Mapping[str, Price | None] = field(default_factory=dict)
    latencies: Mapping[str, float] = field(default_factory=dict)
    applied: Mapping[str, int] = field(default_factory=dict)
    cooling: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Totals:
    """The whole cluster's numbers: sums of what the routers counted, gauges of those alive."""

    tally: Tally
    gauges: Gauges
    breakers: Mapping[str, Breaker]
    replicas: int


class ControlUnreachable(Exception):
    """The authority does not answer. Routers go on with what they know."""


class Control(Protocol):
    """The authority, seen from a router. Every call raises ControlUnreachable when it is not there."""

    async def hello(self, replica_id: str, settings: Settings, known: Snapshot) -> Snapshot:
        """Introduce a router, its settings, and what it knew of a former authority."""

    async def report(self, report: Report) -> Snapshot:
        """Hand over what was seen; the answer contains it."""

    async def watch(self, generation: str, version: int, timeout_s: float) -> Snapshot:
        """Wait until there is something newer than `version`, or for `timeout_s`."""

    async def probe(self, provider_id: str) -> float | None:
        """Ask for the one probe of a half-open breaker: its name, or None if somebody else has it."""

    async def totals(self) -> Totals:
        """The cluster's numbers."""
