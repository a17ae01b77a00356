"""
A router's local copy of the control plane's state, and the reports that keep the two in step.

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
from serve_app.ledger.mark import Mark
from serve_app.ledger.outbox import AT_ONCE, Outbox
from serve_app.ledger.store import Change, Record
from serve_app.limits.caller_limits import CallerLimits
from serve_app.limits.client import Reservation
from serve_app.limits.messages import Want
from serve_app.limits.reservations import Reservations
from serve_app.pricing.price import Price
from serve_app.resilience.speed import UNMEASURED

REPORT_EVERY_S = 1.0  # what failed is reported at once
HEARTBEAT_S = 5.0
WATCH_FOR_S = 10.0
RETRY_AFTER_S = 0.5
ASKED_BACK_S = 0.02  # until others have given back what they do not need
AT_LEAST_ASKED_S = 0.25  # where that does not help: the authority lends nothing yet, or others hold on to it

log = logging.getLogger("sekha.control")


class ControlCache:
    """
    One router's view of the control plane.

    `breakers` say which providers may be called, `reservations` what may be spent. `runtime_config`, `tally`
    and `gauges` are read, and counted in, directly.
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
        self._asked_back_s = ASKED_BACK_S
        self.tally = Tally()
        self.gauges: dict[Key, float] = {}
        self._reported_gauges: dict[Key, float] = {}
        self.runtime_config = runtime_config_of(settings, (), NO_REVISION)
        self._book_from = ""  # the generation of the authority that it came from
        self._outbox = Outbox(journal or MemoryJournal(router_id))
        self._lease_client = self.reservations.lease_client
        self._on_new_book: list[Callable[[RuntimeConfig], None]] = []

    # --- what a request reads -------------------------------------------------------------------------

    def price(self, target: str) -> Price | None:
        """
        The price of a target by name; None when nobody knows it.

        An operator's word comes first, then the authority's. Before that has spoken, or where it speaks for
        another configuration, as it does while one replaces the other, it is what this router's own settings
        say.
        """
        if (set_by_operator := self.runtime_config.price_of.get(target)) is not None:
            return set_by_operator
        return self.configured_price(target)

    def configured_price(self, target: str) -> Price | None:
        """The same, as if no operator had said anything."""
        prices = self._snapshot.prices
        return prices[target] if target in prices else self._own_prices.get(target)

    def latency_s(self, target: str) -> float | None:
        """The measured latency of a target over all routers; None before the first answer."""
        return self._snapshot.latencies.get(target)

    def in_flight(self, provider_id: str) -> int:
        """How many requests of this router are at a provider."""
        return int(self.gauges.get((IN_FLIGHT, (provider_id,)), 0))

    def tokens_per_s(self, target: str) -> float:
        """How fast a target writes at most, measured over all routers; a cautious figure before that."""
        return self._snapshot.speeds.get(target, UNMEASURED)

    def warmth(self, provider_id: str) -> Warmth:
        """Whether a request that comes now is served now; who is not hosted here is always there."""
        local = self._hosted.get(provider_id)
        if local is None:
            return Warmth.WARM
        mine = self.in_flight(provider_id)
        return warmth_of(self.capacity(provider_id), local.max_running, local.burst_queue, mine)

    def capacity(self, provider_id: str) -> Capacity:
        """What runs of a model that we host, as far as this router has heard."""
        return self._snapshot.capacities.get(provider_id, Capacity())

    def is_ready(self, provider_id: str) -> bool:
        """Whether a request that comes now is worked on now."""
        return self.warmth(provider_id) is Warmth.WARM

    def has_machine(self, provider_id: str) -> bool:
        """Whether a replica of it is there to be asked, busy or not; who is not hosted here always is."""
        return provider_id not in self._hosted or self.capacity(provider_id).ready > 0

    def on_runtime_config(self, listener: Callable[[RuntimeConfig], None]) -> None:
        """Call this with the present book, and with every new one."""
        self._on_new_book.append(listener)
        listener(self.runtime_config)

    def limits_for(self, caller: Caller) -> CallerLimits:
        """Every limit that may hold this caller back."""
        return self.runtime_config.limits_for(caller)

    # --- what operators do ----------------------------------------------------------------------------

    @property
    def authority(self) -> Control:
        """For what is not on the way of a request: what the ledger, the audit and the present book say."""
        return self._control

    async def change(
        self, records: Sequence[Record], change: Change, revision: int | None = None
    ) -> RuntimeConfig:
        """As in `Control`; this router goes by it at once, the others with the next news."""
        runtime_config = await self._control.change(records, change, revision)
        self._take_book(runtime_config)
        return runtime_config

    # --- what a request does --------------------------------------------------------------------------

    async def admit(self, provider_id: str) -> Admission | None:
        """Leave to send; None when the breaker says no, or an operator has switched the provider off."""
        if not self.runtime_config.is_enabled(provider_id):
            return None  # since this request was planned
        return await self.breakers.admit(provider_id)

    def begin(self, begun: Begun) -> int:
        """Write down that an attempt is about to begin: its ticket. Raises GatewayUnavailable."""
        if self._denies and not self._snapshot.is_stored:
            raise GatewayUnavailable(
                "The ledger's store does not answer, and storage.on_unavailable is deny", 1.0
            )
        ticket = self._outbox.begin(begun)
        if self._denies and ticket is None:
            raise GatewayUnavailable("The journal cannot be written, and storage.on_unavailable is deny", 1.0)
        return ticket or 0

    def next_page(self) -> tuple[str, int]:
        """The journal that the next entry goes into, and its number there."""
        return self._outbox.name, self._outbox.next_number

    def account(self, entry: Entry, ticket: int, reservation: Reservation | None) -> None:
        """Write down how an attempt ended, and give back what it did not need of its hold."""
        self._outbox.append(entry, ticket)
        if reservation is not None:
            self.reservations.settle(reservation, entry)

    # --- life -----------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Say hello and begin to report and to watch; returns at once when the authority is not there yet."""
        await self.introduce()
        self._tasks = [
            asyncio.create_task(self._report_for_ever()),
            asyncio.create_task(self._watch_for_ever()),
        ]

    async def stop(self) -> None:
        """Report what is left, give back the credit that is, and end."""
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
        What `stop` would have reported, of a router whose event loop has been closed around it.

        Its journal is let go of, for an heir.
        """
        self._lease_client.lose_free()
        unheard = [self._unacknowledged, self._next_report()]
        reports = [self._as_of_now(report, {}) for report in unheard if report is not None]
        self._outbox.close()
        return reports

    def check(self) -> None:
        """Raise what ended a background task, if one has ended: a router that no longer reports is ill."""
        for task in self._tasks:
            if task.done() and not task.cancelled():
                task.result()
                raise RuntimeError("a task of the control cache has ended")

    async def flush(self) -> None:
        """Report now; afterwards the snapshot contains all this router saw. Raises ControlUnreachable."""
        async with self._reporting:
            if self._unacknowledged is not None:
                await self._send(self._unacknowledged)
            await self._send(self._next_report())

    async def totals(self) -> Totals:
        """The cluster's numbers, this router's last requests included. Raises ControlUnreachable."""
        await self.flush()
        return await self._control.totals()

    async def introduce(self) -> None:
        """Say who we are, and what we remember in case the authority has lost its memory."""
        known = replace(
            self._snapshot,
            breakers=dict(self.breakers.known),
            cooling=dict(self.breakers.cooling),
            used=dict(self._lease_client.used),
        )
        try:
            self.take(await self._control.register(self._id, self._settings, known))
            await self._read_book()
        except ControlUnreachable as error:
            log.warning("the control actor is unreachable, continuing with the last known state: %s", error)

    @property
    def _gauges_moved(self) -> bool:
        return self.gauges != self._reported_gauges

    async def _report_for_ever(self) -> None:
        while True:
            with contextlib.suppress(TimeoutError):
                # Not `wait_for`: in Python 3.11 it loses a cancellation that comes together with the event,
                # and who stops this replica would wait for ever.
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
                self.reservations.answer()  # they have to ask again: what was wanted is forgotten
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
            with contextlib.suppress(ControlUnreachable):  # then the next news bring it
                await self._read_book()

    async def _send(self, report: Report) -> None:
        """
        Hand over a report, and what is true at this moment of entries and credit: these are never repeated.

        A report that has to be sent again therefore gets them anew.
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
        # After the snapshot: that calls back what was held before, and not what comes with it.
        self._lease_client.take(receipt.grants, wants, self._clock.now())
        if len(report.entries) == AT_ONCE and self._outbox.taken >= report.entries[-1].number:
            self._urgent.set()  # there may be as many again, and whoever counts waits for them
        if any(grant.later for grant in receipt.grants.values()):
            asyncio.get_running_loop().call_later(self._asked_back_s, self.reservations.answer)
            self._asked_back_s = min(2 * self._asked_back_s, AT_LEAST_ASKED_S)
        else:
            self._asked_back_s = ASKED_BACK_S
            self.reservations.answer()

    def _as_of_now(self, report: Report, wants: Mapping[str, Want]) -> Report:
        entries = self._outbox.unsent()
        if entries:
            self._lease_client.sent(entries[-1].number)
        leases = self._lease_client.leases(self._clock.now())
        return replace(report, entries=entries, after=self._outbox.taken, leases=leases, wants=wants)

    async def _read_book(self) -> None:
        """Take up the tenants, keys and limits that the authority has, if ours are older."""
        if self._snapshot.revision in (NO_REVISION, self.runtime_config.revision):
            return
        self._take_book(await self._control.runtime_config())

    def _take_book(self, runtime_config: RuntimeConfig) -> None:
        generation = self._snapshot.generation
        if runtime_config.revision < self.runtime_config.revision and generation == self._book_from:
            return  # overtaken on its way by a newer one
        self._book_from = generation
        known = {limit.id: limit for limit in self.runtime_config.limits}
        changed = [limit.id for limit in runtime_config.limits if known.get(limit.id, limit) != limit]
        if self._lease_client.give_back(changed):  # a limit that was lowered holds for what was lent, too
            self._urgent.set()
        self.runtime_config = runtime_config
        self._lease_client.forgive()
        for listener in self._on_new_book:
            listener(self.runtime_config)

    def _next_report(self) -> Report:
        self._sequence += 1
        self._reported_gauges = dict(self.gauges)
        report = Report(self._id, self._sequence, self.breakers.tell(), self.tally, self._reported_gauges)
        self.tally = Tally()
        return report

    def take(self, snapshot: Snapshot) -> None:
        """Make this snapshot the base, and replay on it what it does not contain."""
        known = self._snapshot
        if snapshot.generation == known.generation and (
            snapshot.version < known.version
            or snapshot.applied.get(self._id, 0) < known.applied.get(self._id, 0)
        ):
            return  # overtaken on its way by a newer one
        self._snapshot = snapshot
        anew = snapshot.generation != known.generation
        self._outbox.heard(snapshot.marks.get(self._id, Mark()), anew)
        wanted_back = [name for name, by in snapshot.recalls.items() if by != self._id]
        if self._lease_client.give_back(wanted_back):
            self._urgent.set()
        sent = self._unacknowledged
        is_missing = sent is not None and snapshot.applied.get(self._id, 0) < sent.sequence
        on_the_way = sent.observations if sent is not None and is_missing else ()
        self.breakers.take(snapshot.breakers, snapshot.cooling, on_the_way)
