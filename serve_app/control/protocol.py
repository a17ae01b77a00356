"""The messages between a router and the control plane."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from serve_app.config.settings import Settings
from serve_app.control.admin_quota import Allowance
from serve_app.control.capacity import Capacity, Presence
from serve_app.control.runtime_config import RuntimeConfig
from serve_app.control.tally import Gauges, Tally
from serve_app.ledger.entry import Entry
from serve_app.ledger.journal_position import JournalPosition
from serve_app.ledger.store import Change, Record, Spend
from serve_app.limits.allocator import LimitStatus
from serve_app.limits.messages import Grant, Lease, Want
from serve_app.pricing.price import Price
from serve_app.resilience.breaker import Breaker
from serve_app.resilience.outcome import Outcome
from serve_app.response_store.stored_response import Chain, StoredResponse


class Observation(NamedTuple):
    """
    The end of one attempt, as reported to the control plane.

    Attributes:
        at: in seconds since the epoch.
        probe: the id of the probe, if the attempt was one.
        latency_s: None unless the attempt succeeded.
        cool_until: the provider asked for no requests to this target before then (Retry-After).
        lost_with: the local replica whose death ended the attempt.
        tokens_per_s: the output speed of a whole answer; None: the provider did not count tokens.
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
    The observations of one router since its last report.

    Attributes:
        sequence: grows by one; a report that arrives twice counts once.
        entries: those of its journal that the control plane has not accepted yet, in order.
        after: the number that `entries` follow.
        leases: the router's leases, in full.
        wants: requests for more quota.
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
    The control plane's state at one version; immutable.

    Attributes:
        generation: changes when the control plane is restarted.
        applied: the last report that is included, by router.
        cooling: the end of each target's cooldown, in seconds since the epoch.
        revision: that of the runtime config; a router with an older one fetches it.
        recalls: the limits whose free quota is needed by other routers, with the router that needs it.
        marks: the progress of the routers' journals.
        is_stored: the store accepts writes.
        capacities: the replicas of hosted models, by provider.
        used: sent by routers only: the last known use of their limits, with the window.
        speeds: the output speed of targets in tokens per second, at the 95th percentile.
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
    marks: Mapping[str, JournalPosition] = field(default_factory=dict)
    is_stored: bool = True
    capacities: Mapping[str, Capacity] = field(default_factory=dict)
    used: Mapping[str, tuple[float, int]] = field(default_factory=dict)
    speeds: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Receipt:
    """The answer to a report."""

    snapshot: Snapshot
    grants: Mapping[str, Grant] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Totals:
    """The metrics of the whole cluster: sums of the routers' counts, and gauges of the live ones."""

    tally: Tally
    gauges: Gauges
    breakers: Mapping[str, Breaker]
    replicas: int
    limit_statuses: Sequence[LimitStatus] = ()


class ControlUnreachable(Exception):
    """The control plane does not answer. Routers continue with their last known state."""


class Overtaken(Exception):
    """The runtime config was changed since it was read: read it again, and decide again."""


class Control(Protocol):
    """The control plane as a router calls it. Every call raises ControlUnreachable if it does not answer."""

    async def register(self, router_id: str, settings: Settings, known: Snapshot) -> Snapshot:
        """Register a router with its settings, and with what it knows of a former control plane."""

    async def report(self, report: Report) -> Receipt:
        """Send observations; the receipt's snapshot contains them."""

    async def submit_recovered(self, entries: Sequence[Entry]) -> JournalPosition:
        """Submit entries of a journal whose router is gone; return the journal's progress."""

    async def heartbeat(self, presence: Presence) -> None:
        """Send a heartbeat of a replica of a hosted model."""

    async def runtime_config(self) -> RuntimeConfig:
        """Return tenants, keys, limits and the other settings that operators can change at run time."""

    async def change(
        self, records: Sequence[Record], change: Change, revision: int | None = None
    ) -> RuntimeConfig:
        """
        Change settings permanently; return the new runtime config.

        Args:
            records: the settings to set or remove.
            change: the line of the audit log.
            revision: the revision that the change was computed from; None: whatever it is now.

        Raises:
            Overtaken: the runtime config has another revision by now.
            StoreUnavailable: the change cannot be stored.
            AdminLimitReached: the hourly quota of changes is used up.
        """

    async def asked(self, who: str) -> Allowance:
        """Count a request of this admin; raise AdminLimitReached if it exceeds the hourly quota."""

    async def spends(self, since: float = 0.0, until: float | None = None) -> Sequence[Spend]:
        """Return the ledger's sums of the days from `since` to before `until`. Raises StoreUnavailable."""

    async def entries(
        self, limit: int = 100, tenant: str | None = None, before: float | None = None
    ) -> Sequence[Entry]:
        """Return entries of the ledger, the newest first. Raises StoreUnavailable."""

    async def changes(self, limit: int = 100, before: float | None = None) -> Sequence[Change]:
        """Return lines of the audit log, the newest first. Raises StoreUnavailable."""

    async def stored_response(self, tenant: str, response_id: str) -> StoredResponse | None:
        """Return a tenant's stored response; None without one of this id. Raises StoreUnavailable."""

    async def response_chain(self, tenant: str, response_id: str) -> Chain:
        """Return a tenant's stored response after all that it goes on from. Raises StoreUnavailable."""

    async def responses_with_items(self, tenant: str, item_ids: Sequence[str]) -> Chain:
        """Return a tenant's stored responses in which these items are. Raises StoreUnavailable."""

    async def store_response(self, stored: StoredResponse, item_ids: Sequence[str]) -> None:
        """Keep a response under an id that is new, with the ids of its items. Raises StoreUnavailable."""

    async def delete_response(self, tenant: str, response_id: str) -> bool:
        """Delete a tenant's stored response; return whether there was one. Raises StoreUnavailable."""

    async def reset_breaker(self, provider_id: str) -> Breaker | None:
        """Close a breaker and forget its failures; return the former state, None for an unknown provider."""

    async def watch(self, generation: str, version: int, timeout_s: float) -> Snapshot:
        """
        Wait for a version newer than `version`, at most `timeout_s` seconds; return the current snapshot.
        """

    async def probe(self, provider_id: str) -> float | None:
        """Request the one probe of a half-open breaker; return its id, None: it is not available."""

    async def totals(self) -> Totals:
        """Return the metrics of the whole cluster."""
