"""The persistent state of the control plane, and the protocol of the store that keeps it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from serve_app.ledger.entry import Entry


class StoreUnavailable(Exception):
    """The store does not answer in time. What was not written must be written again."""


@dataclass(frozen=True, slots=True)
class Spend:
    """
    Sums of usage and cost for one day.

    Attributes:
        day: the start of the day in UTC, in seconds since the epoch; old days are merged into their month.
        input_tokens: the total, with every kind of input.
        output_tokens: the total, with every kind of output.
        cost: in nano-dollars.
        machine_ms: the time of local machines.
        cache_saving: in nano-dollars, what prompt caches saved.
    """

    day: float
    tenant: str
    caller: str
    provider_id: str
    model_id: str
    attempts: int
    failed: int
    input_tokens: int
    output_tokens: int
    cost: int
    machine_ms: int = 0
    cache_saving: int = 0


@dataclass(frozen=True, slots=True)
class Record:
    """
    A setting that an operator has made at run time.

    Attributes:
        kind: `tenant`, `key`, `limit`, `price`, `provider` or `backend`.
        body: plain JSON; None removes the setting.
    """

    kind: str
    id: str
    body: Mapping[str, Any] | None


@dataclass(frozen=True, slots=True)
class Change:
    """
    A line of the audit log.

    Attributes:
        at: in seconds since the epoch.
        who: the id of a key or the name of a user; never a key.
        before: plain JSON without secrets.
        after: plain JSON without secrets.
    """

    at: float
    who: str
    action: str
    subject: str
    before: Mapping[str, Any] | None = None
    after: Mapping[str, Any] | None = None


class Store(Protocol):
    """
    The ledger, its sums, the operators' settings and the audit log.

    One process writes, many may read. Every call raises StoreUnavailable.
    """

    async def open(self) -> None:
        """Connect, and migrate the tables to this version."""

    async def close(self) -> None:
        """Close the connections."""

    async def write(self, entries: Sequence[Entry]) -> None:
        """Write all of these entries and add them to the sums, or none; skip those that are there already."""

    async def written(self) -> Mapping[str, int]:
        """Return the highest number written, for every journal that may still be sent."""

    async def spends(self, since: float = 0.0, until: float | None = None) -> Sequence[Spend]:
        """Return the sums of the days from `since` to before `until`."""

    async def entries(
        self, limit: int = 100, tenant: str | None = None, before: float | None = None
    ) -> Sequence[Entry]:
        """Return entries, the newest first."""

    async def records(self) -> tuple[int, Sequence[Record]]:
        """Return the revision, which counts the changes so far, and all settings of operators."""

    async def change(self, records: Sequence[Record], change: Change) -> int:
        """
        Set or remove these records and write the line of the audit log, all or nothing; return the new
        revision.
        """

    async def changes(self, limit: int = 100, before: float | None = None) -> Sequence[Change]:
        """Return lines of the audit log, the newest first."""

    async def prune(self, now: float) -> int:
        """Delete what is older than its retention time; return the number of deleted entries."""
