"""
A router's side of limits: credit on loan, and what of it is reserved.

Pure, and without waiting: who lacks credit says so with `ask`, and tries again when the authority has
answered. The authority is told the whole of what is held each time (`limits/messages.py`).
"""

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from math import inf

from serve_app.ledger.entry import Entry
from serve_app.limits.limit import MINUTE_S, Limit, Unit, Window
from serve_app.limits.messages import FOR_EVER, Grant, Lease, Want, lending_window

IDLE_S = 2.0  # credit nobody has used for so long goes back
REFUSED_S = 0.25  # a refusal is not asked for again for so long
AHEAD = 64  # requests whose credit is asked for at once
AHEAD_S = 20.0  # or what so many seconds need, where that is more: an authority that dies is back before that
LOW_S = 12.0  # seconds for which there has to be credit
CONTENT_S = 0.05  # credit ahead of need is not asked for more often
KNOWN_S = 1.0  # what the authority said was used is gone by for so long; then somebody has to ask again
LOW = 8  # requests' worth of credit at which more is asked for ahead of need

Need = tuple[Limit, int]


@dataclass(frozen=True, slots=True)
class Shortfall:
    """A limit that does not allow what was asked, in its unit; `used` is as the authority knows it."""

    limit: Limit
    need: int
    used: int


@dataclass(slots=True)
class _Account:
    """
    What is held of one limit.

    `free` can be reserved, `reserved` is under way, `used` counts within the minute, `unsent` is settled
    money that no report has told of yet; until `content_until` nothing is asked for ahead of need. `taken` is
    what was reserved from `since` on, `per_s` what that was in a second, `low` what lasts for LOW_S seconds.
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
        """How much is reserved in a second, as of the last ones; places are free again soon."""
        if now - self.since >= 1.0:
            is_place = self.limit.unit is Unit.CONCURRENT
            self.per_s = 0.0 if is_place else self.taken / (now - self.since)
            self.taken, self.since = 0, now
            self.low = int(LOW_S * self.per_s)


@dataclass(slots=True)
class Reservation:
    """
    What one request, or one attempt, has reserved of which accounts in which windows, until it is settled.

    `on_trust`: without credit, while the authority could not be asked; what is not used of it is nobody's.
    `leaves_little`: of the credit that there was, so that more was asked for.
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
class _Told:
    """
    What the authority has said was used of a limit, at a moment of a window that lasts until another.

    What was settled here since is added.
    """

    used: int
    at: float
    until: float


