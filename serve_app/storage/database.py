"""The connection pool of a database URL, and the translation of its errors."""

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

# Rows of one INSERT. Each number of rows is a separate prepared statement, and drivers cache a hundred of
# them: with SQLAlchemy's default of 1000 rows, they took 120 MB of a busy control actor.
ROWS_AT_ONCE = 100

_DRIVERS = {
    "sqlite": "sqlite+aiosqlite",
    "sqlite+aiosqlite": "sqlite+aiosqlite",
    "postgres": "postgresql+asyncpg",
    "postgresql": "postgresql+asyncpg",
    "postgresql+asyncpg": "postgresql+asyncpg",
}

# SQLite's temporary errors for a file in use. The primary code is the lowest byte of an extended one.
_TAKEN = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)

# Programming errors, which a retry would not fix.
_MISTAKES = (ProgrammingError, IntegrityError, DataError, NotSupportedError)


def database_url(text: str) -> URL:
    """
    Parse a URL as users write it, and add its driver.

    Raises:
        ConfigError: the URL is not valid. The message does not quote it, because it may contain a password.
    """
    try:
        url = make_url(text)
    except (ArgumentError, ValueError):  # ValueError: a port that is not a number
        raise ConfigError("storage.url: not a URL; write postgresql://user:password@host/name") from None
    if "@" in (url.host or ""):  # the rest of a password would become part of the host, and be shown
        raise ConfigError("storage.url: write an @ in the password as %40")
    driver = _DRIVERS.get(url.drivername)
    if driver is None:
        raise ConfigError("storage.url: must begin with postgresql:// or sqlite://")
    if driver.startswith("sqlite") and url.database in (None, "", ":memory:"):
        raise ConfigError("storage.url: an SQLite database needs the path of its file")
    url = url.set(drivername=driver)
    if (mode := url.query.get("sslmode")) is not None:  # libpq's name; asyncpg's is `ssl`
        url = url.difference_update_query(["sslmode"])
        url = url.update_query_pairs([("ssl", mode if isinstance(mode, str) else mode[-1])])
    return url


def engine_for(url: URL, timeout_s: float) -> AsyncEngine:
    """Make a connection pool, which connects on first use; connecting and locks wait at most `timeout_s`."""
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
    Break the connection after `limit_s` seconds, so that the running call fails at once.

    Cancelling a call is not enough: the driver first sends a cancel request to PostgreSQL, which takes
    seconds if that does not answer. SQLite's connections are left alone: their wait for locks has a limit of
    its own.
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
    Create an SQLite file and its folder, readable by this user only, with a write-ahead log.

    Waits at most `timeout_s` seconds for another process that opens a new file at the same moment, which
    SQLite's own timeout does not cover.

    Raises:
        OSError: the folder or the file cannot be created.
        sqlite3.Error: the file cannot be opened.
    """
    make_private(path.parent)
    # Only SQLite may open an existing file: when this process closes any descriptor of it, the kernel drops
    # all of the process's locks on it, and other processes could then write at the same time.
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
    """Turn errors of an unavailable database into StoreUnavailable; programming errors pass unchanged."""
    try:
        yield
    except _MISTAKES:
        raise
    except (DBAPIError, PoolTimeout, OSError, sqlite3.Error) as error:
        raise StoreUnavailable(_message(url, error)) from None


def _message(url: URL, error: Exception) -> str:
    cause = getattr(error, "orig", None) or error
    reason = f"{type(cause).__name__}: {cause}" if str(cause) else type(cause).__name__
    for secret in (url.password, url.query.get("password")):
        if secret:
            for spelling in (str(secret), quote(str(secret), safe="")):
                reason = reason.replace(spelling, "***")
    # Built from its parts: `url.set(password=None)` keeps the password.
    place = URL.create(url.get_backend_name(), host=url.host, port=url.port, database=url.database)
    return f"the store at {place} does not answer: {reason}"


def _prepare_sqlite(connection: DBAPIConnection, _: ConnectionPoolEntry) -> None:
    connection.isolation_level = None  # the driver begins no transaction for some statements
    cursor = connection.cursor()
    cursor.execute("PRAGMA synchronous=NORMAL")
    cursor.close()


def _begin_sqlite(connection: Connection) -> None:
    """Begin a transaction; one that writes takes the write lock first, because it may not get it later."""
    writes = connection.get_execution_options().get("writes", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")
