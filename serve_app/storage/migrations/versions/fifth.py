"""Add the ids of the items in kept responses, by which requests refer to them."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the table and its index."""
    op.create_table(
        "response_items",
        sa.Column("tenant", sa.Text, primary_key=True),
        sa.Column("item_id", sa.Text, primary_key=True),
        sa.Column("response_id", sa.Text, primary_key=True),
    )
    op.create_index("response_items_response", "response_items", ["tenant", "response_id"])


def downgrade() -> None:
    """Drop the table; references to items are not found any more."""
    op.drop_table("response_items")
