"""Where a router writes down what it has to account for, before anybody else has heard of it."""

from collections import deque
from itertools import islice
from typing import NamedTuple, Protocol

from serve_app.ledger.entry import Entry
from serve_app.pricing.usage import Usage


class JournalFull(Exception):
    """The disk takes no more. The journal is as it was before; the same call may be tried again."""


class Begun(NamedTuple):
    """
    An attempt at its beginning, and what it may use and cost at worst: `usage`, and `cost` in nano-dollars.

    `at` is in seconds since the epoch. The other fields are as in Entry.
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
    """The journal of one router; `name` is new for every process, and is the `journal` of its entries."""

    name: str
    last: int  # the number of the newest entry, 0 without any

    def opened(self, begun: Begun) -> int:
        """An attempt begins: its ticket, to be given back when it ends. Raises JournalFull, OSError."""

    def append(self, entry: Entry, ticket: int = 0) -> None:
        """What an attempt came to; with its ticket, which ends it. Raises JournalFull, OSError."""

    def written(self, number: int) -> None:
        """Everything up to this number is in the ledger, and need not be kept here."""

    def pending(self, after: int = 0, limit: int = 1000) -> list[Entry]:
        """The first entries after this number that are not known to be in the ledger. Raises OSError."""

    def close(self) -> None:
        """Let go of it."""


class MemoryJournal:
    """
    A journal that does not outlive its process, and keeps the newest `most` entries.

    For a gateway that has no ledger: there is nothing to be lost.
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
