"""How much of machines of one's own was used, among the sums."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Of what was spent before nobody knows: it counts as none."""
    op.add_column("spends", sa.Column("machine_ms", sa.BigInteger, nullable=False, server_default="0"))


def downgrade() -> None:
    """The sums are lost; the entries still say it."""
    op.drop_column("spends", "machine_ms")
