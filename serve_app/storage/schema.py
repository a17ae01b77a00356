"""Migrations of a database's tables to this version."""

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import Connection, func, select

FOLDER = Path(__file__).parent / "migrations"

_LOCK = 0x73656B6861  # "sekha": the advisory lock of migrations in PostgreSQL


class StoreTooNew(Exception):
    """The tables are of a newer version of the gateway, which this one does not know."""


def is_up_to_date(connection: Connection) -> bool:
    """Return whether the tables are of this version. Raises the database's errors."""
    return MigrationContext.configure(connection).get_current_revision() == _scripts().get_current_head()


def upgrade(connection: Connection) -> None:
    """
    Run the missing migrations within the connection's transaction, one process at a time.

    On SQLite the transaction must already hold the write lock.

    Raises:
        StoreTooNew: the tables are of a newer version; errors of the database pass unchanged.
    """
    if connection.dialect.name == "postgresql":
        connection.execute(select(func.pg_advisory_xact_lock(_LOCK)))
    config = _config()
    config.attributes["connection"] = connection
    try:
        command.upgrade(config, "head")
    except CommandError as error:
        raise StoreTooNew(f"the store was written by another version of the gateway: {error}") from error


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(FOLDER).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    return config


def _scripts() -> ScriptDirectory:
    return ScriptDirectory.from_config(_config())
