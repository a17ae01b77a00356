"""What a database's troubles are called: never by its password."""

import sqlite3
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from urllib.parse import quote

import pytest

from serve_app.ledger.store import StoreUnavailable
from serve_app.storage.database import database_url, prepare_file, troubles


@pytest.mark.parametrize("password", ["canary", "can/ary", "can ary", "c@n:ary"])
@pytest.mark.parametrize(
    "written", ["postgresql://me:{}@host:5/name", "postgresql://me@host:5/name?password={}"]
)
def test_a_stores_password_and_its_user_are_in_no_message(password: str, written: str) -> None:
    url = database_url(written.format(quote(password, safe="")))

    with pytest.raises(StoreUnavailable) as raised, troubles(url):
        raise OSError(f"no '{password}' and no '{quote(password, safe='')}' here")

    said = str(raised.value)
    assert (
        said == "the store at postgresql://host:5/name does not answer: OSError: no '***' and no '***' here"
    )


def test_those_who_open_a_new_file_in_the_same_moment_all_get_it(tmp_path: Path) -> None:
    with ThreadPoolExecutor(4) as together:
        for turn in range(20):
            path = tmp_path / str(turn) / "ledger.sqlite3"
            list(together.map(lambda _, path=path: prepare_file(path, 20.0), range(4)))

            with closing(sqlite3.connect(path)) as connection:
                assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
            assert path.stat().st_mode & 0o777 == 0o600


def test_a_new_file_that_somebody_is_about_to_write_to_is_waited_for(tmp_path: Path) -> None:
    """Here SQLite says at once that the file is locked, whatever patience it was told to have."""
    path = tmp_path / "ledger.sqlite3"
    with closing(sqlite3.connect(path, check_same_thread=False)) as writer, ThreadPoolExecutor(1) as beside:
        writer.execute("BEGIN IMMEDIATE")
        opening = beside.submit(prepare_file, path, 20.0)
        with pytest.raises(TimeoutError):
            opening.result(timeout=0.2)
        writer.execute("COMMIT")
        opening.result(timeout=20.0)

    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)


def test_a_file_that_somebody_keeps_for_himself_is_waited_for_and_then_given_up(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite3"
    with closing(sqlite3.connect(path)) as other:
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(sqlite3.OperationalError, match="locked"):
            prepare_file(path, 0.05)
