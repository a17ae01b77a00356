"""The migrations of the tables, by Alembic."""
