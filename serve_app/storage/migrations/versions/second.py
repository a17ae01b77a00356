"""Add the time of local machines to the sums."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column; earlier sums count as zero, because their times are unknown."""
    op.add_column("spends", sa.Column("machine_ms", sa.BigInteger, nullable=False, server_default="0"))


def downgrade() -> None:
    """Drop the column; the entries keep the times."""
    op.drop_column("spends", "machine_ms")
