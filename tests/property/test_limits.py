"""
Limits under everything that can happen to messages and processes.

Routers reserve, settle, cancel, fall silent, go on without credit and die; reports get lost on the way there
or on the way back, or come too late; days and months end; the authority dies and comes back with what the
store has. Never is a limit passed, and who waits for what there is gets it.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from serve_app.ledger.entry import Entry, EntryOutcome
from serve_app.ledger.store import Spend
from serve_app.limits.allocator import EXPIRES_S, LEASE_S, LeaseAllocator
from serve_app.limits.client import LeaseClient, Need, Reservation
from serve_app.limits.limit import Limit, Scope, Unit, Window
from serve_app.limits.messages import Grant, Lease, Want
from serve_app.limits.reservations import QUOTA_WITHIN_S
from serve_app.pricing.usage import Usage

START = datetime(2023, 11, 30, 23, 59, 57, 500_000, UTC).timestamp()  # a day and a month end soon
DAY_S, MINUTE_S = 86_400, 60
OF_THE_DAY = Limit("gateway/day", Unit.NANO_DOLLARS, Window.DAY, 250)
OF_THE_MONTH = Limit("gateway/month", Unit.NANO_DOLLARS, Window.MONTH, 400)
MINE = Limit("tenant:a/total", Unit.NANO_DOLLARS, Window.TOTAL, 300, Scope(tenant="a"))
AT_ONCE = Limit("gateway/concurrent", Unit.CONCURRENT, Window.TOTAL, 4)
REQUESTS = Limit("gateway/requests", Unit.REQUESTS, Window.MINUTE, 6)
TOKENS = Limit("gateway/tokens", Unit.TOKENS, Window.MINUTE, 1000)
BUDGETS = (OF_THE_DAY, OF_THE_MONTH, MINE)
LIMITS = (*BUDGETS, AT_ONCE, REQUESTS, TOKENS)

STEP_S = 0.1
# A minute's rate may be used up, and for a while what the dead had counts as theirs.
IN_THE_END_S = MINUTE_S + EXPIRES_S + 1


@dataclass(frozen=True)
class Asked:
    """What a request may come to."""

    cost: int
    tokens: int
    tenant: str

    @property
    def needs(self) -> list[Need]:
        budgets = [(limit, self.cost) for limit in BUDGETS if is_of(limit, self.tenant)]
        return [*budgets, (AT_ONCE, 1), (REQUESTS, 1), (TOKENS, self.tokens)]


@dataclass(frozen=True)
class Reserved:
    """A request under way since this moment."""

    hold: Reservation
    asked: Asked
    at: float
    on_trust: bool = False


@dataclass
class Router:
    """One router, its journal, and what it has on its way."""

    name: str
    lease_client: LeaseClient = field(default_factory=LeaseClient)
    entries: list[Entry] = field(default_factory=list)
    taken: int = 0
    under_way: list[Reserved] = field(default_factory=list)
    heard_at: float = START


routers = st.integers(0, 2)
requests = st.builds(Asked, st.integers(1, 120), st.integers(1, 400), st.sampled_from("ab"))
waiting_ones = st.lists(st.tuples(routers, requests), min_size=1, max_size=3, unique_by=lambda one: one[0])


class Cluster(RuleBasedStateMachine):
    """Never is more spent and reserved than a limit allows, and in the end the sums agree."""

    def __init__(self) -> None:
        super().__init__()
        self.now = START
        self.stored: list[Entry] = []
        self.counted: dict[str, int] = {}
        self.allocator = LeaseAllocator()
        self.allocator.set_limits(LIMITS, self.now)
        self.allocator.restore((), self.now, 0.0)
        self.routers = [Router(name) for name in "abc"]
        self.admitted: Counter[int] = Counter()  # requests out of credit, by minute
        self.tokens: Counter[int] = Counter()
        self.on_trust: set[tuple[str, int]] = set()  # entries that no credit was for
        self.died_at = self.came_up_at = 0.0
        self.unknown: set[int] = set()  # minutes of which an authority that came back could not hear all

    # --- what routers do ------------------------------------------------------------------------------

    @rule(at=routers, asked=requests, waits=st.booleans())
    def reserves(self, at: int, asked: Asked, waits: bool) -> None:
        if not self.tries_to_reserve(at, asked) and waits:
            self.reports(at, arrives=True, comes_back=True)
            self.tries_to_reserve(at, asked)

    def tries_to_reserve(self, at: int, asked: Asked) -> bool:
        router = self.routers[at]
        if self.now - router.heard_at > LEASE_S:
            router.lease_client.lose_free()
        hold = router.lease_client.reserve(asked.needs, self.now)
        if hold is None:
            router.lease_client.ask(asked.needs, self.now)
            return False
        router.under_way.append(Reserved(hold, asked, self.now))
        self.admitted[minute_of(self.now)] += 1
        self.tokens[minute_of(self.now)] += asked.tokens
        return True

    @rule(at=routers, asked=st.lists(requests, min_size=1, max_size=3))
    def goes_on_without_credit(self, at: int, asked: list[Asked]) -> None:
        """A router that is cut off goes on within what it has heard; that may come on top of a limit."""
        router = self.routers[at]
        if not is_quiet(router):
            return
        self.now = max(self.now, router.heard_at + LEASE_S + 0.1)
        self.those_at_work_report()
        router.lease_client.lose_free()
        for each in asked:
            if hold := router.lease_client.trust(each.needs, self.now):
                router.under_way.append(Reserved(hold, each, self.now, on_trust=True))

    @rule(at=routers, share=st.floats(0, 1))
    def settles(self, at: int, share: float) -> None:
        router = self.routers[at]
        if router.under_way:
            ended = router.under_way.pop(0)
            tokens = int(ended.asked.tokens * share)
            entry = entry_of(router, int(ended.asked.cost * share), tokens, ended.asked.tenant, self.now)
            router.entries.append(entry)
            router.lease_client.settle(ended.hold, entry, self.now)
            if ended.on_trust:
                self.on_trust.add((entry.journal, entry.number))
            elif minute_of(ended.at) == minute_of(self.now):
                self.tokens[minute_of(self.now)] -= ended.asked.tokens - tokens

    @rule(at=routers)
    def cancels(self, at: int) -> None:
        """Nothing was sent: as if it had never been."""
        router = self.routers[at]
        if router.under_way:
            ended = router.under_way.pop()
            router.lease_client.cancel(ended.hold, self.now)
            if minute_of(ended.at) == minute_of(self.now) and not ended.on_trust:
                self.admitted[minute_of(self.now)] -= 1
                self.tokens[minute_of(self.now)] -= ended.asked.tokens

    @rule(at=routers, arrives=st.booleans(), comes_back=st.booleans())
    def reports(self, at: int, arrives: bool, comes_back: bool) -> None:
        router = self.routers[at]
        entries = [entry for entry in router.entries if entry.number > router.taken]
        if entries:
            router.lease_client.sent(entries[-1].number)
        wants = router.lease_client.wants()
        leases = router.lease_client.leases(self.now)
        if arrives:
            grants = self.hears(router, entries, leases, wants)
            if comes_back:
                router.taken = self.counted.get(router.name, 0)
                router.heard_at = self.now
                router.lease_client.take(grants, wants, self.now)
                recalled = self.allocator.recalls(self.now)
                router.lease_client.give_back(name for name, by in recalled.items() if by != router.name)

    def hears(
        self, router: Router, entries: list[Entry], leases: dict[str, Lease], wants: dict[str, Want]
    ) -> dict[str, Grant]:
        self.counts(router, entries)
        return self.allocator.hear(router.name, leases, wants, self.now)

    def counts(self, router: Router, entries: list[Entry]) -> None:
        for entry in entries:
            if entry.number > self.counted.get(router.name, 0):
                self.counted[router.name] = entry.number
                self.allocator.spend(entry, self.now)
                self.stored.append(entry)

    @rule(at=routers)
    def dies_and_its_journal_is_taken_over(self, at: int) -> None:
        router = self.routers[at]
        for lost in router.under_way:
            entry = entry_of(router, lost.asked.cost, lost.asked.tokens, lost.asked.tenant, self.now)
            router.entries.append(entry)
            if lost.on_trust:
                self.on_trust.add((entry.journal, entry.number))
        self.counts(router, router.entries)
        self.died_at = self.now
        self.routers[at] = Router(f"{router.name}'", heard_at=self.now)

    # --- what happens to all --------------------------------------------------------------------------

    @rule(seconds=st.sampled_from([0.1, 0.1, 0.1, 1.0, 3.0, LEASE_S + 0.1, EXPIRES_S + 0.1, 61.0]))
    def time_passes(self, seconds: float) -> None:
        """
        Who has requests under way, or has settled some, is heard of every few seconds.

        What a router that is cut off from the authority for longer than a lease's life has under way, or has
        settled since, may come on top; there is no way to know of it.
        """
        while seconds > 0:
            self.now += min(seconds, 3.0)
            seconds -= 3.0
            self.those_at_work_report()

    def those_at_work_report(self) -> None:
        for at, router in enumerate(self.routers):
            if not is_quiet(router):
                self.reports(at, arrives=True, comes_back=True)

    @rule(days=st.sampled_from([1, 1, 31]))
    @precondition(lambda self: all(map(is_quiet, self.routers)))
    def days_pass(self, days: int) -> None:
        """Nobody has anything under way, and so may be silent."""
        self.now += days * DAY_S

    @rule()
    @precondition(lambda self: len(self.stored) < 60)
    def the_authority_dies_and_comes_back(self) -> None:
        """
        Everything it took in is in the store; routers that are well say what they hold within a lease.

        But not what routers that have died had used within the same minute.
        """
        if minute_of(self.died_at) == minute_of(self.now):
            self.unknown.add(minute_of(self.now))
        self.came_up_at = self.now
        self.allocator = LeaseAllocator()
        self.allocator.set_limits(LIMITS, self.now)
        self.allocator.restore(spends_of(self.stored), self.now, LEASE_S)
        self.all_report()

    def all_report(self) -> None:
        for at in range(len(self.routers)):
            self.reports(at, arrives=True, comes_back=True)

    @rule(waiting=waiting_ones)
    def who_waits_for_what_there_is_gets_it(self, waiting: list[tuple[int, Asked]]) -> None:
        """Where there is room for all of them, whoever holds the credit; and reports get through."""
        wanted = [each for _, each in waiting]
        if not self.has_room_for(wanted):
            return
        is_soon = self.has_room_at_once_for(wanted)
        within_s = QUOTA_WITHIN_S if is_soon else IN_THE_END_S
        until = self.now + within_s
        self.all_report()
        while waiting := [(at, asked) for at, asked in waiting if not self.tries_to_reserve(at, asked)]:
            assert self.now < until, f"after {within_s} s {waiting} are still waiting"
            self.all_report()
            for at, asked in waiting:
                short = self.routers[at].lease_client.shortfall(asked.needs, self.now)
                assert not (is_soon and short), "refused what there is"
            self.now += STEP_S

    def has_room_for(self, asked: Sequence[Asked]) -> bool:
        """Whether budgets and places allow so much, and a minute of which nothing was used."""
        under_way = [each.asked for router in self.routers for each in router.under_way]
        for limit in BUDGETS:
            taken = sum(each.cost for each in (*under_way, *asked) if is_of(limit, each.tenant))
            if self.spent(limit, self.all_entries()) + taken > limit.amount:
                return False
        return len(under_way) + len(asked) <= AT_ONCE.amount and sum(a.tokens for a in asked) <= TOKENS.amount

    def has_room_at_once_for(self, asked: Sequence[Asked]) -> bool:
        """Whether the present minute allows it, too, and nobody has to find out first who is still there."""
        minute = minute_of(self.now)
        under_way = [each for router in self.routers for each in router.under_way]
        return (
            self.now - max(self.died_at, self.came_up_at) > EXPIRES_S
            and minute_of(self.died_at) < minute
            and not (self.on_trust or any(each.on_trust for each in under_way))
            and self.admitted[minute] + len(asked) <= REQUESTS.amount
            and self.tokens[minute] + sum(each.tokens for each in asked) <= TOKENS.amount
        )

    # --- what always holds ----------------------------------------------------------------------------

    @invariant()
    def nothing_is_over_its_limit(self) -> None:
        """Of what was reserved out of credit; what went on without it comes on top."""
        under_way = [each.asked for router in self.routers for each in router.under_way if not each.on_trust]
        entries = [one for one in self.all_entries() if (one.journal, one.number) not in self.on_trust]
        for limit in BUDGETS:
            reserved = sum(asked.cost for asked in under_way if is_of(limit, asked.tenant))
            assert self.spent(limit, entries) + reserved <= limit.amount
        assert len(under_way) <= AT_ONCE.amount

    @invariant()
    def no_minute_has_more_than_allowed(self) -> None:
        minute = minute_of(self.now)
        if minute not in self.unknown:
            assert self.admitted[minute] <= REQUESTS.amount
            assert self.tokens[minute] <= TOKENS.amount

    def spent(self, limit: Limit, entries: Iterable[Entry]) -> int:
        """What was spent of a budget in the present window."""
        window = window_of(limit, self.now)
        return sum(
            entry.cost or 0
            for entry in entries
            if is_of(limit, entry.tenant) and window_of(limit, entry.at) == window
        )

    def teardown(self) -> None:
        """When all is quiet nothing is reserved, and the authority's sum is the entries' sum."""
        for at, router in enumerate(self.routers):
            while router.under_way:
                self.settles(at, 0.5)
        for _ in range(3):
            self.all_report()
            self.now += EXPIRES_S + 61
        for limit in LIMITS:
            limit_status = self.allocator.limit_status(limit.id, self.now)
            assert limit_status is not None
            assert limit_status.on_loan == 0
            assert limit_status.used == (self.spent(limit, self.all_entries()) if limit in BUDGETS else 0)

    def all_entries(self) -> Iterator[Entry]:
        yield from self.stored
        for router in self.routers:
            known = self.counted.get(router.name, 0)
            yield from (entry for entry in router.entries if entry.number > known)


def is_quiet(router: Router) -> bool:
    """Whether there is nothing that the authority must hear of soon."""
    return not router.under_way and len(router.entries) == router.taken


def is_of(limit: Limit, tenant: str) -> bool:
    return limit.scope.tenant in (None, tenant)


def minute_of(now: float) -> int:
    return int(now) // MINUTE_S


def window_of(limit: Limit, at: float) -> object:
    """What distinguishes one window of a limit from the next, by the calendar in UTC."""
    moment = datetime.fromtimestamp(at, UTC)
    match limit.window:
        case Window.MINUTE:
            return minute_of(at)
        case Window.DAY:
            return moment.date()
        case Window.MONTH:
            return moment.year, moment.month
    return None


def entry_of(router: Router, cost: int, tokens: int, tenant: str, now: float) -> Entry:
    number = len(router.entries) + 1
    return Entry(
        router.name, number, "r", 1, now, tenant, "k", "p", "m", "chat_small", "chat", Usage(tokens), cost,
        EntryOutcome.SERVED, 0.1,
    )  # fmt: skip


def spends_of(entries: list[Entry]) -> list[Spend]:
    return [
        Spend(e.at // DAY_S * DAY_S, e.tenant, e.caller, e.provider_id, e.model_id, 1, 0, 0, 0, e.cost or 0)
        for e in entries
    ]


Cluster.TestCase.settings = settings(max_examples=200, stateful_step_count=40, deadline=None)
TestLimitsHold = Cluster.TestCase
