"""Statistics: a refund's share depends on those before it, so what changes one marks the days of the later ones too."""

from __future__ import annotations

from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

MARK = """
CREATE OR REPLACE FUNCTION mark_stats_of_{table}() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        INSERT INTO stats_mark (day) SELECT DISTINCT (m.moment AT TIME ZONE 'UTC')::date FROM new_rows r {moved};
    ELSE
        INSERT INTO stats_mark (day) SELECT DISTINCT (m.moment AT TIME ZONE 'UTC')::date
        FROM (SELECT * FROM new_rows UNION ALL SELECT * FROM old_rows) r {moved};
    END IF;
    RETURN NULL;
END $$
"""

MOVED = """
CROSS JOIN LATERAL (
    SELECT r.created_at
    UNION ALL SELECT l.created_at FROM {table} l WHERE l.payment_id = r.payment_id AND l.created_at > r.created_at
) AS m (moment)
"""
"""Whoever writes these rows has the lock of their buyer: none of the same payment is written meanwhile."""

MARK_SHARED = """
INSERT INTO stats_mark (day) SELECT DISTINCT (created_at AT TIME ZONE 'UTC')::date FROM (
    SELECT created_at FROM refund UNION ALL SELECT created_at FROM dispute
    UNION ALL SELECT created_at FROM balance_transaction) AS m
"""


def upgrade() -> None:
    """Apply."""
    for table in ("refund", "dispute", "balance_transaction"):
        op.execute(MARK.format(table=table, moved=MOVED.format(table=table)))
    op.execute(MARK_SHARED)
