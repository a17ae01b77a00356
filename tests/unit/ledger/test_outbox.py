"""A router's pages of the ledger: what it remembers is no more than a shorter way to what is on disk."""

from pathlib import Path

from serve_app.ledger.entry import Entry
from serve_app.ledger.journal_position import JournalPosition
from serve_app.ledger.outbox import Outbox
from serve_app.storage.journal_file import Journal
from tests.support.entries import entry


class ReadJournal(Journal):
    """Notes from where on it was read."""

    def __init__(self, folder: Path, name: str) -> None:
        super().__init__(folder, name)
        self.read_after: list[int] = []

    def pending(self, after: int = 0, limit: int = 1000) -> list[Entry]:
        self.read_after.append(after)
        return super().pending(after, limit)


def test_the_last_five_thousand_entries_are_in_memory_and_those_before_are_read_from_the_journal(
    tmp_path: Path,
) -> None:
    journal = ReadJournal(tmp_path, "router-a")
    outbox = Outbox(journal)
    for number in range(1, 5002 + 1):
        outbox.append(entry(number), 0)

    for taken, first in ((0, 1), (1, 2), (2, 3), (5001, 5002)):
        outbox.heard(JournalPosition(taken, 0), anew=False)
        assert outbox.unsent()[0].number == first

    assert journal.read_after == [0, 1]
    outbox.close()


def test_entries_are_sent_from_the_first_on_though_there_are_more_than_are_remembered(tmp_path: Path) -> None:
    outbox = Outbox(Journal(tmp_path, "router-a"))
    count = 5000 + 2
    for number in range(1, count + 1):
        outbox.append(entry(number), 0)

    sent: list[int] = []
    while batch := outbox.unsent():
        assert len(batch) <= 1000
        sent += [one.number for one in batch]
        outbox.heard(JournalPosition(sent[-1], 0), anew=False)

    assert sent == list(range(1, count + 1))
    outbox.close()
