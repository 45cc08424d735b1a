"""The chain over the ledger: entries found in the order in which they are sealed, seals that nobody changes."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy import Text
from sqlalchemy.dialects import postgresql

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    # A block range index must be summarised to be of use, which nobody does between two looks of the sealer.
    op.drop_index("ix_entry_transaction", table_name="entry")
    op.create_index("ix_entry_transaction", "entry", ["transaction", "id"], unique=False)
    op.add_column("seal", sa.Column("after_entry", sa.BigInteger(), server_default=sa.text("0"), nullable=False))
    totals = postgresql.JSONB(astext_type=Text())
    op.add_column("seal", sa.Column("totals", totals, server_default=sa.text("'{}'::jsonb"), nullable=False))
    op.drop_constraint(op.f("ck_seal_a_mark_for_each_entry"), "seal", type_="check")
    op.create_check_constraint(
        op.f("ck_seal_a_mark_for_each_entry"), "seal", "entries >= 0 AND length(marks) = entries * 16"
    )
    op.execute("ALTER TABLE seal ALTER marks SET STORAGE EXTERNAL")  # hashes cannot be compressed
    op.execute(
        "CREATE TRIGGER seal_append_only BEFORE UPDATE OR DELETE ON seal FOR EACH ROW EXECUTE FUNCTION refuse_change()"
    )
    op.execute(
        "CREATE TRIGGER seal_no_truncate BEFORE TRUNCATE ON seal FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()"
    )
