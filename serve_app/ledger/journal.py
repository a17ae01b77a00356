"""A router's journal: where entries are written before they are sent to the control plane."""

from collections import deque
from itertools import islice
from typing import NamedTuple, Protocol

from serve_app.ledger.entry import Entry
from serve_app.pricing.usage import Usage


class JournalFull(Exception):
    """The disk is full. The journal is unchanged, and the call may be repeated."""


class Begun(NamedTuple):
    """
    An attempt that is about to begin, with the most that it may use and cost.

    Attributes:
        at: in seconds since the epoch.
        usage: the upper bound of its usage.
        cost: the upper bound of its cost in nano-dollars; None: the price is unknown.
    """

    request_id: str
    attempt: int
    at: float
    tenant: str
    caller: str
    provider_id: str
    model_id: str
    task: str
    operation: str
    usage: Usage
    cost: int | None


class Journal(Protocol):
    """
    The journal of one router.

    Attributes:
        name: new for every process; the `journal` of its entries.
        last: the number of the newest entry; 0: there is none.
    """

    name: str
    last: int  # the number of the newest entry, 0 without any

    def opened(self, begun: Begun) -> int:
        """
        Record the beginning of an attempt and return its ticket, which ends it later.

        Raises:
            JournalFull: the disk is full.
            OSError: the journal cannot be written.
        """

    def append(self, entry: Entry, ticket: int = 0) -> None:
        """
        Write an entry; its ticket ends the attempt.

        Raises:
            JournalFull: the disk is full.
            OSError: the journal cannot be written.
        """

    def written(self, number: int) -> None:
        """Drop the entries up to this number, because they are in the ledger."""

    def pending(self, after: int = 0, limit: int = 1000) -> list[Entry]:
        """Return the first entries after this number that may not be in the ledger yet. Raises OSError."""

    def close(self) -> None:
        """Close the journal and release its file."""


class MemoryJournal:
    """
    A journal in memory, which keeps the newest `most` entries and ends with its process.

    For a gateway without a ledger, which has nothing to lose.
    """

    def __init__(self, name: str, most: int = 10_000) -> None:
        self.name = name
        self.last = 0
        self._entries: deque[Entry] = deque(maxlen=most)

    def opened(self, begun: Begun) -> int:
        return 0

    def append(self, entry: Entry, ticket: int = 0) -> None:
        self._entries.append(entry)
        self.last = entry.number

    def written(self, number: int) -> None:
        while self._entries and self._entries[0].number <= number:
            self._entries.popleft()

    def pending(self, after: int = 0, limit: int = 1000) -> list[Entry]:
        return list(islice((entry for entry in self._entries if entry.number > after), limit))

    def close(self) -> None:
        self._entries.clear()
