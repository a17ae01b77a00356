"""What Alembic runs the steps in: the connection, and the transaction, of whoever asked for them."""

from alembic import context

from serve_app.storage.tables import METADATA

context.configure(connection=context.config.attributes["connection"], target_metadata=METADATA)
context.run_migrations()