@dataclass(slots=True)
class LeaseClient:
    """The credit of one router."""

    _accounts: dict[str, _Account] = field(default_factory=dict)
    _asked: dict[str, _Asked] = field(default_factory=dict)
    _refusals: dict[str, _Refusal] = field(default_factory=dict)
    _told: dict[str, _Told] = field(default_factory=dict)
    _unsent: deque[tuple[int, int, list[_Account]]] = field(default_factory=deque)
    used: dict[str, tuple[float, int]] = field(default_factory=dict)  # as last heard, with its window

    # --- what a request does --------------------------------------------------------------------------

    def reserve(self, needs: Sequence[Need], now: float) -> Reservation | None:
        """
        Reserve all of it, or nothing: None when some credit is missing.

        Where that leaves little, more is asked for with the next report, so that no request has to wait.
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
            is_plenty = free >= LOW * amount and free >= account.low  # nearly always
            if not (is_plenty and now - account.since < 1.0) and self._asks_ahead(account, amount, now):
                leaves_little = True
        return Reservation(parts, leaves_little=leaves_little)

    def trust(self, needs: Sequence[Need], now: float) -> Reservation | None:
        """
        Reserve without credit, within what was last known to be left: None where that has no room for it.

        For when the authority cannot be asked and requests go on all the same. Other routers may do so too.
        """
        parts = self._parts(needs, now)
        for (limit, _), (account, amount, _) in zip(needs, parts, strict=True):
            told = self._told.get(limit.id)
            used = account.unsent if told is None or now >= told.until else told.used
            if used + account.reserved + account.used + amount > limit.amount:
                return None
        for account, amount, _ in parts:
            account.reserved += amount
            account.touched = now
        return Reservation(parts, on_trust=True)

    def shortfall(self, needs: Sequence[Need], now: float) -> Shortfall | None:
        """The first limit of which the authority has said, just now, that there is not as much left."""
        for limit, amount in needs:
            refusal = self._refusals.get(limit.id)
            if refusal is None:
                continue
            if refusal.until <= now:
                del self._refusals[limit.id]
                continue
            free = self._account(limit, now).free
            if amount - free >= refusal.need:
                # Of a rate, what we hold and have not used was told as used, too.
                unused = 0 if limit.unit is Unit.NANO_DOLLARS else free
                return Shortfall(limit, amount, refusal.used - unused)
        return None

    def foreseen(self, limit: Limit, amount: int, now: float) -> Shortfall | None:
        """
        What will be said to so much of a budget, as far as it is known without asking.

        What is spent stays spent, so that an amount above the rest need not be asked for; but not for long,
        as the window may end.
        """
        if short := self.shortfall(((limit, amount),), now):
            return short
        told = self._told.get(limit.id)
        if told is None or now - told.at > KNOWN_S or amount <= limit.amount - told.used:
            return None
        return Shortfall(limit, amount, told.used)

    def left(self, limit: Limit, now: float) -> int:
        """How much of a budget is left, for all that has been said of it in this window."""
        told = self._told.get(limit.id)
        if told is None or now >= told.until:
            return limit.amount
        return max(0, limit.amount - told.used)

    def ask(self, needs: Sequence[Need], now: float) -> None:
        """Ask, with the next report, for what is missing, and for some requests to come."""
        for limit, amount in needs:
            account = self._account(limit, now)
            account.touched = now
            missing = amount - account.free
            if missing > 0:
                self._ask(limit, missing, missing + AHEAD * amount)

    def settle(self, reservation: Reservation, entry: Entry | None, now: float) -> None:
        """
        End a hold, once: what the entry says was used stays used, the rest is credit again.

        Without an entry nothing was used; a request that was counted stays counted.
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
                continue  # of a minute that is over
            unit = account.limit.unit
            account.reserved -= amount
            lent = 0 if reservation.on_trust else amount
            account.touched = now
            if unit is Unit.NANO_DOLLARS:
                account.free = max(0, account.free + lent - cost)
                if cost:
                    account.unsent += cost
                    owing.append(account)
            elif unit is Unit.TOKENS:
                tokens = entry.usage.total_tokens if entry else 0
                account.used += tokens
                account.free = max(0, account.free + lent - tokens)
            elif unit is Unit.REQUESTS:
                account.used += amount
            else:
                account.free += lent
            if self._refusals and account.free > 0:
                self._refusals.pop(account.limit.id, None)
        if entry and owing:
            self._owe(entry.number, cost, owing)

    def cancel(self, reservation: Reservation, now: float) -> None:
        """End a hold of which nothing was sent, once: all of it is credit again, requests as well."""
        if not reservation.is_open:
            return
        reservation.is_open = False
        for account, amount, window in reservation.parts:
            self._turn(account, now)
            if account.window == window:
                account.reserved -= amount
                account.free += 0 if reservation.on_trust else amount

    # --- what the authority hears, and says -----------------------------------------------------------

    def wants(self) -> dict[str, Want]:
        """What is asked for, at most once."""
        asked, self._asked = self._asked, {}
        return {name: Want(each.least, each.upto) for name, each in asked.items()}

    def sent(self, number: int) -> None:
        """A report tells of all entries up to this number: from now on they count as used."""
        while self._unsent and self._unsent[0][0] <= number:
            _, cost, owing = self._unsent.popleft()
            for account in owing:
                account.unsent -= cost

    def leases(self, now: float) -> dict[str, Lease]:
        """The whole of what is held at this moment; idle credit is given back by not naming it."""
        for name, account in list(self._accounts.items()):
            self._turn(account, now)
            if now - account.touched <= IDLE_S:
                continue
            account.free = min(account.free, 0)
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
        """Add what was granted; where there is not as much left, nobody has to ask again for a moment."""
        for name, grant in grants.items():
            account = self._accounts.get(name)
            if account is None:
                continue  # nobody has wanted any since, and the next report says that we have none
            self._turn(account, now)
            account.touched = now
            self.used[name] = (account.limit.window.start(now), grant.used)
            self._told[name] = _Told(grant.used, now, account.limit.window.end(now) or inf)
            if grant.amount < wants[name].upto:
                account.content_until = now + 20 * CONTENT_S  # there is no plenty
            if not grant.amount and not grant.later:
                if not wants[name].need:
                    continue
                self._refusals[name] = _Refusal(wants[name].need, now + REFUSED_S, grant.used)
            elif grant.window in (account.window, FOR_EVER):
                account.free += grant.amount
                self._refusals.pop(name, None)

    def give_back(self, names: Iterable[str]) -> bool:
        """Let go of free credit that others wait for; whether there was any."""
        any_free = False
        for name in names:
            account = self._accounts.get(name)
            if account is not None and account.free > 0:
                account.free = 0
                any_free = True
        return any_free

    def lose_free(self) -> None:
        """The authority has not been heard for so long that it may have lent our credit to others."""
        for account in self._accounts.values():
            account.free = min(account.free, 0)

    def forgive(self) -> None:
        """Limits have changed: what was refused may be allowed now."""
        self._refusals.clear()
        self._told.clear()

    @property
    def holds_any(self) -> bool:
        """Whether anything is held, so that the authority must keep hearing of it."""
        return bool(self._accounts)

    def _owe(self, number: int, cost: int, accounts: list[_Account]) -> None:
        """Until a report has told of this entry, its cost is these accounts' to tell."""
        self._unsent.append((number, cost, accounts))
        for account in accounts:
            if told := self._told.get(account.limit.id):
                told.used += cost

    def _asks_ahead(self, account: _Account, amount: int, now: float) -> bool:
        """Ask for more than anybody needs yet, where there is little; whether that was done."""
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
        """With a new minute everything begins anew; budgets simply go on, the authority knows the window."""
        if account.window <= now < account.ends:
            return
        window = lending_window(account.limit, now)
        if window != account.window:
            account.window, account.free, account.reserved, account.used = window, 0, 0, 0
            account.ends = window + MINUTE_S
