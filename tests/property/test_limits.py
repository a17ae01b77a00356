"""
Limits under everything that can happen to messages and processes.

Routers reserve, settle, fall silent and die; reports get lost on the way there or on the way back, or come
too late; the authority dies and comes back with what the store has.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from serve_app.accounting.entry import Entry, EntryOutcome
from serve_app.accounting.limit import Limit, Scope, Unit, Window
from serve_app.accounting.usage import Usage
from serve_app.control.borrower import Borrower, Hold
from serve_app.control.credit import Holding, Want
from serve_app.control.lender import EXPIRES_S, LEASE_S, Lender
from serve_app.control.store import Spend

START = 1_700_000_000.0
BUDGET = Limit("gateway/total", Unit.NANO_DOLLARS, Window.TOTAL, 300)
MINE = Limit("tenant:a/total", Unit.NANO_DOLLARS, Window.TOTAL, 200, Scope(tenant="a"))
AT_ONCE = Limit("gateway/concurrent", Unit.CONCURRENT, Window.TOTAL, 5)
LIMITS = (BUDGET, MINE, AT_ONCE)
PER_MINUTE = Limit("gateway/requests", Unit.REQUESTS, Window.MINUTE, 20)


@dataclass
class Router:
    """One router, its journal, and what it has on its way."""

    name: str
    borrower: Borrower = field(default_factory=Borrower)
    entries: list[Entry] = field(default_factory=list)
    taken: int = 0
    holds: list[tuple[Hold, int, str]] = field(default_factory=list)
    heard_at: float = START
    alive: bool = True


class Cluster(RuleBasedStateMachine):
    """Never is more spent and reserved than a limit allows, and in the end the sums agree."""

    def __init__(self) -> None:
        super().__init__()
        self.now = START
        self.stored: list[Entry] = []
        self.counted: dict[str, int] = {}
        self.lender = Lender()
        self.lender.set_limits((*LIMITS, PER_MINUTE), self.now)
        self.lender.restore((), self.now, 0.0)
        self.routers = [Router(name) for name in "abc"]
        self.admitted: dict[float, int] = {}

    # --- what routers do ------------------------------------------------------------------------------

    @rule(at=st.integers(0, 2), cost=st.integers(1, 120), tenant=st.sampled_from("ab"), waits=st.booleans())
    def reserves(self, at: int, cost: int, tenant: str, waits: bool) -> None:
        self.tries_to_reserve(at, cost, tenant)
        if waits:
            self.reports(at, arrives=True, comes_back=True)
            self.tries_to_reserve(at, cost, tenant)

    def tries_to_reserve(self, at: int, cost: int, tenant: str) -> None:
        router = self.routers[at]
        needs = [(BUDGET, cost), (AT_ONCE, 1), (PER_MINUTE, 1)]
        if tenant == "a":
            needs.append((MINE, cost))
        if self.now - router.heard_at > LEASE_S:
            router.borrower.lose_free()
        if hold := router.borrower.reserve(needs, self.now):
            router.holds.append((hold, cost, tenant))
            minute = Window.MINUTE.start(self.now)
            self.admitted[minute] = self.admitted.get(minute, 0) + 1
        else:
            router.borrower.ask(needs, self.now)

    @rule(at=st.integers(0, 2), share=st.floats(0, 1))
    def settles(self, at: int, share: float) -> None:
        router = self.routers[at]
        if router.holds:
            hold, reserved, tenant = router.holds.pop(0)
            entry = entry_of(router, int(reserved * share), tenant, self.now)
            router.entries.append(entry)
            router.borrower.settle(hold, entry, self.now)

    @rule(at=st.integers(0, 2), arrives=st.booleans(), comes_back=st.booleans())
    def reports(self, at: int, arrives: bool, comes_back: bool) -> None:
        router = self.routers[at]
        entries = [entry for entry in router.entries if entry.number > router.taken]
        if entries:
            router.borrower.sent(entries[-1].number)
        wants = router.borrower.wants()
        holdings = router.borrower.holdings(self.now)
        if arrives:
            grants = self.hears(router, entries, holdings, wants)
            if comes_back:
                router.taken = self.counted.get(router.name, 0)
                router.heard_at = self.now
                router.borrower.take(grants, wants, self.now)
                recalled = self.lender.recalls(self.now)
                router.borrower.give_back(name for name, by in recalled.items() if by != router.name)

    def hears(
        self, router: Router, entries: list[Entry], holdings: dict[str, Holding], wants: dict[str, Want]
    ) -> dict[str, object]:
        for entry in entries:
            if entry.number > self.counted.get(router.name, 0):
                self.counted[router.name] = entry.number
                self.lender.spend(entry, self.now)
                self.stored.append(entry)
        return self.lender.hear(router.name, holdings, wants, self.now)  # type: ignore[return-value]

    @rule(at=st.integers(0, 2))
    def dies_and_its_journal_is_taken_over(self, at: int) -> None:
        router = self.routers[at]
        for _, reserved, tenant in router.holds:
            router.entries.append(entry_of(router, reserved, tenant, self.now))
        for entry in router.entries:
            if entry.number > self.counted.get(router.name, 0):
                self.counted[router.name] = entry.number
                self.lender.spend(entry, self.now)
                self.stored.append(entry)
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
            for at, router in enumerate(self.routers):
                if router.holds or len(router.entries) > router.taken:
                    self.reports(at, arrives=True, comes_back=True)

    @rule()
    @precondition(lambda self: len(self.stored) < 60)
    def the_authority_dies_and_comes_back(self) -> None:
        """Everything it took in is in the store; routers that are well say what they hold within a lease."""
        self.lender = Lender()
        self.lender.set_limits((*LIMITS, PER_MINUTE), self.now)
        self.lender.restore(spends_of(self.stored), self.now, LEASE_S)
        for router in self.routers:
            self.reports(self.routers.index(router), arrives=True, comes_back=True)

    # --- what always holds ----------------------------------------------------------------------------

    @invariant()
    def nothing_is_over_its_limit(self) -> None:
        for limit in LIMITS[:2]:
            spent = sum(entry.cost or 0 for entry in self.all_entries() if covered(limit, entry))
            reserved = sum(
                cost
                for router in self.routers
                for _, cost, tenant in router.holds
                if limit.scope.tenant in (None, tenant)
            )
            assert spent + reserved <= limit.amount
        assert sum(len(router.holds) for router in self.routers) <= AT_ONCE.amount

    @invariant()
    def no_minute_has_more_requests_than_allowed(self) -> None:
        assert all(count <= PER_MINUTE.amount for count in self.admitted.values())

    def teardown(self) -> None:
        """When all is quiet nothing is reserved, and the authority's sum is the entries' sum."""
        for at, router in enumerate(self.routers):
            while router.holds:
                self.settles(at, 0.5)
        for _ in range(2):
            for at in range(3):
                self.reports(at, arrives=True, comes_back=True)
            self.now += EXPIRES_S + 61
        for at in range(3):
            self.reports(at, arrives=True, comes_back=True)
        for limit in LIMITS:
            standing = self.lender.standing(limit.id, self.now)
            assert standing is not None
            assert standing.on_loan == 0
            spent = sum(entry.cost or 0 for entry in self.all_entries() if covered(limit, entry))
            assert standing.used == (spent if limit.unit is Unit.NANO_DOLLARS else 0)

    def all_entries(self) -> Iterator[Entry]:
        yield from self.stored
        for router in self.routers:
            known = self.counted.get(router.name, 0)
            yield from (entry for entry in router.entries if entry.number > known)


def covered(limit: Limit, entry: Entry) -> bool:
    return limit.scope.covers(entry.tenant, entry.caller, entry.provider_id, entry.model_id)


def entry_of(router: Router, cost: int, tenant: str, now: float) -> Entry:
    number = len(router.entries) + 1
    return Entry(
        router.name, number, "r", 1, now, tenant, "k", "p", "m", "chat_small", "chat", Usage(), cost,
        EntryOutcome.SERVED, 0.1,
    )  # fmt: skip


def spends_of(entries: list[Entry]) -> list[Spend]:
    return [
        Spend(Window.DAY.start(e.at), e.tenant, e.caller, e.provider_id, e.model_id, 1, 0, 0, 0, e.cost or 0)
        for e in entries
    ]


Cluster.TestCase.settings = settings(max_examples=300, stateful_step_count=40, deadline=None)
TestLimitsHold = Cluster.TestCase
