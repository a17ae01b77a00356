"""
The control plane's side of limits: what is used, what is leased, and to which router.

Pure: time is an argument. For every limit, at all times,

    used + leased <= amount

so a limit is exact however many routers there are. What a router settles moves from "leased" to "used" in one
step: the report that brings the ledger entries also states the leases that the router still holds.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from math import inf

from serve_app.ledger.entry import Entry
from serve_app.ledger.store import Spend
from serve_app.limits.limit import Limit, Scope, Unit, Window
from serve_app.limits.messages import FOR_EVER, Grant, Lease, Want, lending_window

LEASE_S = 5.0  # a router may use its leases for this long after its last contact
EXPIRES_S = 8.0  # the control plane takes leases back later, because clocks and messages may be late
SCARCE_S = 3.0  # after a recall, grants cover only the need for this long
CLAIM_S = 0.5  # recalled quota is kept this long for the router that needed it
ALERT_AT = (75, 90, 100)  # percent of a budget

Payer = tuple[str, str, str, str]  # tenant, caller, provider, model
Spent = dict[float, dict[tuple[str, str], int]]  # by day, and by provider and model

NOBODYS: Mapping[str, Lease] = {}


@dataclass(frozen=True, slots=True)
class BudgetAlert:
    """Spending has reached `threshold` percent of a budget for the first time in its window; nano-dollars."""

    limit: Limit
    threshold: int
    used: int
    window: float


@dataclass(frozen=True, slots=True)
class LimitStatus:
    """The status of a limit at one moment, in its unit; `window` is when the current window began."""

    limit: Limit
    used: int
    on_loan: int
    window: float

    @property
    def left(self) -> int:
        """Return how much can still be leased."""
        return max(0, self.limit.amount - self.used - self.on_loan)


@dataclass(frozen=True, slots=True)
class _Claim:
    """Quota that was recalled from other routers for this one."""

    router_id: str
    need: int
    until: float


@dataclass(slots=True)
class _Account:
    """The money spent of one limit in one window, the window's end, and the thresholds already alerted."""

    window: float
    ends: float
    used: int
    alerted: set[int] = field(default_factory=set)


