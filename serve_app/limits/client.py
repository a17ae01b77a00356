"""
A router's side of limits: its leases, and how much of them is reserved.

Pure, and never waits: a request that lacks quota calls `ask` and tries again after the control plane's
answer. Each report states all leases in full (`limits/messages.py`).

The file is long because all of this is one state: leases, reservations and what was reported change
together, and nothing else may change one of them alone.
"""

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from math import inf

from serve_app.ledger.entry import Entry
from serve_app.limits.limit import MINUTE_S, Limit, Unit, Window
from serve_app.limits.messages import FOR_EVER, Grant, Lease, Want, lending_window

IDLE_S = 2.0  # a lease that is unused for this long is given back
REFUSED_S = 0.25  # a refusal holds for this long
AHEAD = 64  # quota is requested for this many requests at once
AHEAD_S = 20.0  # or for this many seconds, if that is more: a control plane that dies is back before that
LOW_S = 12.0  # seconds that the leased quota should last
CONTENT_S = 0.05  # the least time between two requests for quota ahead of need
KNOWN_S = 1.0  # the control plane's figure of the usage is trusted for this long
LOW = 8  # with less quota than for this many requests, more is requested ahead of need

Need = tuple[Limit, int]


@dataclass(frozen=True, slots=True)
class Shortfall:
    """A limit that refuses an amount, in its unit; `used` is the control plane's figure."""

    limit: Limit
    need: int
    used: int


@dataclass(slots=True)
class _Account:
    """
    The quota that this router holds of one limit.

    Attributes:
        free: can be reserved.
        reserved: belongs to requests in flight.
        used: counts within the minute.
        unsent: settled money that no report contains yet.
        content_until: nothing is requested ahead of need before this moment.
        taken: reserved since `since`.
        per_s: reserved per second.
        low: lasts for LOW_S seconds.
    """

    limit: Limit
    window: float
    ends: float
    touched: float
    since: float
    free: int = 0
    reserved: int = 0
    used: int = 0
    unsent: int = 0
    content_until: float = -inf
    taken: int = 0
    per_s: float = 0.0
    low: int = 0

    def measure(self, now: float) -> None:
        """Update the rate at which quota is reserved; concurrency slots are free again soon."""
        if now - self.since >= 1.0:
            is_place = self.limit.unit is Unit.CONCURRENT
            self.per_s = 0.0 if is_place else self.taken / (now - self.since)
            self.taken, self.since = 0, now
            self.low = int(LOW_S * self.per_s)


@dataclass(slots=True)
class Reservation:
    """
    The amounts that one request, or one attempt, has reserved until it is settled.

    Attributes:
        parts: accounts, amounts and windows.
        on_trust: reserved without a lease while the control plane was unreachable; nothing is given back.
        leaves_little: little quota was left, so more was requested.
    """

    parts: tuple[tuple[_Account, int, float], ...]
    is_open: bool = True
    on_trust: bool = False
    leaves_little: bool = False


@dataclass(slots=True)
class _Asked:
    least: int
    upto: int


@dataclass(frozen=True, slots=True)
class _Refusal:
    need: int
    until: float
    used: int


@dataclass(slots=True)
class _Usage:
    """
    The usage of a limit as the control plane reported it, plus what was settled here since.

    Attributes:
        at: when it was reported.
        until: when the window ends.
    """

    used: int
    at: float
    until: float


