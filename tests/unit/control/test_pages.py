"""A router's pages of the ledger: what it remembers is no more than a shorter way to what is on disk."""

from pathlib import Path

from serve_app.control.pages import Pages
from serve_app.control.port import Mark
from serve_app.storage.journal import Journal
from tests.support.entries import entry


def test_entries_are_sent_from_the_first_on_though_there_are_more_than_are_remembered(tmp_path: Path) -> None:
    pages = Pages(Journal(tmp_path, "router-a"))
    count = 5000 + 2
    for number in range(1, count + 1):
        pages.append(entry(number), 0)

    sent: list[int] = []
    while batch := pages.unsent():
        assert len(batch) <= 1000
        sent += [one.number for one in batch]
        pages.heard(Mark(sent[-1], 0), anew=False)

    assert sent == list(range(1, count + 1))
    pages.close()
