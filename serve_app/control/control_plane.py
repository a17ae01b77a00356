"""
The control plane: the authoritative state of breakers, prices, limits and counts.

Pure: time is an argument, nothing waits, nothing is sent. `deployments/control.py` runs it in an actor;
without Ray it is part of the gateway's process.
"""

from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice

from serve_app.config.policy import BreakerPolicy
from serve_app.config.settings import Settings
from serve_app.control.capacity import Capacity, Presence, Register
from serve_app.control.protocol import Observation, Receipt, Report, Snapshot, Totals
from serve_app.control.runtime_config import RuntimeConfig
from serve_app.control.tally import Gauges, Key, Tally
from serve_app.ledger.entry import Entry
from serve_app.ledger.journal_position import JournalPosition
from serve_app.ledger.store import Spend
from serve_app.limits.allocator import EXPIRES_S, BudgetAlert, LeaseAllocator
from serve_app.limits.limit import owner_in
from serve_app.pricing.price import Price
from serve_app.resilience.breaker import Breaker, BreakerState
from serve_app.resilience.latency import Latency
from serve_app.resilience.speed import Speed

SILENT_AFTER_S = 15.0  # a router that has not reported for this long is gone, with its gauges
FORGOTTEN_AFTER_S = 3600.0  # after this time none of its reports can still arrive
SILENT_JOURNAL_S = 30 * 86_400.0  # for as long as the store keeps the progress of a journal
ALERTS = "sekha_budget_alerts"
MOST_UNWRITTEN = 100_000  # entries kept while the store is down; the rest wait in the routers' journals

COUNTED_EVERY_S = 0.5  # less than the second between a replica's heartbeats

Pricer = Callable[[Settings], Mapping[str, Price | None]]


@dataclass(frozen=True, slots=True)
class BreakerChanged:
    """A change of a breaker's state, to be logged."""

    provider_id: str
    before: BreakerState
    after: BreakerState
    failures: int


