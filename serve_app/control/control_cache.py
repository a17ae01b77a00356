"""
A router's local copy of the control plane's state, and the reports that synchronize the two.

Reads are dictionary look-ups and writes go into a batch, so a request makes no remote call, except the rare
one that asks for the probe of a half-open breaker. The copy outlives the control plane: while that is down,
requests continue with the copy, and reports wait.
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from serve_app.caller import Caller
from serve_app.clock import Clock
from serve_app.config.settings import Settings
from serve_app.config.storage import OnUnavailable
from serve_app.control.breakers import Admission, Breakers
from serve_app.control.capacity import Capacity, Warmth, warmth_of
from serve_app.control.protocol import Control, ControlUnreachable, Report, Snapshot, Totals
from serve_app.control.runtime_config import NO_REVISION, RuntimeConfig, runtime_config_of
from serve_app.control.tally import IN_FLIGHT, Key, Tally
from serve_app.errors import GatewayUnavailable
from serve_app.ledger.entry import Entry
from serve_app.ledger.journal import Begun, Journal, MemoryJournal
from serve_app.ledger.journal_position import JournalPosition
from serve_app.ledger.outbox import AT_ONCE, Outbox
from serve_app.ledger.store import Change, Record
from serve_app.limits.caller_limits import CallerLimits
from serve_app.limits.client import Reservation
from serve_app.limits.messages import Want
from serve_app.limits.reservations import Reservations
from serve_app.pricing.price import Price
from serve_app.resilience.speed import UNMEASURED

REPORT_EVERY_S = 1.0  # failures are reported at once
HEARTBEAT_S = 5.0
WATCH_FOR_S = 10.0
RETRY_AFTER_S = 0.5
ASK_AGAIN_S = 0.02  # the first delay before asking again for quota that other routers give back
ASK_AGAIN_MAX_S = 0.25  # the longest delay: in learning mode, or while other routers need their quota

log = logging.getLogger("sekha.control")


class ControlCache:
    """
    One router's view of the control plane.

    `breakers` say which providers may be called, `reservations` what may be spent. Callers read
    `runtime_config` and count in `tally` and `gauges` directly.
    """

    def __init__(
        self,
        router_id: str,
        settings: Settings,
        control: Control,
        clock: Clock,
        prices: Mapping[str, Price | None],
        journal: Journal | None = None,
    ) -> None:
        self._id = router_id
        self._settings = settings
        self._control = control
        self._clock = clock
        self._own_prices = prices
        self._snapshot = Snapshot()
        self._hosted = {p.id: p.local for p in settings.llm_providers if p.local is not None}
        self._unacknowledged: Report | None = None
        self._sequence = 0
        self._urgent = asyncio.Event()
        self._denies = settings.storage.on_unavailable is OnUnavailable.DENY
        self.reservations = Reservations(clock, not self._denies, self._urgent.set)
        providers = [provider.id for provider in settings.llm_providers]
        self.breakers = Breakers(providers, settings.circuit_breaker, control, clock, self._urgent.set)
        self._reporting = asyncio.Lock()
        self._tasks: list[asyncio.Task[None]] = []
        self._reported_at = 0.0
        self._ask_again_s = ASK_AGAIN_S
        self.tally = Tally()
        self.gauges: dict[Key, float] = {}
        self._reported_gauges: dict[Key, float] = {}
        self.runtime_config = runtime_config_of(settings, (), NO_REVISION)
        self._config_generation = ""  # the control plane's generation that the runtime config is from
        self._outbox = Outbox(journal or MemoryJournal(router_id))
        self._lease_client = self.reservations.lease_client
        self._config_listeners: list[Callable[[RuntimeConfig], None]] = []

    # --- reads of a request ---------------------------------------------------------------------------

    def price(self, target: str) -> Price | None:
        """
        Return the price of a target by name; None: it is unknown.

        An operator's price comes first, then the control plane's. If that has none, because it has not
        answered yet or has another configuration while one replaces the other, this router's own settings
        count.
        """
        if (set_by_operator := self.runtime_config.price_of.get(target)) is not None:
            return set_by_operator
        return self.configured_price(target)

    def configured_price(self, target: str) -> Price | None:
        """Return the price of a target without operators' overrides; None: it is unknown."""
        prices = self._snapshot.prices
        return prices[target] if target in prices else self._own_prices.get(target)

    def latency_s(self, target: str) -> float | None:
        """Return the measured latency of a target over all routers; None before the first answer."""
        return self._snapshot.latencies.get(target)

    def in_flight(self, provider_id: str) -> int:
        """Return the number of this router's requests at a provider."""
        return int(self.gauges.get((IN_FLIGHT, (provider_id,)), 0))

    def tokens_per_s(self, target: str) -> float:
        """
        Return the output speed of a target over all routers; a cautious default before the first answer.
        """
        return self._snapshot.speeds.get(target, UNMEASURED)

    def warmth(self, provider_id: str) -> Warmth:
        """
        Return whether one more request would be served at once; WARM for a provider that is not hosted here.
        """
        local = self._hosted.get(provider_id)
        if local is None:
            return Warmth.WARM
        mine = self.in_flight(provider_id)
        return warmth_of(self.capacity(provider_id), local.max_running, local.burst_queue, mine)

    def capacity(self, provider_id: str) -> Capacity:
        """Return the replicas of a hosted model, as of the last snapshot."""
        return self._snapshot.capacities.get(provider_id, Capacity())

    def is_ready(self, provider_id: str) -> bool:
        """Return whether one more request would be served at once."""
        return self.warmth(provider_id) is Warmth.WARM

    def has_machine(self, provider_id: str) -> bool:
        """Return whether a replica is ready, busy or not; True for a provider that is not hosted here."""
        return provider_id not in self._hosted or self.capacity(provider_id).ready > 0

    def on_runtime_config(self, listener: Callable[[RuntimeConfig], None]) -> None:
        """Call `listener` with the current runtime config, and with every new one."""
        self._config_listeners.append(listener)
        listener(self.runtime_config)

    def limits_for(self, caller: Caller) -> CallerLimits:
        """Return every limit that may apply to this caller."""
        return self.runtime_config.limits_for(caller)

    # --- operators ------------------------------------------------------------------------------------

    @property
    def control_plane(self) -> Control:
        """Return the control plane, for reads of the ledger, the audit log and the runtime config."""
        return self._control

    async def change(
        self, records: Sequence[Record], change: Change, revision: int | None = None
    ) -> RuntimeConfig:
        """
        Change operators' settings as in `Control`; applied here at once, on other routers with the next
        snapshot.
        """
        runtime_config = await self._control.change(records, change, revision)
        self._apply_runtime_config(runtime_config)
        return runtime_config

    # --- writes of a request --------------------------------------------------------------------------

    async def admit(self, provider_id: str) -> Admission | None:
        """
        Return the permission to send; None: its breaker does not admit it, or an operator disabled it.
        """
        if not self.runtime_config.is_enabled(provider_id):
            return None  # disabled after this request was planned
        return await self.breakers.admit(provider_id)

    def begin(self, begun: Begun) -> int:
        """Record that an attempt is about to begin; return its ticket. Raises GatewayUnavailable."""
        if self._denies and not self._snapshot.is_stored:
            raise GatewayUnavailable(
                "The ledger's store does not answer, and storage.on_unavailable is deny", 1.0
            )
        ticket = self._outbox.begin(begun)
        if self._denies and ticket is None:
            raise GatewayUnavailable("The journal cannot be written, and storage.on_unavailable is deny", 1.0)
        return ticket or 0

    def next_page(self) -> tuple[str, int]:
        """Return the journal of the next entry, and its number there."""
        return self._outbox.name, self._outbox.next_number

    def account(self, entry: Entry, ticket: int, reservation: Reservation | None) -> None:
        """Write an attempt's entry, and settle its reservation."""
        self._outbox.append(entry, ticket)
        if reservation is not None:
            self.reservations.settle(reservation, entry)

    # --- life -----------------------------------------------------------------------------------------

    async def start(self) -> None:
        """
        Register and begin to report and to watch; return at once if the control plane is not reachable yet.
        """
        await self.introduce()
        self._tasks = [
            asyncio.create_task(self._report_for_ever()),
            asyncio.create_task(self._watch_for_ever()),
        ]

    async def stop(self) -> None:
        """Send the last report, give back unused quota, and close the journal."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks = []
        self._lease_client.lose_free()
        with contextlib.suppress(ControlUnreachable):
            await self.flush()
        self._outbox.close()

    def abandon(self) -> list[Report]:
        """
        Return the reports that `stop` would have sent, for a router whose event loop is closed.

        Closes the journal, so that the journal recovery can read it.
        """
        self._lease_client.lose_free()
        unsent = [self._unacknowledged, self._next_report()]
        reports = [self._as_of_now(report, {}) for report in unsent if report is not None]
        self._outbox.close()
        return reports

    def check(self) -> None:
        """
        Raise the error of a background task that has ended: a router that no longer reports is unhealthy.
        """
        for task in self._tasks:
            if task.done() and not task.cancelled():
                task.result()
                raise RuntimeError("a task of the control cache has ended")

    async def flush(self) -> None:
        """Report now; afterwards the snapshot contains all observations. Raises ControlUnreachable."""
        async with self._reporting:
            if self._unacknowledged is not None:
                await self._send(self._unacknowledged)
            await self._send(self._next_report())

    async def totals(self) -> Totals:
        """Return the cluster's metrics, with this router's last requests. Raises ControlUnreachable."""
        await self.flush()
        return await self._control.totals()

    async def introduce(self) -> None:
        """Register this router, with what it knows in case the control plane has lost its state."""
        known = replace(
            self._snapshot,
            breakers=dict(self.breakers.known),
            cooling=dict(self.breakers.cooling),
            used=dict(self._lease_client.used),
        )
        try:
            self.take(await self._control.register(self._id, self._settings, known))
            await self._fetch_runtime_config()
        except ControlUnreachable as error:
            log.warning("the control actor is unreachable, continuing with the last known state: %s", error)

    @property
    def _gauges_moved(self) -> bool:
        return self.gauges != self._reported_gauges

    async def _report_for_ever(self) -> None:
        while True:
            with contextlib.suppress(TimeoutError):
                # Not `wait_for`: in Python 3.11 it loses a cancellation that arrives together with the event,
                # and stopping this replica would hang.
                async with asyncio.timeout(REPORT_EVERY_S):
                    await self._urgent.wait()
            self._urgent.clear()
            idle = not (
                self.breakers.has_news
                or self.tally
                or self._unacknowledged
                or self._gauges_moved
                or self._outbox.has_news
                or self._lease_client.holds_any
            )
            if idle and self._clock.monotonic() - self._reported_at < HEARTBEAT_S:
                continue
            try:
                await self.flush()
                self._reported_at = self._clock.monotonic()
            except ControlUnreachable:
                self.reservations.answer()  # they must ask again, because their wants are lost
                await self._clock.sleep(RETRY_AFTER_S)

    async def _watch_for_ever(self) -> None:
        while True:
            known = self._snapshot
            try:
                news = await self._control.watch(known.generation, known.version, WATCH_FOR_S)
            except ControlUnreachable:
                await self._clock.sleep(RETRY_AFTER_S)
                continue
            if news.generation != known.generation:
                await self.introduce()
            else:
                self.take(news)
            with contextlib.suppress(ControlUnreachable):  # the next snapshot tries again
                await self._fetch_runtime_config()

    async def _send(self, report: Report) -> None:
        """
        Send a report, with the current entries and leases.

        A report that is repeated contains entries and leases as of the repetition, never old ones.
        """
        asked_at = self._clock.monotonic()
        wants = self._lease_client.wants()
        self._unacknowledged = report = self._as_of_now(report, wants)
        receipt = await self._control.report(report)
        self._unacknowledged = None
        self.reservations.heard(asked_at)
        if receipt.snapshot.generation == self._snapshot.generation:
            self.take(receipt.snapshot)
        else:
            await self.introduce()
        # After the snapshot: its recalls are for quota held before, not for these grants.
        self._lease_client.take(receipt.grants, wants, self._clock.now())
        if len(report.entries) == AT_ONCE and self._outbox.taken >= report.entries[-1].number:
            self._urgent.set()  # there may be more entries, which complete the totals
        if any(grant.later for grant in receipt.grants.values()):
            asyncio.get_running_loop().call_later(self._ask_again_s, self.reservations.answer)
            self._ask_again_s = min(2 * self._ask_again_s, ASK_AGAIN_MAX_S)
        else:
            self._ask_again_s = ASK_AGAIN_S
            self.reservations.answer()

    def _as_of_now(self, report: Report, wants: Mapping[str, Want]) -> Report:
        entries = self._outbox.unsent()
        if entries:
            self._lease_client.sent(entries[-1].number)
        leases = self._lease_client.leases(self._clock.now())
        return replace(report, entries=entries, after=self._outbox.taken, leases=leases, wants=wants)

    async def _fetch_runtime_config(self) -> None:
        """Fetch the control plane's runtime config if the local one is outdated."""
        if self._snapshot.revision in (NO_REVISION, self.runtime_config.revision):
            return
        self._apply_runtime_config(await self._control.runtime_config())

    def _apply_runtime_config(self, runtime_config: RuntimeConfig) -> None:
        generation = self._snapshot.generation
        if runtime_config.revision < self.runtime_config.revision and generation == self._config_generation:
            return  # a newer one arrived first
        self._config_generation = generation
        known = {limit.id: limit for limit in self.runtime_config.limits}
        changed = [limit.id for limit in runtime_config.limits if known.get(limit.id, limit) != limit]
        if self._lease_client.give_back(changed):  # a lowered limit applies to existing leases too
            self._urgent.set()
        self.runtime_config = runtime_config
        self._lease_client.forgive()
        for listener in self._config_listeners:
            listener(self.runtime_config)

    def _next_report(self) -> Report:
        self._sequence += 1
        self._reported_gauges = dict(self.gauges)
        report = Report(self._id, self._sequence, self.breakers.tell(), self.tally, self._reported_gauges)
        self.tally = Tally()
        return report

    def take(self, snapshot: Snapshot) -> None:
        """Replace the snapshot, and replay observations that the new one does not contain."""
        known = self._snapshot
        if snapshot.generation == known.generation and (
            snapshot.version < known.version
            or snapshot.applied.get(self._id, 0) < known.applied.get(self._id, 0)
        ):
            return  # a newer one arrived first
        self._snapshot = snapshot
        anew = snapshot.generation != known.generation
        self._outbox.heard(snapshot.marks.get(self._id, JournalPosition()), anew)
        recalled = [name for name, by in snapshot.recalls.items() if by != self._id]
        if self._lease_client.give_back(recalled):
            self._urgent.set()
        sent = self._unacknowledged
        is_missing = sent is not None and snapshot.applied.get(self._id, 0) < sent.sequence
        on_the_way = sent.observations if sent is not None and is_missing else ()
        self.breakers.take(snapshot.breakers, snapshot.cooling, on_the_way)
