"""The entries of one router on their way through its journal to the control plane."""

import logging
from collections import deque
from itertools import islice

from serve_app.ledger.entry import Entry
from serve_app.ledger.journal import Begun, Journal, JournalFull
from serve_app.ledger.journal_position import JournalPosition

AT_ONCE = 1000  # entries in one report
REMEMBERED = 5000  # entries kept in memory too; older ones are read from the journal

log = logging.getLogger("sekha.control")


class Outbox:
    """
    The entries of one router, from their creation until they are in the store.

    While the journal cannot be written, entries wait in memory and are written as soon as possible.
    """

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._recent: deque[Entry] = deque(maxlen=REMEMBERED)
        self._waiting: deque[tuple[Entry, int]] = deque()
        self._mark = JournalPosition()

    @property
    def name(self) -> str:
        """Return the journal's name."""
        return self._journal.name

    @property
    def taken(self) -> int:
        """Return the number up to which the control plane has confirmed entries."""
        return self._mark.taken

    @property
    def has_news(self) -> bool:
        """Return whether some entries are not in the store yet."""
        return bool(self._waiting) or self._mark.written < self._journal.last

    def begin(self, begun: Begun) -> int | None:
        """
        Record in the journal that an attempt begins; return its ticket, None if the journal cannot be
        written.
        """
        try:
            return self._journal.opened(begun)
        except (JournalFull, OSError) as error:
            log.error("the journal cannot be written: %s", error)
            return None

    @property
    def next_number(self) -> int:
        """Return the number that the next entry must have."""
        return self._journal.last + len(self._waiting) + 1

    def append(self, entry: Entry, ticket: int) -> None:
        """Write the next entry to the journal."""
        self._waiting.append((entry, ticket))
        self._write()

    def unsent(self) -> tuple[Entry, ...]:
        """Return the first entries that the control plane has not confirmed, in order."""
        self._write()
        after = self._mark.taken
        if after >= self._journal.last:
            return ()
        if self._recent and self._recent[0].number <= after + 1:
            skipped = after + 1 - self._recent[0].number
            return tuple(islice(self._recent, skipped, skipped + AT_ONCE))
        try:
            return tuple(self._journal.pending(after, AT_ONCE))
        except OSError as error:
            log.error("the journal cannot be read: %s", error)
            return ()

    def heard(self, mark: JournalPosition, anew: bool) -> None:
        """Record the progress that the control plane reports; `anew`: it was restarted, and may be behind."""
        if not anew:
            taken, written = max(mark.taken, self._mark.taken), max(mark.written, self._mark.written)
            mark = JournalPosition(taken, written)
        if mark.written > self._mark.written:
            try:
                self._journal.written(mark.written)
            except (JournalFull, OSError) as error:  # harmless: it is only longer than necessary
                log.error("the journal cannot be trimmed: %s", error)
        self._mark = mark

    def close(self) -> None:
        """Close the journal; entries that are not in the store yet stay there for the journal recovery."""
        self._journal.close()

    def _write(self) -> None:
        while self._waiting:
            entry, ticket = self._waiting[0]
            try:
                self._journal.append(entry, ticket)
            except (JournalFull, OSError) as error:
                log.error("the journal cannot be written, %d entries wait: %s", len(self._waiting), error)
                return
            self._waiting.popleft()
            self._recent.append(entry)