class ControlPlane:
    """
    The authoritative state of one gateway.

    Args:
        generation: identifies this life of the control plane.
        price_of: returns the prices of a configuration by target name.
        on_change: called for every breaker that changes state.
        on_alert: called for every budget that passes a threshold.
    """

    def __init__(
        self,
        generation: str,
        price_of: Pricer,
        on_change: Callable[[BreakerChanged], None] = lambda _: None,
        on_alert: Callable[[BudgetAlert], None] = lambda _: None,
    ) -> None:
        self._generation = generation
        self._price_of = price_of
        self._on_change = on_change
        self._settings: Settings | None = None
        self._policy = BreakerPolicy()
        self._breakers: dict[str, Breaker] = {}
        self._prices: Mapping[str, Price | None] = {}
        self._latencies: dict[str, Latency] = {}
        self._speeds: dict[str, Speed] = {}
        self._cooling: dict[str, float] = {}
        self._applied: dict[str, int] = {}
        self._heard_at: dict[str, float] = {}
        self._gauges: dict[str, Gauges] = {}
        self._tally = Tally()
        self._on_alert = on_alert
        self._allocator = LeaseAllocator(self._alert)
        self._runtime_config: RuntimeConfig | None = None
        self._marks: dict[str, JournalPosition] = {}
        self._counted: dict[str, int] = {}
        self._marked_at: dict[str, float] = {}
        self._restored: Mapping[str, int] = {}
        self._unwritten: deque[Entry] = deque()
        self._is_stored = True
        self._register = Register()
        self._capacities: Mapping[str, Capacity] = {}
        self._announced_at = 0.0
        self.is_restored = False
        self.version = 1

    @property
    def settings(self) -> Settings | None:
        """Return the settings of the router that registered last; None before the first."""
        return self._settings

    @property
    def runtime_config(self) -> RuntimeConfig | None:
        """Return the tenants, keys and limits; None before the first router has registered."""
        return self._runtime_config

    def register(self, router_id: str, settings: Settings, known: Snapshot, now: float) -> Snapshot:
        """
        Register a router; return the current snapshot.

        Different settings replace the current ones. After a restart of the control plane, the first router
        restores the breakers and cooldowns from `known`; what is known here takes precedence.
        """
        if settings != self._settings:
            self._settings = settings
            self._policy = settings.circuit_breaker
            configured = {provider.id for provider in settings.llm_providers}
            self._breakers = {p: b for p, b in self._breakers.items() if p in configured}
            self._prices = self._price_of(settings)
            self.version += 1
        for provider in settings.llm_providers:
            if provider.id not in self._breakers:
                self._breakers[provider.id] = known.breakers.get(provider.id) or Breaker(last_change=now)
                self.version += 1
        for target, until in known.cooling.items():
            self._cool(target, until, now)
        self._register.recall(known.capacities, now)
        self.look_around(now)
        self._forget(now)
        self._mark(router_id, now)
        self._heard_at[router_id] = now
        return self.snapshot(now)

    def report(self, report: Report, now: float) -> Receipt:
        """
        Apply a report; return the current snapshot and the grants.

        Observations and counts of a repeated report are applied once. Entries and leases are current in each
        repetition, so they always apply, except those of a report that arrives after a later one.
        """
        is_overtaken = report.sequence < self._applied.get(report.router_id, 0)
        # A router that has not noticed a restart continues from the former control plane's mark. Accepting
        # that would leave a gap; it sends the entries again from the mark in this receipt.
        if report.after <= self._mark(report.router_id, now).taken:
            self.take(report.entries, now)
        grants = {}
        if not is_overtaken:
            recalled = self._allocator.recalls(now)
            grants = self._allocator.hear(report.router_id, report.leases, report.wants, now)
            if any(recalled.get(name) != by for name, by in self._allocator.recalls(now).items()):
                self.version += 1
        if report.sequence > self._applied.get(report.router_id, 0):
            self._applied[report.router_id] = report.sequence
            for observation in report.observations:
                self._hear(observation, now)
            self._tally.add(report.tally)
        self._gauges[report.router_id] = report.gauges
        self._heard_at[report.router_id] = now
        return Receipt(self.snapshot(now), grants)

    def heartbeat(self, presence: Presence, now: float) -> None:
        """Record a heartbeat of a replica of a hosted model."""
        self._register.hear(presence, now)
        self.look_around(now)

    def look_around(self, now: float) -> None:
        """
        Update the capacities of the hosted models.

        A replica that appears, gets ready or disappears is announced at once. Counts of requests are
        announced at most every `COUNTED_EVERY_S`, so that not every heartbeat wakes every router.
        """
        capacities = self._register.capacities(now)
        if capacities == self._capacities:
            return
        if abs(now - self._announced_at) < COUNTED_EVERY_S and _who(capacities) == _who(self._capacities):
            return
        self._capacities, self._announced_at = capacities, now
        self.version += 1

    def take(self, entries: Sequence[Entry], now: float) -> JournalPosition:
        """Accept entries of one journal in order, each once; return the journal's progress."""
        if not entries:
            return JournalPosition()
        journal = entries[0].journal
        mark = self._mark(journal, now)
        counted, taken = self._counted[journal], mark.taken
        try:
            for entry in entries:
                if entry.journal != journal:
                    raise ValueError(f"entries of {journal} and of {entry.journal} in one batch")
                if entry.number > counted:
                    counted = entry.number
                    self._allocator.spend(entry, now)
                if entry.number > taken and len(self._unwritten) < MOST_UNWRITTEN:
                    self._unwritten.append(entry)
                    taken = entry.number
        finally:  # if one fails, those before it are not counted again
            self._counted[journal] = counted
            self._marks[journal] = JournalPosition(taken, mark.written)
        return self._marks[journal]

    def unwritten(self, most: int) -> list[Entry]:
        """Return the oldest entries that are not in the store yet, at most `most`."""
        return list(islice(self._unwritten, most))

    def written(self, entries: Sequence[Entry]) -> None:
        """Record that these entries, the oldest ones, are in the store."""
        last: dict[str, int] = {}
        for entry in entries:
            if self._unwritten and self._unwritten[0] is entry:
                self._unwritten.popleft()
                last[entry.journal] = entry.number
        for journal, number in last.items():
            if mark := self._marks.get(journal):  # else it was silent for a month, and is forgotten
                self._marks[journal] = JournalPosition(mark.taken, max(mark.written, number))

    def restore(
        self, spends: Iterable[Spend], written: Mapping[str, int], now: float, is_alone: bool = False
    ) -> None:
        """
        Load the store's state; routers send again what it does not contain, from their journals.

        Routers count it as a new generation, because reports since the last one may no longer be included.
        Leases start in learning mode: routers with leases of a former control plane get time to report them.

        Args:
            spends: the sums of the ledger.
            written: the last number in the store, by journal.
            now: the current time, in seconds since the epoch.
            is_alone: no other router had leases, so learning mode is not needed.
        """
        self._generation += "+"
        self.is_restored = True
        self._restored = written
        self._unwritten.clear()
        for journal in self._marks:
            number = written.get(journal, 0)
            self._marks[journal] = JournalPosition(number, number)
            self._counted[journal] = number
        # Entries of routers that are known here were counted before, and are sent again.
        others = bool(written or self._marks) and not is_alone
        self._allocator.restore(spends, now, silence_s=EXPIRES_S if others else 0.0)
        self.version += 1

    def wait_for_routers(self, now: float) -> None:
        """Start the learning mode: lease nothing until routers have had time to report their leases."""
        self._allocator.lend_from(now + EXPIRES_S)

    def store_answers(self, answers: bool) -> None:
        """Record whether the store accepts writes; routers that deny requests without it must know."""
        if answers is not self._is_stored:
            self._is_stored = answers
            self.version += 1

    def remember(self, known: Snapshot, now: float) -> None:
        """Take the used amounts of limits from a router, where the store cannot provide them."""
        if not self._is_stored and not self.is_restored:  # else the entries are sent again
            self._allocator.remember(known.used, now)

    def set_runtime_config(self, runtime_config: RuntimeConfig, now: float) -> None:
        """Replace the tenants, keys and limits."""
        self._runtime_config = runtime_config
        self._allocator.set_limits(runtime_config.limits, now)
        self.version += 1

    def _mark(self, journal: str, now: float) -> JournalPosition:
        self._marked_at[journal] = now
        mark = self._marks.get(journal)
        if mark is None:
            number = self._restored.get(journal, 0)
            mark = self._marks[journal] = JournalPosition(number, number)
            self._counted[journal] = number
        return mark

    def _alert(self, alert: BudgetAlert) -> None:
        self._tally.count(ALERTS, (owner_in(alert.limit.id), str(alert.threshold)))
        self._on_alert(alert)

    def probe(self, provider_id: str, now: float) -> float | None:
        """Grant the one probe of a half-open breaker; return its id, None: there is none to grant."""
        breaker = self._breakers.get(provider_id)
        probed = breaker.probed(now, self._policy) if breaker else None
        if probed is None:
            return None
        self._set(provider_id, probed)
        return probed.probe_until

    def reset_breaker(self, provider_id: str, now: float) -> Breaker | None:
        """Close a breaker and forget its failures; return the former state, None for an unknown provider."""
        before = self._breakers.get(provider_id)
        if before is not None:
            self._set(provider_id, Breaker(last_change=now))
            self.version += 1
        return before

    def snapshot(self, now: float) -> Snapshot:
        """Return the state at this moment."""
        for provider_id, breaker in self._breakers.items():
            self._set(provider_id, breaker.at(now, self._policy))
        means = ((name, latency.mean_s) for name, latency in self._latencies.items())
        return Snapshot(
            generation=self._generation,
            version=self.version,
            breakers=dict(self._breakers),
            prices=self._prices,
            latencies={name: mean for name, mean in means if mean is not None},
            applied=dict(self._applied),
            cooling={name: until for name, until in self._cooling.items() if until > now},
            revision=self._runtime_config.revision if self._runtime_config else -1,
            recalls=self._allocator.recalls(now),
            marks={name: mark for name, mark in self._marks.items() if name in self._heard_at},
            is_stored=self._is_stored,
            capacities=self._capacities,
            speeds={name: p95 for name, speed in self._speeds.items() if (p95 := speed.p95) is not None},
        )

    def totals(self, now: float) -> Totals:
        """Return the cluster's metrics; a router that no longer reports has no requests in flight."""
        self._forget(now)
        alive = [r for r, at in self._heard_at.items() if now - at <= SILENT_AFTER_S]
        gauges: dict[Key, float] = {}
        for router_id in alive:
            for key, value in self._gauges.get(router_id, {}).items():
                gauges[key] = gauges.get(key, 0) + value
        tally = Tally()
        tally.add(self._tally)
        limit_statuses = self._allocator.limit_statuses(now)
        return Totals(tally, gauges, self.snapshot(now).breakers, len(alive), limit_statuses)

    def _forget(self, now: float) -> None:
        for router_id in [r for r, at in self._heard_at.items() if now - at > FORGOTTEN_AFTER_S]:
            for known in (self._heard_at, self._gauges, self._applied):
                known.pop(router_id, None)
        # Journals are kept longer, so that a journal recovery does not count entries again.
        for journal in [j for j, at in self._marked_at.items() if now - at > SILENT_JOURNAL_S]:
            for marked in (self._marked_at, self._marks, self._counted):
                marked.pop(journal, None)

    def _hear(self, seen: Observation, now: float) -> None:
        breaker = self._breakers.get(seen.provider_id)
        if breaker is None:
            return  # a provider of a former configuration
        at = min(seen.at, now)  # a router whose clock is ahead must not hold a breaker open for longer
        if seen.latency_s is not None:
            self._latencies.setdefault(seen.target, Latency()).add(seen.latency_s, at)
        if seen.tokens_per_s is not None:
            self._speeds.setdefault(seen.target, Speed()).add(seen.tokens_per_s, at)
        if seen.cool_until is not None:
            self._cool(seen.target, seen.cool_until - (seen.at - at), now)
        breaker = breaker.at(at, self._policy)
        self._set(seen.provider_id, breaker.heard(seen.outcome, seen.probe, at, self._policy, seen.lost_with))

    def _cool(self, target: str, until: float, now: float) -> None:
        """Extend a target's cooldown; a shorter one never ends a longer one."""
        if until > max(now, self._cooling.get(target, 0.0)):
            self._cooling[target] = until
            self.version += 1

    def _set(self, provider_id: str, breaker: Breaker) -> None:
        before = self._breakers[provider_id]
        self._breakers[provider_id] = breaker
        if (breaker.state, breaker.probe_until) != (before.state, before.probe_until):
            self.version += 1
        if breaker.state is not before.state:
            self._on_change(BreakerChanged(provider_id, before.state, breaker.state, breaker.failure_count))


def _who(capacities: Mapping[str, Capacity]) -> Mapping[str, tuple[int, int]]:
    """Return the numbers of replicas by provider, without their requests."""
    return {name: (capacity.ready, capacity.starting) for name, capacity in capacities.items()}
