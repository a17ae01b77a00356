"""Ledgers of tests: files of SQLite whose tables are of this version already."""

from pathlib import Path

from serve_app.storage.sql import SqlStore

_empty: bytes | None = None


async def ledger_in(folder: Path) -> SqlStore:
    """
    Return the store of the ledger in this folder, still to be opened; it is empty if there was none.

    The migrations run once a process, and the file is copied from then on: they are no test's subject but
    those of `tests/contract/test_stores.py`.
    """
    global _empty
    file = folder / "ledger.db"
    if file.exists():
        return SqlStore(f"sqlite:///{file}")
    if _empty is None:
        store = SqlStore(f"sqlite:///{file}")
        await store.open()
        await store.close()
        _empty = file.read_bytes()
    else:
        file.write_bytes(_empty)
    return SqlStore(f"sqlite:///{file}")
