"""
A router's local copy of what the authority knows.

Reads are dictionary look-ups, writes go into a batch: no remote call on the way of a request (architecture
D2), but for the rare one that asks for the probe of a half-open breaker.

The copy is exact for what this router saw itself: it is the authority's snapshot with everything replayed
that the snapshot does not contain yet. And it outlives the authority: while that is gone, breakers go on
here, each router for itself, and what was seen waits to be reported.
"""

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import NamedTuple

from serve_app.accounting.entry import Entry
from serve_app.accounting.limit import Limit
from serve_app.accounting.price import Price
from serve_app.caller import Caller
from serve_app.clock import Clock
from serve_app.config.settings import Settings
from serve_app.config.storage import OnUnavailable
from serve_app.control.book import NO_EPOCH, Book, book_of
from serve_app.control.borrower import Borrower, Hold, Need
from serve_app.control.capacity import Capacity, Warmth, warmth_of
from serve_app.control.credit import Want
from serve_app.control.journal import Begun, Journal, MemoryJournal
from serve_app.control.lender import LEASE_S
from serve_app.control.pages import AT_ONCE, Pages
from serve_app.control.port import Control, ControlUnreachable, Mark, Observation, Report, Snapshot, Totals
from serve_app.control.refusal import refusal_of
from serve_app.control.store import Change, Record
from serve_app.control.tally import IN_FLIGHT, Key, Tally
from serve_app.errors import GatewayUnavailable, LimitReached
from serve_app.resilience.breaker import Breaker, BreakerState
from serve_app.resilience.outcome import Outcome

REPORT_EVERY_S = 1.0  # what failed is reported at once
HEARTBEAT_S = 5.0
WATCH_FOR_S = 10.0
RETRY_AFTER_S = 0.5
PROBE_WITHIN_S = 0.25  # a request waits for it
MOST_PENDING = 100_000  # observations kept while the authority is away; the oldest go first
CREDIT_WITHIN_S = 2.0  # a request waits for credit that others hold, or for an authority that starts anew
ASKED_BACK_S = 0.02  # until others have given back what they do not need

log = logging.getLogger("sekha.control")


class Admission(NamedTuple):
    """Leave to send one request to a provider; `probe` names the one a half-open breaker lets through."""

    provider_id: str
    probe: float | None = None