class LeaseAllocator:
    """
    Leases quota to routers, recalls it, and counts what was spent.

    `on_alert` is called when a budget passes 75, 90 and 100 percent, once each per window.
    """

    def __init__(self, on_alert: Callable[[BudgetAlert], None] = lambda _: None) -> None:
        self._on_alert = on_alert
        self._limits: dict[str, Limit] = {}
        self._knows_limits = False
        self._budgets: dict[tuple[str | None, str | None], list[Limit]] = {}
        self._leases: dict[str, Mapping[str, Lease]] = {}
        self._heard_at: dict[str, float] = {}
        self._sums: dict[str, dict[str, Spent]] = {}  # by tenant and caller: most limits are of one
        self._accounts: dict[str, _Account] = {}
        self._paid_by: dict[Payer, tuple[Limit, ...]] = {}  # of payers with entries since the limits were set
        self._scarce_until: dict[str, float] = {}
        self._is_back = False
        self._lends_from = 0.0
        self._claims: dict[str, _Claim] = {}

    # --- limits and spending --------------------------------------------------------------------------

    def set_limits(self, limits: Iterable[Limit], now: float) -> None:
        """Replace the limits; past spending counts, also for limits that are new."""
        self._knows_limits = True
        before, was_back = self._limits, self._is_back
        self._is_back = False
        self._limits = {limit.id: limit for limit in limits}
        for name, limit in self._limits.items():
            old = before.get(name)
            if old is None or (old.scope, old.window, old.unit) != (limit.scope, limit.window, limit.unit):
                self._accounts.pop(name, None)
            elif old.amount != limit.amount and (account := self._accounts.get(name)):
                account.alerted &= _passed(account.used, limit)
        for name in before.keys() - self._limits.keys():
            self._accounts.pop(name, None)
        self._budgets, self._paid_by = {}, {}
        for limit in self._limits.values():
            if limit.unit is Unit.NANO_DOLLARS:
                owner = (limit.scope.tenant, limit.scope.caller)
                self._budgets.setdefault(owner, []).append(limit)
                account = self._account(limit, now)
                if was_back:
                    account.alerted |= _passed(account.used, limit)
                self._tell(limit, account)

    def restore(self, spends: Iterable[Spend], now: float, silence_s: float) -> None:
        """
        Start from the spending that the store has recorded.

        Learning mode lasts for `silence_s`: nothing is leased until routers have reported the leases that
        they hold from an earlier control plane. Thresholds that are already passed raise no alert, also of
        limits that are set after this.
        """
        self._sums = {}
        for spend in spends:
            self._add(spend.day, spend, spend.cost)
        self._accounts = {}
        self._is_back = not self._limits
        self._lends_from = now + silence_s
        for limit in self._limits.values():
            if limit.unit is Unit.NANO_DOLLARS:
                account = self._account(limit, now)
                account.alerted = _passed(account.used, limit)

    def lend_from(self, at: float) -> None:
        """Grant no leases before this moment."""
        self._lends_from = at

    def remember(self, used: Mapping[str, tuple[float, int]], now: float) -> None:
        """
        Accept the usage that a router remembers: by limit, the start of the window and the amount.

        For a control plane that cannot read its store: better than to start at zero.
        """
        for name, (window, amount) in used.items():
            limit = self._limits.get(name)
            if limit is not None and limit.unit is Unit.NANO_DOLLARS:
                account = self._account(limit, now)
                if account.window == window:
                    account.used = max(account.used, amount)

    def spend(self, entry: Entry, now: float) -> None:
        """Count the cost of an attempt."""
        if not entry.cost:
            return
        payer = (entry.tenant, entry.caller, entry.provider_id, entry.model_id)
        limits = self._paid_by.get(payer)
        if limits is None:
            limits = self._paid_by[payer] = tuple(self._budgets_of(payer))
        for limit in limits:
            account = self._account(limit, now)
            if entry.at >= account.window:
                account.used += entry.cost
                if entry.cost < 0:
                    account.alerted &= _passed(account.used, limit)
                self._tell(limit, account)
        self._add(Window.DAY.start(entry.at), entry, entry.cost)

    # --- leases ---------------------------------------------------------------------------------------

    def hear(
        self, router_id: str, leases: Mapping[str, Lease], wants: Mapping[str, Want], now: float
    ) -> dict[str, Grant]:
        """Record the leases that a router holds, and return the grants for what it wants."""
        self._expire(now)
        self._leases[router_id] = leases
        self._heard_at[router_id] = now
        grants = {name: self._grant(router_id, name, want, now) for name, want in wants.items()}
        granted = {name: grant for name, grant in grants.items() if grant.amount}
        if granted:
            self._leases[router_id] = {
                **leases,
                **{name: _with(leases.get(name), grant) for name, grant in granted.items()},
            }
        return grants

    def recalls(self, now: float) -> dict[str, str]:
        """Return the limits whose unused leases are recalled, with the router that waits for each."""
        for name in [name for name, claim in self._claims.items() if claim.until <= now]:
            del self._claims[name]
        return {name: claim.router_id for name, claim in self._claims.items()}

    def limit_status(self, name: str, now: float) -> LimitStatus | None:
        """Return the status of a limit; None: there is no limit of this name."""
        limit = self._limits.get(name)
        if limit is None:
            return None
        on_loan = sum(self._drawn(limit, leases, now) for leases in self._leases.values())
        used = self._account(limit, now).used if limit.unit is Unit.NANO_DOLLARS else 0
        return LimitStatus(limit, used, on_loan, limit.window.start(now))

    def limit_statuses(self, now: float) -> list[LimitStatus]:
        """Return the status of all limits."""
        self._expire(now)
        found = (self.limit_status(name, now) for name in self._limits)
        return [limit_status for limit_status in found if limit_status is not None]

    def forget(self, router_id: str) -> None:
        """Drop the leases of a router that has stopped and reported that it holds none."""
        self._leases.pop(router_id, None)
        self._heard_at.pop(router_id, None)

    def _grant(self, router_id: str, name: str, want: Want, now: float) -> Grant:
        limit_status = self.limit_status(name, now)
        if limit_status is None:  # a removed limit limits nothing; before the first limits nothing is known
            return Grant(want.upto, 0, FOR_EVER) if self._knows_limits else Grant(0, 0, later=True)
        limit, window = limit_status.limit, lending_window(limit_status.limit, now)
        used = limit_status.used if limit.unit is Unit.NANO_DOLLARS else limit_status.on_loan
        if now < self._lends_from:
            return Grant(0, used, window, later=True)
        scarce = self._scarce_until.get(name, 0.0) > now
        claim = self._claims.get(name)
        if claim is not None and (claim.until <= now or claim.router_id == router_id):
            claim = None
        remaining = limit_status.left - (claim.need if claim else 0)
        if not want.need:
            ahead = 0 if scarce else min(want.upto, remaining // (2 * len(self._leases)))
            return Grant(max(0, ahead), used, window)
        if remaining >= want.need:
            self._claims = {n: c for n, c in self._claims.items() if n != name or c is claim}
            share = remaining // (2 * len(self._leases))
            amount = want.need if scarce else max(want.need, min(want.upto, share))
            return Grant(amount, used, window)
        idle = sum(
            leases[name].free
            for other, leases in self._leases.items()
            if other != router_id and name in leases and self._drawn(limit, leases, now)
        )
        if limit_status.left + idle < want.need:
            return Grant(0, used, window)
        self._scarce_until[name] = now + SCARCE_S
        if claim is None:
            self._claims[name] = _Claim(router_id, want.need, now + CLAIM_S)
        return Grant(0, used, window, later=True)

    def _drawn(self, limit: Limit, leases: Mapping[str, Lease], now: float) -> int:
        """Return how much of the limit these leases take; a lease of a rate ends with its minute."""
        held = leases.get(limit.id)
        if held is None or held.window != lending_window(limit, now):
            return 0
        return max(0, held.drawn)

    def _expire(self, now: float) -> None:
        """
        Take back the leases of routers that have been silent for too long.

        What such a router may have used within this minute stays used.
        """
        for router_id in [r for r, at in self._heard_at.items() if now - at > EXPIRES_S]:
            minute = Window.MINUTE.start(now)
            kept = {name: h for name, h in self._leases[router_id].items() if h.window == minute}
            if kept:
                self._leases[router_id] = {
                    name: Lease(held.drawn, 0, held.window) for name, held in kept.items()
                }
            else:
                self.forget(router_id)

    # --- counting -------------------------------------------------------------------------------------

    def _account(self, limit: Limit, now: float) -> _Account:
        """Return the account of the current window; a new one is summed up first."""
        account = self._accounts.get(limit.id)
        if account is None or not account.window <= now < account.ends:
            window, ends = limit.window.start(now), limit.window.end(now) or inf
            account = self._accounts[limit.id] = _Account(window, ends, self._sum(limit.scope, window))
        return account

    def _budgets_of(self, payer: Payer) -> Iterator[Limit]:
        """Yield the budgets that count what this payer spends, without a look at the budgets of others."""
        tenant, caller, *_ = payer
        for owner in ((None, None), (None, caller), (tenant, None), (tenant, caller)):
            for limit in self._budgets.get(owner, ()):
                if limit.scope.covers(*payer):
                    yield limit

    def _sum(self, scope: Scope, since: float) -> int:
        return sum(
            cost
            for tenant, caller, days in self._sums_within(scope)
            for day, costs in days.items()
            if day >= since
            for target, cost in costs.items()
            if scope.covers(tenant, caller, *target)
        )

    def _sums_within(self, scope: Scope) -> Iterator[tuple[str, str, Spent]]:
        """Yield the sums of the callers that may be in this scope, without a look at the others."""
        for tenant in self._sums if scope.tenant is None else (scope.tenant,):
            callers = self._sums.get(tenant, {})
            for caller in callers if scope.caller is None else (scope.caller,):
                yield tenant, caller, callers.get(caller, {})

    def _add(self, day: float, of: Entry | Spend, cost: int) -> None:
        costs = self._sums.setdefault(of.tenant, {}).setdefault(of.caller, {}).setdefault(day, {})
        target = (of.provider_id, of.model_id)
        costs[target] = costs.get(target, 0) + cost

    def _tell(self, limit: Limit, account: _Account) -> None:
        if 100 * account.used < ALERT_AT[0] * limit.amount:
            return  # the usual case
        for threshold in sorted(_passed(account.used, limit) - account.alerted):
            account.alerted.add(threshold)
            self._on_alert(BudgetAlert(limit, threshold, account.used, account.window))


def _with(held: Lease | None, grant: Grant) -> Lease:
    """Return the lease including the grant; a lease of an earlier window has ended."""
    if held is None or held.window != grant.window:
        return Lease(grant.amount, grant.amount, grant.window)
    return Lease(held.drawn + grant.amount, held.free + grant.amount, grant.window)


def _passed(used: int, limit: Limit) -> set[int]:
    """Return the thresholds that this amount has reached, exactly."""
    return {threshold for threshold in ALERT_AT if 100 * used >= threshold * limit.amount}
