"""Bringing a database's tables to this version."""

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import Connection, func, select

FOLDER = Path(__file__).parent / "migrations"

_LOCK = 0x73656B6861  # "sekha": whoever changes the tables of a PostgreSQL database holds this


class StoreTooNew(Exception):
    """A newer version of the gateway has changed the tables; this one does not know them."""


def is_up_to_date(connection: Connection) -> bool:
    """Whether the tables are as this version knows them. Raises what the database raises."""
    return MigrationContext.configure(connection).get_current_revision() == _scripts().get_current_head()


def upgrade(connection: Connection) -> None:
    """
    Take every step that is missing, within the connection's transaction; one starter at a time.

    On SQLite the transaction must hold the lock for writing already. Raises StoreTooNew, and what the
    database raises.
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
