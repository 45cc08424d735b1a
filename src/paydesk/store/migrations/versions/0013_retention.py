"""What was not finished when its words were to go is looked at again; whose account was deleted is known."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

FROM_THE_START = "DELETE FROM channel_note WHERE channel = 'retention' AND key IN ('events', 'messages')"
"""The next sweep goes over everything once more, and finds what those before it left behind."""


def upgrade() -> None:
    """Apply."""
    op.add_column("unreachable", sa.Column("deleted", sa.Boolean(), server_default=sa.text("false"), nullable=False))
    op.create_table(
        "unpruned",
        sa.Column("sweep", sa.Text(), nullable=False),
        sa.Column("row_id", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("sweep", "row_id", name="pk_unpruned"),
        comment="what was not finished yet when the sweep of old words went by: it is looked at again until it is",
    )
    op.execute(FROM_THE_START)
