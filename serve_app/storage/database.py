"""A connection pool to the database of a URL, and what its failures mean."""

import asyncio
import os
import sqlite3
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, closing, contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote

from sqlalchemy import URL, Connection, event, make_url
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import (
    ArgumentError,
    DataError,
    DBAPIError,
    IntegrityError,
    NotSupportedError,
    ProgrammingError,
)
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.pool import ConnectionPoolEntry

from serve_app.errors import ConfigError
from serve_app.ledger.store import StoreUnavailable
from serve_app.storage.folder import make_private

# In one INSERT. Each number of rows is a statement of its own, and drivers keep a hundred of them, prepared:
# with up to 1000 rows, as SQLAlchemy comes, they were 120 MB of a busy control actor.
ROWS_AT_ONCE = 100

_DRIVERS = {
    "sqlite": "sqlite+aiosqlite",
    "sqlite+aiosqlite": "sqlite+aiosqlite",
    "postgres": "postgresql+asyncpg",
    "postgresql": "postgresql+asyncpg",
    "postgresql+asyncpg": "postgresql+asyncpg",
}

# SQLite's words for a file that somebody else uses, which will end; their second byte says how exactly.
_TAKEN = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)

# Ours to mend: trying again would not help.
_MISTAKES = (ProgrammingError, IntegrityError, DataError, NotSupportedError)


def database_url(text: str) -> URL:
    """
    The URL with its driver, from the form that people write.

    Raises ConfigError, which does not quote it: it may hold a password.
    """
    try:
        url = make_url(text)
    except (ArgumentError, ValueError):  # ValueError: a port that is no number
        raise ConfigError("storage.url: not a URL; write postgresql://user:password@host/name") from None
    if "@" in (url.host or ""):  # the rest of a password would pass for the host, and be shown
        raise ConfigError("storage.url: write an @ in the password as %40")
    driver = _DRIVERS.get(url.drivername)
    if driver is None:
        raise ConfigError("storage.url: must begin with postgresql:// or sqlite://")
    if driver.startswith("sqlite") and url.database in (None, "", ":memory:"):
        raise ConfigError("storage.url: an SQLite database needs the path of its file")
    url = url.set(drivername=driver)
    if (mode := url.query.get("sslmode")) is not None:  # libpq's word; asyncpg's is `ssl`
        url = url.difference_update_query(["sslmode"])
        url = url.update_query_pairs([("ssl", mode if isinstance(mode, str) else mode[-1])])
    return url


def engine_for(url: URL, timeout_s: float) -> AsyncEngine:
    """A pool, which connects when it is used. Neither that nor waiting for a lock takes over `timeout_s`."""
    common: dict[str, Any] = {
        "hide_parameters": True,
        "pool_timeout": timeout_s,
        "insertmanyvalues_page_size": ROWS_AT_ONCE,
    }
    if url.get_backend_name() == "postgresql":
        return create_async_engine(url, connect_args={"timeout": timeout_s}, **common)
    engine = create_async_engine(url, connect_args={"timeout": 0.8 * timeout_s}, **common)
    event.listen(engine.sync_engine, "connect", _prepare_sqlite)
    event.listen(engine.sync_engine, "begin", _begin_sqlite)
    return engine


@asynccontextmanager
async def cut_off_after(limit_s: float, connection: AsyncConnection) -> AsyncIterator[None]:
    """
    Break the connection if this takes longer, in seconds; what is under way then fails at once.

    A call that is merely cancelled first says goodbye to a PostgreSQL that does not listen, which takes
    seconds more. SQLite's connections are let be: they are bounded by their wait for locks.
    """
    driver = (await connection.get_raw_connection()).driver_connection
    cut = getattr(driver, "terminate", None)
    timer = asyncio.get_running_loop().call_later(limit_s, cut) if cut else None
    try:
        yield
    finally:
        if timer is not None:
            timer.cancel()


def prepare_file(path: Path, timeout_s: float) -> None:
    """
    Make an SQLite file, and the folder it is in, for nobody else to read, with a write-ahead log.

    Whoever opens a new file in the same moment is waited for, `timeout_s` seconds at most: here SQLite's own
    waiting does not help. Raises OSError and sqlite3.Error.
    """
    make_private(path.parent)
    # A file that is there is for SQLite alone to open: with any descriptor of it that this process closes,
    # the kernel takes away all locks on it that this process has, and others then write where it does.
    with suppress(FileExistsError):
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    give_up = time.monotonic() + timeout_s
    while True:
        left_s = max(0.0, give_up - time.monotonic())
        try:
            with closing(sqlite3.connect(path, timeout=left_s)) as connection:
                connection.execute("PRAGMA journal_mode=WAL")
            return
        except sqlite3.OperationalError as error:
            if not left_s or error.sqlite_errorcode & 0xFF not in _TAKEN:
                raise
            time.sleep(0.01)


@contextmanager
def troubles(url: URL) -> Iterator[None]:
    """What fails within, because the database is not there or not well, becomes StoreUnavailable."""
    try:
        yield
    except _MISTAKES:
        raise
    except (DBAPIError, PoolTimeout, OSError, sqlite3.Error) as error:
        raise StoreUnavailable(_said(url, error)) from None


def _said(url: URL, error: Exception) -> str:
    cause = getattr(error, "orig", None) or error
    reason = f"{type(cause).__name__}: {cause}" if str(cause) else type(cause).__name__
    for secret in (url.password, url.query.get("password")):
        if secret:
            for spelling in (str(secret), quote(str(secret), safe="")):
                reason = reason.replace(spelling, "***")
    # Made anew: `url.set(password=None)` leaves the password where it is.
    place = URL.create(url.get_backend_name(), host=url.host, port=url.port, database=url.database)
    return f"the store at {place} does not answer: {reason}"


def _prepare_sqlite(connection: DBAPIConnection, _: ConnectionPoolEntry) -> None:
    connection.isolation_level = None  # the driver's own way to begin transactions leaves some statements out
    cursor = connection.cursor()
    cursor.execute("PRAGMA synchronous=NORMAL")
    cursor.close()


def _begin_sqlite(connection: Connection) -> None:
    """A transaction that will write says so at once: one that turns to it later may find itself too late."""
    writes = connection.get_execution_options().get("writes", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")
