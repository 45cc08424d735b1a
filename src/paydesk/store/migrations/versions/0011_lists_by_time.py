"""Indexes in the order of the API's lists: a page is read without sorting, however much there is."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    op.create_index("ix_subscription_started_at", "subscription", ["started_at", "id"], unique=False)
    op.create_index(
        "ix_customer_created_at",
        "customer",
        ["created_at", "id"],
        unique=False,
        postgresql_where=sa.text("merged_into IS NULL"),
    )
    op.drop_index("ix_hold_customer_id", table_name="hold")
    op.create_index("ix_hold_customer_id", "hold", ["customer_id", "created_at", "id"], unique=False)
