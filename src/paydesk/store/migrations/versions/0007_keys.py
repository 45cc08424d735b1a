"""Keys: publishable ones beside secret ones, how each begins, its own limit, its end and its successor."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

COMMENT = "who may call the API: a hash of each key, how it begins, what it may do, when it ends (database's real time)"


def upgrade() -> None:
    """Apply."""
    op.add_column("api_key", sa.Column("kind", sa.Text(), server_default=sa.text("'secret'"), nullable=False))
    op.add_column("api_key", sa.Column("prefix", sa.Text(), server_default=sa.text("''"), nullable=False))
    op.add_column("api_key", sa.Column("rate_per_s", sa.Integer(), nullable=True))
    op.add_column("api_key", sa.Column("expires_at", postgresql.TIMESTAMP(timezone=True), nullable=True))
    op.add_column("api_key", sa.Column("rotated_to", sa.Text(), nullable=True))
    op.create_check_constraint(op.f("ck_api_key_kind"), "api_key", "kind IN ('secret','publishable')")
    op.create_table_comment("api_key", COMMENT)
