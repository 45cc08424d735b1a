"""Only the head of a long thread is in sight of the senders; what is old loses its body, and keeps the body's hash."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

NEXT_OF_THREAD = """
CREATE FUNCTION next_of_thread() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE outbox SET behind = false WHERE id IN (
        SELECT (SELECT o.id FROM outbox o WHERE o.channel = t.channel AND o.address = t.address AND o.behind
                  AND o.state IN ('ready','leased') ORDER BY o.id LIMIT 1)
        FROM (SELECT DISTINCT channel, address FROM changed WHERE state NOT IN ('ready','leased')) t);
    RETURN NULL;
END $$
"""

WHEN_ONE_ENDS = """
CREATE TRIGGER outbox_next_of_thread AFTER UPDATE ON outbox
REFERENCING NEW TABLE AS changed FOR EACH STATEMENT WHEN (pg_trigger_depth() = 0) EXECUTE FUNCTION next_of_thread()
"""


def upgrade() -> None:
    """Apply."""
    op.add_column("inbox", sa.Column("body_hash", sa.LargeBinary(), nullable=True))
    op.add_column("outbox", sa.Column("behind", sa.Boolean(), server_default=sa.text("false"), nullable=False))
    op.drop_index("ix_outbox_next_at", table_name="outbox")
    op.create_index(
        "ix_outbox_next_at",
        "outbox",
        ["channel", "urgent", "next_at"],
        unique=False,
        postgresql_where=sa.text("state IN ('ready','leased') AND NOT behind"),
    )
    op.create_index(
        "ix_outbox_behind",
        "outbox",
        ["channel", "address", "id"],
        unique=False,
        postgresql_where=sa.text("state IN ('ready','leased') AND behind"),
    )
    op.execute(NEXT_OF_THREAD)
    op.execute(WHEN_ONE_ENDS)
