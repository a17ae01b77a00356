"""Add what prompt caches saved."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

TABLES = ("entries", "spends")


def upgrade() -> None:
    """Add the columns; earlier entries and sums count as zero, because their prices are unknown."""
    for table in TABLES:
        op.add_column(table, sa.Column("cache_saving", sa.BigInteger, nullable=False, server_default="0"))


def downgrade() -> None:
    """Drop the columns."""
    for table in TABLES:
        op.drop_column(table, "cache_saving")
