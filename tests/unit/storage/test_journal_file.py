"""A router's journal: what it keeps whoever dies, and what it lets go of."""

import errno
import os
import signal
import subprocess
import sys
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import pytest

from serve_app.ledger.entry import Entry, EntryOutcome
from serve_app.ledger.journal import JournalFull
from serve_app.storage.journal_file import Journal
from serve_app.storage.journal_reader import OrphanedJournal, orphans
from tests.support.entries import NOON, begun, entry

ROOT = Path(__file__).parents[3]

# Every third attempt stays open, every third is closed, and every third is told of on standard output.
ROUTER = """
import itertools, sys
from pathlib import Path
from serve_app.storage.journal_file import Journal
from tests.support.entries import begun, entry

journal = Journal(Path(sys.argv[1]), "router-a", segment_bytes=20_000)
for turn in itertools.count():
    ticket = journal.opened(begun(request_id=f"turn-{turn}", cost=turn))
    if turn % 3 == 1:
        journal.closed(ticket)
    elif turn % 3 == 2:
        number = journal.next_number
        journal.append(entry(number, request_id=f"turn-{turn}"), ticket)
        print(number, flush=True)
"""


def heirs(folder: Path) -> list[OrphanedJournal]:
    return list(orphans(folder))


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def fill(journal: Journal, count: int) -> list[Entry]:
    made = []
    for _ in range(count):
        made.append(entry(journal.next_number, journal=journal.name))
        journal.append(made[-1])
    return made


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    journal = Journal(tmp_path, "router-a", segment_bytes=2_000)
    yield journal
    journal.close()


def die(journal: Journal) -> None:
    """What the kernel does for a process that was killed."""
    os.close(journal._file)
    os.close(journal._lock)
    journal._file = -1


