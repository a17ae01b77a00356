"""What a router and the authority say to each other."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from serve_app.config.settings import Settings
from serve_app.control.admin_quota import Allowance
from serve_app.control.capacity import Capacity, Presence
from serve_app.control.runtime_config import RuntimeConfig
from serve_app.control.tally import Gauges, Tally
from serve_app.ledger.entry import Entry
from serve_app.ledger.mark import Mark
from serve_app.ledger.store import Change, Record, Spend
from serve_app.limits.allocator import LimitStatus
from serve_app.limits.messages import Grant, Lease, Want
from serve_app.pricing.price import Price
from serve_app.resilience.breaker import Breaker
from serve_app.resilience.outcome import Outcome


class Observation(NamedTuple):
    """
    The end of one attempt, as the authority needs to know it.

    `at` is in seconds since the epoch, `latency_s` None unless the attempt succeeded; `probe` names the
    probe if the attempt was let through by a half-open breaker. `cool_until`: the provider asked not to be
    sent anything for this target before then (Retry-After). `lost_with`: the replica whose death
    ended it. `tokens_per_s` is how fast a whole answer was written, None where its provider did not count.
    """

    provider_id: str
    target: str
    outcome: Outcome
    at: float
    probe: float | None = None
    latency_s: float | None = None
    cool_until: float | None = None
    lost_with: str | None = None
    tokens_per_s: float | None = None


@dataclass(frozen=True, slots=True)
class Report:
    """
    What one router saw since its last report.

    `sequence` grows by one; a report that arrives twice counts once. `entries` are those
    of its journal that the control plane has not accepted yet, in order, which are all that follow number
    `after`; `leases` the whole of the credit it has, and `wants` what it needs besides.
    """

    router_id: str
    sequence: int
    observations: tuple[Observation, ...] = ()
    tally: Tally = field(default_factory=Tally)
    gauges: Gauges = field(default_factory=dict)
    entries: tuple[Entry, ...] = ()
    after: int = 0
    leases: Mapping[str, Lease] = field(default_factory=dict)
    wants: Mapping[str, Want] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """
    The authority's state at one version, never changed afterwards.

    `generation` differs after the authority was started anew. `applied` says, for each router, the last
    report that is in here. `cooling` says until when targets want to be left alone. `revision` is that of the
    book; who has an older one asks for it. `recalls` names the limits whose free credit is wanted back, and
    by whom; `marks` says how far the routers' journals have come, `is_stored` whether the store takes what
    comes; `capacities` how much runs of the models that we host ourselves, by provider. `used` is only a
    router's to tell: what it last heard was used of its limits, and in which window. `speeds` says how many
    tokens a second targets write, at their 95th percentile.
    """

    generation: str = ""
    version: int = 0
    breakers: Mapping[str, Breaker] = field(default_factory=dict)
    prices: Mapping[str, Price | None] = field(default_factory=dict)
    latencies: Mapping[str, float] = field(default_factory=dict)
    applied: Mapping[str, int] = field(default_factory=dict)
    cooling: Mapping[str, float] = field(default_factory=dict)
    revision: int = -1
    recalls: Mapping[str, str] = field(default_factory=dict)
    marks: Mapping[str, Mark] = field(default_factory=dict)
    is_stored: bool = True
    capacities: Mapping[str, Capacity] = field(default_factory=dict)
    used: Mapping[str, tuple[float, int]] = field(default_factory=dict)
    speeds: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Receipt:
    """What a router gets for its report."""

    snapshot: Snapshot
    grants: Mapping[str, Grant] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Totals:
    """The whole cluster's numbers: sums of what the routers counted, gauges of those alive."""

    tally: Tally
    gauges: Gauges
    breakers: Mapping[str, Breaker]
    replicas: int
    limit_statuses: Sequence[LimitStatus] = ()


class ControlUnreachable(Exception):
    """The authority does not answer. Routers go on with what they know."""


class Overtaken(Exception):
    """Somebody else has changed the book since it was read: read it again, and decide again."""


class Control(Protocol):
    """The authority, seen from a router. Every call raises ControlUnreachable when it is not there."""

    async def register(self, router_id: str, settings: Settings, known: Snapshot) -> Snapshot:
        """Introduce a router, its settings, and what it knew of a former authority."""

    async def report(self, report: Report) -> Receipt:
        """Hand over what was seen; the answer contains it."""

    async def submit_recovered(self, entries: Sequence[Entry]) -> Mark:
        """Hand over entries of a journal whose router is gone; how far that journal has come by now."""

    async def heartbeat(self, presence: Presence) -> None:
        """Let a replica of a model that we host say that it is there."""

    async def runtime_config(self) -> RuntimeConfig:
        """Tenants, keys, limits and whatever else operators can change while the gateway runs."""

    async def change(
        self, records: Sequence[Record], change: Change, revision: int | None = None
    ) -> RuntimeConfig:
        """
        Change some of it, for good.

        Who has decided by a book names its `revision`, and gets Overtaken when there is a newer one by now.
        Raises StoreUnavailable when it cannot be written down, and AdminLimitReached when there were as many
        changes within the last hour as there may be.
        """

    async def asked(self, who: str) -> Allowance:
        """Count a request of this admin; AdminLimitReached when that is one too many within an hour."""

    async def spends(self, since: float = 0.0, until: float | None = None) -> Sequence[Spend]:
        """The ledger's sums of the days from `since` to before `until`; StoreUnavailable."""

    async def entries(
        self, limit: int = 100, tenant: str | None = None, before: float | None = None
    ) -> Sequence[Entry]:
        """The ledger's newest lines; StoreUnavailable."""

    async def changes(self, limit: int = 100, before: float | None = None) -> Sequence[Change]:
        """The audit's newest lines; StoreUnavailable."""

    async def reset_breaker(self, provider_id: str) -> Breaker | None:
        """Close a breaker and forget its failures: as it was before, None for an unknown provider."""

    async def watch(self, generation: str, version: int, timeout_s: float) -> Snapshot:
        """Wait until there is something newer than `version`, or for `timeout_s`."""

    async def probe(self, provider_id: str) -> float | None:
        """Ask for the one probe of a half-open breaker: its name, or None if somebody else has it."""

    async def totals(self) -> Totals:
        """The cluster's numbers."""