@dataclass(slots=True)
class LeaseClient:
    """The leases of one router."""

    _accounts: dict[str, _Account] = field(default_factory=dict)
    _asked: dict[str, _Asked] = field(default_factory=dict)
    _refusals: dict[str, _Refusal] = field(default_factory=dict)
    _known_usage: dict[str, _Usage] = field(default_factory=dict)
    _unsent: deque[tuple[int, int, list[_Account]]] = field(default_factory=deque)
    used: dict[str, tuple[float, int]] = field(default_factory=dict)  # as last heard, with its window

    # --- for requests ---------------------------------------------------------------------------------

    def reserve(self, needs: Sequence[Need], now: float) -> Reservation | None:
        """
        Reserve all of it, or nothing; None: some quota is missing.

        If little is left, the next report asks for more, so that no request has to wait.
        """
        parts = self._parts(needs, now)
        for account, amount, _ in parts:
            if amount > account.free:
                return None
        leaves_little = False
        for account, amount, _ in parts:
            free = account.free = account.free - amount
            account.reserved += amount
            account.taken += amount
            account.touched = now
            is_plenty = free >= LOW * amount and free >= account.low  # the usual case
            if not (is_plenty and now - account.since < 1.0) and self._asks_ahead(account, amount, now):
                leaves_little = True
        return Reservation(parts, leaves_little=leaves_little)

    def trust(self, needs: Sequence[Need], now: float) -> Reservation | None:
        """
        Reserve without a lease, within the last known remaining amount; None: that is too little.

        For requests that continue while the control plane is unreachable. Other routers may do the same.
        """
        parts = self._parts(needs, now)
        for (limit, _), (account, amount, _) in zip(needs, parts, strict=True):
            usage = self._known_usage.get(limit.id)
            used = account.unsent if usage is None or now >= usage.until else usage.used
            if used + account.reserved + account.used + amount > limit.amount:
                return None
        for account, amount, _ in parts:
            account.reserved += amount
            account.touched = now
        return Reservation(parts, on_trust=True)

    def shortfall(self, needs: Sequence[Need], now: float) -> Shortfall | None:
        """Return the first limit that the control plane has just refused for lack of quota; None: none."""
        for limit, amount in needs:
            refusal = self._refusals.get(limit.id)
            if refusal is None:
                continue
            if refusal.until <= now:
                del self._refusals[limit.id]
                continue
            free = self._account(limit, now).free
            if amount - free >= refusal.need:
                # The reported usage of a rate includes what this router holds and has not used.
                unused = 0 if limit.unit is Unit.NANO_DOLLARS else free
                return Shortfall(limit, amount, refusal.used - unused)
        return None

    def foreseen(self, limit: Limit, amount: int, now: float) -> Shortfall | None:
        """
        Return the refusal that this amount of a budget is known to get; None: the control plane must decide.

        Spent money stays spent, so an amount above the remainder needs no question; but only for KNOWN_S,
        because the window may end.
        """
        if short := self.shortfall(((limit, amount),), now):
            return short
        usage = self._known_usage.get(limit.id)
        if usage is None or now - usage.at > KNOWN_S or amount <= limit.amount - usage.used:
            return None
        return Shortfall(limit, amount, usage.used)

    def left(self, limit: Limit, now: float) -> int:
        """Return how much of a budget is left, by the last report of this window."""
        usage = self._known_usage.get(limit.id)
        if usage is None or now >= usage.until:
            return limit.amount
        return max(0, limit.amount - usage.used)

    def ask(self, needs: Sequence[Need], now: float) -> None:
        """Ask, with the next report, for the missing quota and for some requests to come."""
        for limit, amount in needs:
            account = self._account(limit, now)
            account.touched = now
            missing = amount - account.free
            if missing > 0:
                self._ask(limit, missing, missing + AHEAD * amount)

    def settle(self, reservation: Reservation, entry: Entry | None, now: float) -> None:
        """
        Settle a reservation, once: the entry's usage stays used, and the rest is free again.

        Without an entry nothing was used; a counted request stays counted.
        """
        if not reservation.is_open:
            return
        reservation.is_open = False
        cost = (entry.cost or 0) if entry else 0
        owing = []
        for account, amount, window in reservation.parts:
            if not account.window <= now < account.ends:
                self._turn(account, now)
            if account.window != window:
                continue  # the reservation's minute is over
            unit = account.limit.unit
            account.reserved -= amount
            leased = 0 if reservation.on_trust else amount
            account.touched = now
            if unit is Unit.NANO_DOLLARS:
                account.free = max(0, account.free + leased - cost)
                if cost:
                    account.unsent += cost
                    owing.append(account)
            elif unit is Unit.TOKENS:
                tokens = entry.usage.total_tokens if entry else 0
                account.used += tokens
                account.free = max(0, account.free + leased - tokens)
            elif unit is Unit.REQUESTS:
                account.used += amount
            else:
                account.free += leased
            if self._refusals and account.free > 0:
                self._refusals.pop(account.limit.id, None)
        if entry and owing:
            self._owe(entry.number, cost, owing)

    def cancel(self, reservation: Reservation, now: float) -> None:
        """Cancel a reservation whose request was not sent, once: all of it is free again, also the count."""
        if not reservation.is_open:
            return
        reservation.is_open = False
        for account, amount, window in reservation.parts:
            self._turn(account, now)
            if account.window == window:
                account.reserved -= amount
                account.free += 0 if reservation.on_trust else amount

    # --- reports and answers --------------------------------------------------------------------------

    def wants(self) -> dict[str, Want]:
        """Return the quota to ask for, and forget it."""
        asked, self._asked = self._asked, {}
        return {name: Want(each.least, each.upto) for name, each in asked.items()}

    def sent(self, number: int) -> None:
        """Mark the entries up to this number as reported; from now on they count as used."""
        while self._unsent and self._unsent[0][0] <= number:
            _, cost, owing = self._unsent.popleft()
            for account in owing:
                account.unsent -= cost

    def leases(self, now: float) -> dict[str, Lease]:
        """Return all leases that this router holds; an idle lease is given back by leaving it out."""
        for name, account in list(self._accounts.items()):
            self._turn(account, now)
            if now - account.touched <= IDLE_S:
                continue
            self._drop_free(account)
            if not (account.free or account.reserved or account.used or account.unsent):
                del self._accounts[name]
        return {
            name: Lease(
                account.free + account.reserved + account.used + account.unsent,
                max(0, account.free),
                account.window,
            )
            for name, account in self._accounts.items()
        }

    def take(self, grants: Mapping[str, Grant], wants: Mapping[str, Want], now: float) -> None:
        """Add the grants; a refusal holds for REFUSED_S without another question."""
        for name, grant in grants.items():
            account = self._accounts.get(name)
            if account is None:
                continue  # no request needed any since, and the next report says that this router holds none
            self._turn(account, now)
            account.touched = now
            self.used[name] = (account.limit.window.start(now), grant.used)
            self._known_usage[name] = _Usage(grant.used, now, account.limit.window.end(now) or inf)
            if grant.amount < wants[name].upto:
                account.content_until = now + 20 * CONTENT_S  # the limit is scarce
            if not grant.amount and not grant.later:
                if not wants[name].need:
                    continue
                self._refusals[name] = _Refusal(wants[name].need, now + REFUSED_S, grant.used)
            elif grant.window in (account.window, FOR_EVER):
                account.free += grant.amount
                self._refusals.pop(name, None)

    def give_back(self, names: Iterable[str]) -> bool:
        """Give back unused quota that other routers wait for; return whether there was any."""
        any_free = False
        for name in names:
            account = self._accounts.get(name)
            if account is not None and account.free > 0:
                self._drop_free(account)
                any_free = True
        return any_free

    def lose_free(self) -> None:
        """Drop unused quota: after a long silence the control plane may have leased it to other routers."""
        for account in self._accounts.values():
            self._drop_free(account)

    def _drop_free(self, account: _Account) -> None:
        """
        Drop unused quota, and with it the refusal of more.

        A refusal says that the cluster has not as much on top of what this router held. Whatever it no longer
        holds is there for everyone, and may be enough.
        """
        if account.free > 0:
            account.free = 0
            self._refusals.pop(account.limit.id, None)

    def forgive(self) -> None:
        """Forget refusals, because limits have changed."""
        self._refusals.clear()
        self._known_usage.clear()

    @property
    def holds_any(self) -> bool:
        """Return whether this router holds any quota, so that it must keep reporting."""
        return bool(self._accounts)

    def _owe(self, number: int, cost: int, accounts: list[_Account]) -> None:
        """Add the cost of an entry to these accounts until a report contains the entry."""
        self._unsent.append((number, cost, accounts))
        for account in accounts:
            if usage := self._known_usage.get(account.limit.id):
                usage.used += cost

    def _asks_ahead(self, account: _Account, amount: int, now: float) -> bool:
        """Ask for quota ahead of need if little is left; return whether it did."""
        if account.content_until > now:
            return False
        account.measure(now)
        if account.free >= LOW * amount and account.free >= account.low:
            return False
        account.content_until = now + CONTENT_S
        self._ask(account.limit, 0, max(AHEAD * amount, int(AHEAD_S * account.per_s)))
        return True

    def _ask(self, limit: Limit, least: int, upto: int) -> None:
        asked = self._asked.get(limit.id)
        if asked is None:
            self._asked[limit.id] = _Asked(least, upto)
        else:
            asked.least = min(asked.least, least) if asked.least and least else asked.least or least
            asked.upto += least

    def _parts(self, needs: Sequence[Need], now: float) -> tuple[tuple[_Account, int, float], ...]:
        parts = []
        for limit, amount in needs:
            account = self._accounts.get(limit.id)
            if account is None or not account.window <= now < account.ends:
                account = self._account(limit, now)
            parts.append((account, amount, account.window))
        return tuple(parts)

    def _account(self, limit: Limit, now: float) -> _Account:
        account = self._accounts.get(limit.id)
        if account is None:
            window = lending_window(limit, now)
            ends = inf if limit.window is not Window.MINUTE else window + MINUTE_S
            account = self._accounts[limit.id] = _Account(limit, window, ends, touched=now, since=now)
        else:
            self._turn(account, now)
        return account

    def _turn(self, account: _Account, now: float) -> None:
        """Reset a rate's account in a new minute; budgets go on, the control plane knows their window."""
        if account.window <= now < account.ends:
            return
        window = lending_window(account.limit, now)
        if window != account.window:
            account.window, account.free, account.reserved, account.used = window, 0, 0, 0
            account.ends = window + MINUTE_S
