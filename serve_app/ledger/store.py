"""What the authority keeps beyond its own life, and the port to wherever that is kept."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from serve_app.ledger.entry import Entry


class StoreUnavailable(Exception):
    """The store does not answer, or not in time. What was to be written is to be written again."""


@dataclass(frozen=True, slots=True)
class Spend:
    """
    What was spent, summed up.

    `day` is the day's first moment in UTC, in seconds since the epoch (of days long gone: their month's).
    `cost` is in nano-dollars; the tokens are whole sums, every kind of input in the first of them;
    `machine_ms` is of machines of one's own.
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


@dataclass(frozen=True, slots=True)
class Record:
    """
    Something an operator has set at run time; `body` None takes it away.

    `kind` is `tenant`, `key`, `limit`, `price`, `provider` or `backend`; `body` is plain JSON.
    """

    kind: str
    id: str
    body: Mapping[str, Any] | None


@dataclass(frozen=True, slots=True)
class Change:
    """
    Who changed what, and when: a line of the audit.

    `who` is a key's id or a user's name, never a key; `before` and `after` are plain JSON without secrets.
    """

    at: float
    who: str
    action: str
    subject: str
    before: Mapping[str, Any] | None = None
    after: Mapping[str, Any] | None = None


class Store(Protocol):
    """
    The ledger, its sums, what operators changed, and the audit.

    One process writes, many may read. Every call raises StoreUnavailable.
    """

    async def open(self) -> None:
        """Connect and bring the tables to this version."""

    async def close(self) -> None:
        """Let go of the connections."""

    async def write(self, entries: Sequence[Entry]) -> None:
        """Take in entries and add them to the sums, all or nothing; those already there are passed over."""

    async def written(self) -> Mapping[str, int]:
        """The highest number taken in of every journal that may still be sent."""

    async def spends(self, since: float = 0.0, until: float | None = None) -> Sequence[Spend]:
        """The sums of the days from `since` to before `until`."""

    async def entries(
        self, limit: int = 100, tenant: str | None = None, before: float | None = None
    ) -> Sequence[Entry]:
        """The newest entries first."""

    async def records(self) -> tuple[int, Sequence[Record]]:
        """Everything operators have set, and the epoch: how many changes there have been."""

    async def change(self, records: Sequence[Record], change: Change) -> int:
        """Set (or take away) these and write the audit's line, all or nothing; the new epoch."""

    async def changes(self, limit: int = 100, before: float | None = None) -> Sequence[Change]:
        """The audit, newest first."""

    async def prune(self, now: float) -> int:
        """Drop what is older than it has to be kept; how many entries that were."""
