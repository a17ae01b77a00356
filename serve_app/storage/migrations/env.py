"""Alembic's environment: migrations run in the connection and the transaction of the caller."""

from alembic import context

from serve_app.storage.tables import METADATA

context.configure(connection=context.config.attributes["connection"], target_metadata=METADATA)
context.run_migrations()