class Replica:
    """One router's view of the control plane."""

    def __init__(
        self,
        replica_id: str,
        settings: Settings,
        control: Control,
        clock: Clock,
        prices: Mapping[str, Price | None],
        journal: Journal | None = None,
    ) -> None:
        self._id = replica_id
        self._settings = settings
        self._policy = settings.circuit_breaker
        self._control = control
        self._clock = clock
        self._own_prices = prices
        self._snapshot = Snapshot()
        self._hosted = {p.id: p.local for p in settings.llm_providers if p.local is not None}
        self._breakers: dict[str, Breaker] = {
            p.id: Breaker(last_change=clock.now()) for p in settings.llm_providers
        }
        self._cooling: dict[str, float] = {}
        self._asking: set[str] = set()
        self._pending: deque[Observation] = deque(maxlen=MOST_PENDING)
        self._unacknowledged: Report | None = None
        self._sequence = 0
        self._urgent = asyncio.Event()
        self._reporting = asyncio.Lock()
        self._tasks: list[asyncio.Task[None]] = []
        self._reported_at = 0.0
        self.tally = Tally()
        self.gauges: dict[Key, float] = {}
        self._reported_gauges: dict[Key, float] = {}
        self.book = book_of(settings, (), NO_EPOCH)
        self._book_from = ""  # the generation of the authority that it came from
        self._pages = Pages(journal or MemoryJournal(replica_id))
        self._borrower = Borrower()
        self._answered = asyncio.Event()
        self._heard_at = clock.monotonic()
        self._on_new_book: list[Callable[[Book], None]] = []

    # --- what a request reads -------------------------------------------------------------------------

    def is_open(self, provider_id: str) -> bool:
        """Whether the breaker keeps requests away at this moment."""
        return self.breaker(provider_id).state is BreakerState.OPEN

    def breaker(self, provider_id: str) -> Breaker:
        """The breaker as this router knows it, at this moment."""
        breaker = self._breakers[provider_id]
        if breaker.state is not BreakerState.OPEN:
            return breaker
        return breaker.looked_at(self._clock.now(), self._policy)

    def price(self, target: str) -> Price | None:
        """
        The price of a target by name; None when nobody knows it.

        An operator's word comes first, then the authority's. Before that has spoken, or where it speaks for
        another configuration, as it does while one replaces the other, it is what this router's own settings
        say.
        """
        if (set_by_operator := self.book.price_of.get(target)) is not None:
            return set_by_operator
        return self.configured_price(target)

    def configured_price(self, target: str) -> Price | None:
        """The same, as if no operator had said anything."""
        prices = self._snapshot.prices
        return prices[target] if target in prices else self._own_prices.get(target)

    def latency_s(self, target: str) -> float | None:
        """The measured latency of a target over all routers; None before the first answer."""
        return self._snapshot.latencies.get(target)

    def cooling_s(self, target: str) -> float:
        """For how many seconds more this target wants to be left alone; 0.0 when it does not."""
        until = self._cooling.get(target)
        return 0.0 if until is None else max(0.0, until - self._clock.now())

    def opens_in_s(self, provider_id: str) -> float:
        """Seconds until an open breaker lets a probe through."""
        failed_at = self._breakers[provider_id].last_failure or 0.0
        return max(0.0, failed_at + self._policy.reset_timeout - self._clock.now())

    def warmth(self, provider_id: str) -> Warmth:
        """Whether a request that comes now is served now; who is not hosted here is always there."""
        local = self._hosted.get(provider_id)
        if local is None:
            return Warmth.WARM
        mine = self.gauges.get((IN_FLIGHT, (provider_id,)), 0)
        return warmth_of(self.capacity(provider_id), local.max_running, local.burst_queue, int(mine))

    def capacity(self, provider_id: str) -> Capacity:
        """What runs of a model that we host, as far as this router has heard."""
        return self._snapshot.capacities.get(provider_id, Capacity())

    def is_ready(self, provider_id: str) -> bool:
        """Whether a request that comes now is worked on now."""
        return self.warmth(provider_id) is Warmth.WARM

    def has_machine(self, provider_id: str) -> bool:
        """Whether a replica of it is there to be asked, busy or not; who is not hosted here always is."""
        return provider_id not in self._hosted or self.capacity(provider_id).ready > 0

    def on_new_book(self, listener: Callable[[Book], None]) -> None:
        """Call this with the present book, and with every new one."""
        self._on_new_book.append(listener)
        listener(self.book)

    def limits_for(self, caller: Caller) -> Sequence[Limit]:
        """Every limit that may hold this caller back."""
        return self.book.limits_for(caller)

    def foreseen(self, limit: Limit, amount: int) -> LimitReached | None:
        """The refusal that this much of a limit is known to meet; None where one has to ask."""
        now = self._clock.now()
        short = self._borrower.foreseen(limit, amount, now)
        return None if short is None else refusal_of(short, now)

    def share_left(self, limit: Limit) -> float | None:
        """How much of a budget is left, 0 to 1, as far as this router has heard; None: it has not."""
        return self._borrower.share_left(limit, self._clock.now())

    # --- what operators do ----------------------------------------------------------------------------

    @property
    def authority(self) -> Control:
        """For what is not on the way of a request: what the ledger, the audit and the present book say."""
        return self._control

    async def change(self, records: Sequence[Record], change: Change, epoch: int | None = None) -> Book:
        """As in `Control`; this router goes by it at once, the others with the next news."""
        book = await self._control.change(records, change, epoch)
        self._take_book(book)
        return book

    # --- what a request does --------------------------------------------------------------------------

    async def admit(self, provider_id: str) -> Admission | None:
        """
        Leave to send; None when the breaker says no, or an operator has switched the provider off.

        A half-open breaker has one probe for the whole cluster, so it is asked for at the authority, by one
        request at a time. While that is away, or slow, this router gives out a probe itself: better one for
        each router than none.
        """
        if not self.book.is_enabled(provider_id):
            return None  # since this request was planned
        breaker = self.breaker(provider_id)
        if breaker.admits_without_asking():
            return Admission(provider_id)
        probed = breaker.probed(self._clock.now(), self._policy)
        if probed is None or provider_id in self._asking:
            return None
        self._asking.add(provider_id)
        try:
            probe = await self._probe(provider_id)
        finally:
            self._asking.discard(provider_id)
        # Ours or another router's, a probe is out; unless news of its end have come in the meantime.
        known = self.breaker(provider_id)
        if known.state is BreakerState.HALF_OPEN and known.probe_until is None:
            self._breakers[provider_id] = known._replace(probe_until=probe or probed.probe_until)
        return None if probe is None else Admission(provider_id, probe)

    def decline(self, admission: Admission) -> None:
        """Leave was given and is not made use of: if it was for the one probe, the next one may have it."""
        if admission.probe is not None:
            now = self._clock.now()
            self.observe(Observation(admission.provider_id, "", Outcome.IGNORED, now, admission.probe))

    async def _probe(self, provider_id: str) -> float | None:
        """The probe's name: the authority's, or one of our own; None when somebody else has it."""
        asking = asyncio.ensure_future(self._control.probe(provider_id))
        try:
            async with asyncio.timeout(PROBE_WITHIN_S):
                return await asyncio.shield(asking)
        except (ControlUnreachable, TimeoutError):
            probed = self.breaker(provider_id).probed(self._clock.now(), self._policy)
            return None if probed is None else probed.probe_until
        finally:
            if not asking.done():  # the caller has left, or we did not wait for it
                asking.add_done_callback(partial(self._give_back, provider_id))

    async def reserve(self, needs: Sequence[Need], within_s: float) -> Hold:
        """
        Reserve all of these, out of the credit that is held here; where that is short, more is asked for.

        Raises BudgetExceeded or RateLimitExceeded when there is not as much left in the whole cluster, and
        GatewayUnavailable when nobody could say so within `within_s` seconds, and nothing may go on without.
        """
        until = self._clock.monotonic() + min(within_s, CREDIT_WITHIN_S)
        while True:
            now = self._clock.now()
            is_alone = self._clock.monotonic() - self._heard_at > LEASE_S
            if is_alone:
                self._borrower.lose_free()
            if hold := self._borrower.reserve(needs, now):
                if self._borrower.is_low(hold, now):
                    self._urgent.set()
                return hold
            if short := self._borrower.shortage(needs, now):
                raise refusal_of(short, now)
            left_s = until - self._clock.monotonic()
            may_trust = self._settings.storage.on_unavailable is OnUnavailable.ALLOW
            if may_trust and (is_alone or left_s <= 0) and (hold := self._borrower.trust(needs, now)):
                self._urgent.set()
                return hold
            if left_s <= 0:
                limit, _ = needs[0]
                raise GatewayUnavailable(
                    f"Nobody can say just now how much is left of the limit '{limit.id}'", retry_after_s=1.0
                )
            self._borrower.ask(needs, now)
            answered = self._answered
            self._urgent.set()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(left_s):
                    await answered.wait()

    def begin(self, begun: Begun) -> int:
        """Write down that an attempt is about to begin: its ticket. Raises GatewayUnavailable."""
        denies = self._settings.storage.on_unavailable is OnUnavailable.DENY
        if denies and not self._snapshot.is_stored:
            raise GatewayUnavailable(
                "The ledger's store does not answer, and nothing may go unaccounted", 1.0
            )
        ticket = self._pages.begin(begun)
        if denies and ticket is None:
            raise GatewayUnavailable("The journal cannot be written, and nothing may go unaccounted", 1.0)
        return ticket or 0

    def next_page(self) -> tuple[str, int]:
        """The journal that the next entry goes into, and its number there."""
        return self._pages.name, self._pages.next_number

    def account(self, entry: Entry, ticket: int, hold: Hold | None) -> None:
        """Write down how an attempt ended, and give back what it did not need of its hold."""
        self._pages.append(entry, ticket)
        if hold is not None:
            self._borrower.settle(hold, entry, self._clock.now())

    def release(self, hold: Hold) -> None:
        """End the hold of a request that is over; it stays counted."""
        self._borrower.settle(hold, None, self._clock.now())

    def cancel(self, hold: Hold) -> None:
        """Give back a hold of which nothing was sent."""
        self._borrower.cancel(hold, self._clock.now())

    def observe(self, seen: Observation) -> None:
        """Take note of the end of an attempt, here at once, at the authority with the next report."""
        self._pending.append(seen)
        if seen.cool_until is not None:
            self._cool(seen.target, seen.cool_until)
        self._breakers[seen.provider_id] = self._replayed(self._breakers[seen.provider_id], seen)
        if seen.latency_s is None or seen.probe is not None:
            self._urgent.set()

    def _give_back(self, provider_id: str, asking: asyncio.Future[float | None]) -> None:
        """A probe that comes when its caller has left is for the next one, and not lost for half a minute."""
        if asking.cancelled() or asking.exception() is not None:
            return
        if probe := asking.result():
            self.decline(Admission(provider_id, probe))

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
        self._borrower.lose_free()
        with contextlib.suppress(ControlUnreachable):
            await self.flush()
        self._pages.close()

    def abandon(self) -> list[Report]:
        """
        What `stop` would have reported, of a router whose event loop has been closed around it.

        Its journal is let go of, for an heir.
        """
        self._borrower.lose_free()
        unheard = [self._unacknowledged, self._next_report()]
        reports = [self._as_of_now(report, {}) for report in unheard if report is not None]
        self._pages.close()
        return reports

    def check(self) -> None:
        """Raise what ended a background task, if one has ended: a router that no longer reports is ill."""
        for task in self._tasks:
            if task.done() and not task.cancelled():
                task.result()
                raise RuntimeError("a task of the control replica has ended")

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
            breakers=dict(self._breakers),
            cooling=dict(self._cooling),
            used=dict(self._borrower.used),
        )
        try:
            self.take(await self._control.hello(self._id, self._settings, known))
            await self._read_book()
        except ControlUnreachable as error:
            log.warning("the control actor is unreachable, going on with what is known: %s", error)

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
                self._pending
                or self.tally
                or self._unacknowledged
                or self._gauges_moved
                or self._pages.has_news
                or self._borrower.holds_any
            )
            if idle and self._clock.monotonic() - self._reported_at < HEARTBEAT_S:
                continue
            try:
                await self.flush()
                self._reported_at = self._clock.monotonic()
            except ControlUnreachable:
                self._answer()  # they have to ask again: what was wanted is forgotten
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
        wants = self._borrower.wants()
        self._unacknowledged = report = self._as_of_now(report, wants)
        receipt = await self._control.report(report)
        self._unacknowledged = None
        self._heard_at = asked_at
        if receipt.snapshot.generation == self._snapshot.generation:
            self.take(receipt.snapshot)
        else:
            await self.introduce()
        # After the snapshot: that calls back what was held before, and not what comes with it.
        self._borrower.take(receipt.grants, wants, self._clock.now())
        if len(report.entries) == AT_ONCE and self._pages.taken >= report.entries[-1].number:
            self._urgent.set()  # there may be as many again, and whoever counts waits for them
        if any(grant.later for grant in receipt.grants.values()):
            asyncio.get_running_loop().call_later(ASKED_BACK_S, self._answer)
        else:
            self._answer()

    def _as_of_now(self, report: Report, wants: Mapping[str, Want]) -> Report:
        entries = self._pages.unsent()
        if entries:
            self._borrower.sent(entries[-1].number)
        holdings = self._borrower.holdings(self._clock.now())
        return replace(report, entries=entries, after=self._pages.taken, holdings=holdings, wants=wants)

    def _answer(self) -> None:
        """Let those who wait for credit try again."""
        self._answered.set()
        self._answered = asyncio.Event()

    async def _read_book(self) -> None:
        """Take up the tenants, keys and limits that the authority has, if ours are older."""
        if self._snapshot.epoch in (NO_EPOCH, self.book.epoch):
            return
        self._take_book(await self._control.book())

    def _take_book(self, book: Book) -> None:
        generation = self._snapshot.generation
        if book.epoch < self.book.epoch and generation == self._book_from:
            return  # overtaken on its way by a newer one
        self._book_from = generation
        known = {limit.id: limit for limit in self.book.limits}
        changed = [limit.id for limit in book.limits if known.get(limit.id, limit) != limit]
        if self._borrower.give_back(changed):  # a limit that was lowered holds for what was lent, too
            self._urgent.set()
        self.book = book
        self._borrower.forgive()
        for listener in self._on_new_book:
            listener(self.book)

    def _next_report(self) -> Report:
        self._sequence += 1
        self._reported_gauges = dict(self.gauges)
        report = Report(self._id, self._sequence, tuple(self._pending), self.tally, self._reported_gauges)
        self._pending.clear()
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
        self._pages.heard(snapshot.marks.get(self._id, Mark()), anew)
        wanted_back = [name for name, by in snapshot.recalls.items() if by != self._id]
        if self._borrower.give_back(wanted_back):
            self._urgent.set()
        missing: list[Observation] = []
        sent = self._unacknowledged
        if sent is not None and snapshot.applied.get(self._id, 0) < sent.sequence:
            missing.extend(sent.observations)
        missing.extend(self._pending)
        self._breakers.update(snapshot.breakers)
        for target, until in snapshot.cooling.items():
            self._cool(target, until)
        for seen in missing:
            self._breakers[seen.provider_id] = self._replayed(self._breakers[seen.provider_id], seen)

    def _cool(self, target: str, until: float) -> None:
        self._cooling[target] = max(until, self._cooling.get(target, 0.0))

    def _replayed(self, breaker: Breaker, seen: Observation) -> Breaker:
        looked = breaker.looked_at(seen.at, self._policy)
        return looked.heard(seen.outcome, seen.probe, seen.at, self._policy)