@pytest.mark.process
def test_a_router_killed_in_the_middle_leaves_exactly_what_it_wrote(tmp_path: Path) -> None:
    child = subprocess.Popen(
        [sys.executable, "-c", ROUTER, str(tmp_path)], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    assert child.stdout is not None
    told = [int(child.stdout.readline()) for _ in range(300)]
    assert heirs(tmp_path) == [], "it lives, and holds its journal"
    child.send_signal(signal.SIGKILL)
    told += [int(line) for line in child.stdout.read().splitlines() if line]
    child.wait()

    [orphan] = heirs(tmp_path)
    found = list(orphan.entries())
    written = [one for one in found if one.outcome is EntryOutcome.SERVED]
    lost = [one for one in found if one.outcome is EntryOutcome.LOST]

    assert [one.number for one in written] == list(range(1, len(written) + 1))
    assert 0 <= len(written) - max(told) <= 1, "nothing that was told of is missing"
    turns = [int(one.request_id.removeprefix("turn-")) for one in lost]
    last_turn = int(written[-1].request_id.removeprefix("turn-"))
    assert [turn for turn in turns if turn <= last_turn] == list(range(0, last_turn, 3))
    assert len([turn for turn in turns if turn > last_turn]) <= 2
    assert [one.cost for one in lost] == turns
    assert [one.number for one in lost] == list(range(written[-1].number + 1, found[-1].number + 1))
    assert all(one.usage.estimated and one.at == NOON for one in lost)
    assert list(orphan.entries()) == found, "the same each time"
    orphan.discard()
    assert files(tmp_path) == []


def test_entries_come_back_as_they_were(journal: Journal) -> None:
    odd = entry(
        1, request_id='"\n\0 {"entry":1} 𝄞', cost=None, first_token_s=0.125, outcome=EntryOutcome.FAILED
    )
    journal.append(odd)

    assert journal.pending() == [odd]


def test_half_a_surrogate_pair_loses_no_entry(journal: Journal) -> None:
    journal.append(entry(1, caller="a\ud800b"))

    assert [one.caller for one in journal.pending()] == ["a?b"]


def test_an_absurd_number_loses_no_entry(journal: Journal) -> None:
    journal.append(entry(1, cost=10**30))

    assert [one.cost for one in journal.pending()] == [2**53]


def test_pending_goes_on_where_it_left_off_across_segments(journal: Journal, tmp_path: Path) -> None:
    made = fill(journal, 40)
    assert len(files(tmp_path)) > 5

    found: list[Entry] = []
    while batch := journal.pending(found[-1].number if found else 0, limit=7):
        assert len(batch) <= 7
        found += batch

    assert found == made
    assert journal.pending(3, limit=2) == made[3:5], "also from a place it did not just come from"
    assert journal.pending(39) == made[39:]
    assert journal.pending(40) == []
    journal.append(entry(41))
    assert [one.number for one in journal.pending(40)] == [41]


def test_what_is_safe_leaves_the_disk_and_is_not_pending(journal: Journal, tmp_path: Path) -> None:
    made = fill(journal, 40)
    before = len(files(tmp_path))

    journal.written(20)
    assert len(files(tmp_path)) < before
    assert journal.pending() == made[20:]

    journal.written(10)
    assert journal.safe == 20, "news may come late"
    journal.written(40)
    assert len(files(tmp_path)) == 2, "the lock and the segment in use"
    assert journal.pending() == []


def test_a_journal_that_is_done_leaves_nothing_behind(journal: Journal, tmp_path: Path) -> None:
    fill(journal, 3)
    journal.written(3)
    journal.close()

    assert files(tmp_path) == []


def test_a_journal_that_is_not_done_is_left_to_an_heir(journal: Journal, tmp_path: Path) -> None:
    made = fill(journal, 3)
    journal.written(2)
    journal.close()

    [orphan] = heirs(tmp_path)
    assert list(orphan.entries()) == made[2:], "what the ledger has is not sent again"


def test_a_journal_that_is_closed_with_an_attempt_under_way_is_left_to_an_heir(
    journal: Journal, tmp_path: Path
) -> None:
    journal.opened(begun(request_id="open", cost=77))
    journal.close()

    [orphan] = heirs(tmp_path)
    [lost] = orphan.entries()
    assert (lost.request_id, lost.cost, lost.number, lost.outcome) == ("open", 77, 1, EntryOutcome.LOST)


def test_an_attempt_under_way_outlives_the_segments_it_began_in(journal: Journal, tmp_path: Path) -> None:
    journal.opened(begun(request_id="long", cost=77))
    fill(journal, 40)
    journal.written(40)
    die(journal)

    [orphan] = heirs(tmp_path)
    [lost] = orphan.entries()
    assert (lost.request_id, lost.cost, lost.number, lost.outcome) == ("long", 77, 41, EntryOutcome.LOST)


def test_a_number_is_not_given_twice_when_only_the_head_remembers_it(tmp_path: Path) -> None:
    journal = Journal(tmp_path, "router-a", segment_bytes=1)
    fill(journal, 3)
    journal.written(3)
    journal.opened(begun())
    journal.written(3)
    die(journal)

    [orphan] = heirs(tmp_path)
    assert [one.number for one in orphan.entries()] == [4]


@pytest.mark.parametrize("cut", [1, 20, 200])
def test_a_torn_last_line_is_skipped_and_its_attempt_counts_as_lost(
    journal: Journal, tmp_path: Path, cut: int
) -> None:
    made = fill(journal, 1)
    ticket = journal.opened(begun(request_id="torn"))
    journal.append(entry(2), ticket)
    die(journal)
    path = tmp_path / "router-a.000001.jsonl"
    os.truncate(path, path.stat().st_size - cut)

    [orphan] = heirs(tmp_path)
    found = list(orphan.entries())
    if cut == 1:  # only the end of the line is missing: nothing of it is
        assert [one.number for one in found] == [1, 2]
        return
    assert orphan.torn == 1
    assert found[0] == made[0]
    assert [(one.request_id, one.number, one.outcome) for one in found[1:]] == [
        ("torn", 2, EntryOutcome.LOST)
    ]


def test_rubbish_in_a_journal_stops_nobody(journal: Journal, tmp_path: Path) -> None:
    made = fill(journal, 1)
    die(journal)
    with (tmp_path / "router-a.000001.jsonl").open("ab") as file:
        file.write(b'7\n"entry"\n{"entry": 3}\n{"opened": 9}\n\xff\xfe\n[1]\n\n')

    [orphan] = heirs(tmp_path)
    assert list(orphan.entries()) == made


def test_only_one_heir_takes_a_journal(journal: Journal, tmp_path: Path) -> None:
    fill(journal, 1)
    die(journal)

    [first] = heirs(tmp_path)
    assert heirs(tmp_path) == []
    first.release()
    [second] = heirs(tmp_path)
    second.discard()
    assert heirs(tmp_path) == []
    assert files(tmp_path) == []


def test_a_living_router_is_no_orphan(journal: Journal, tmp_path: Path) -> None:
    fill(journal, 1)

    assert heirs(tmp_path) == []


def test_what_lies_beside_the_journals_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    (tmp_path / "router-a.000001.jsonl").write_text("no lock beside it\n")

    assert heirs(tmp_path) == []
    assert heirs(tmp_path / "not there") == []


def test_a_full_disk_is_said_and_leaves_the_journal_as_it_was(
    journal: Journal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = fill(journal, 1)
    ticket = journal.opened(begun(request_id="full"))
    real, left = os.write, [10]

    def write(file: int, line: bytes) -> int:
        if not left[0]:
            raise OSError(errno.ENOSPC, "No space left on device")
        taken = real(file, line[: left[0]])
        left[0] -= taken
        return taken

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", write)
        with pytest.raises(JournalFull, match="No space left"):
            journal.append(entry(2), ticket)
        with pytest.raises(JournalFull):
            journal.opened(begun())
        journal.written(1)

    assert journal.next_number == 2
    assert journal.under_way == 1
    journal.append(entry(2), ticket)
    assert journal.pending() == [entry(2)]
    die(journal)
    [orphan] = heirs(tmp_path)
    assert orphan.torn == 0
    assert [one.number for one in orphan.entries()] == [1, 2]
    assert made


def test_a_disk_that_is_full_when_a_segment_ends_leaves_no_half_of_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = Journal(tmp_path, "router-a", segment_bytes=1)

    def write(file: int, line: bytes) -> int:
        raise OSError(errno.EDQUOT, "Disk quota exceeded")

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", write)
        with pytest.raises(JournalFull):
            journal.append(entry(1))
    assert files(tmp_path) == ["router-a.000001.jsonl", "router-a.lock"]

    journal.append(entry(1))
    assert journal.pending() == [entry(1)]


def test_a_disk_that_is_full_from_the_start_can_be_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def write(file: int, line: bytes) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", write)
        with pytest.raises(JournalFull):
            Journal(tmp_path, "router-a")

    journal = Journal(tmp_path, "router-a")
    journal.append(entry(1))
    assert journal.pending() == [entry(1)]


def test_entries_are_numbered_in_order(journal: Journal) -> None:
    journal.append(entry(1))

    for wrong in (entry(1), entry(3), entry(2, journal="router-b")):
        with pytest.raises(ValueError, match="cannot follow"):
            journal.append(wrong)


def test_a_name_is_no_path(tmp_path: Path) -> None:
    for name in ("../up", "a.b", "", "a/b"):
        with pytest.raises(ValueError, match="letters"):
            Journal(tmp_path, name)


def test_nobody_else_can_read_it(tmp_path: Path) -> None:
    folder = tmp_path / "state" / "journal"
    Journal(folder, "router-a")

    assert folder.stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in folder.iterdir()} == {0o600}


def test_pending_and_an_heir_read_a_large_journal_in_little_memory(tmp_path: Path) -> None:
    journal = Journal(tmp_path, "router-a", segment_bytes=2**20)
    fill(journal, 20_000)
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) > 6 * 2**20

    tracemalloc.start()
    after = 0
    while batch := journal.pending(after, limit=500):
        after = batch[-1].number
    journal.close()
    [orphan] = heirs(tmp_path)
    count = sum(1 for _ in orphan.entries())
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert after == count == 20_000
    assert most < 2 * 2**20
