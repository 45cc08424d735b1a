"""What tables alone cannot say: desk time, an append-only ledger, the lanes, the one row of the desk."""

from __future__ import annotations

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

DESK_NOW = """
CREATE FUNCTION desk_now() RETURNS timestamptz LANGUAGE sql STABLE AS
$$ SELECT now() + make_interval(secs => (SELECT clock_offset_s FROM desk)) $$
"""

REFUSE = """
CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% is append-only: % refused', TG_TABLE_NAME, TG_OP
        USING ERRCODE = 'restrict_violation', HINT = 'correct it by a new entry';
END $$
"""


def upgrade() -> None:
    """Apply."""
    op.execute("INSERT INTO desk (id) VALUES (1)")
    op.execute(DESK_NOW)
    op.execute(REFUSE)
    for table in ("entry", "seen"):
        op.execute(
            f"CREATE TRIGGER {table}_append_only BEFORE UPDATE OR DELETE ON {table} "
            "FOR EACH ROW EXECUTE FUNCTION refuse_change()"
        )
        op.execute(
            f"CREATE TRIGGER {table}_no_truncate BEFORE TRUNCATE ON {table} "
            "FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()"
        )
    # Bodies out of line and as they are: compressing each cost a quarter of the database's time on intake.
    op.execute("ALTER TABLE inbox ALTER body SET STORAGE EXTERNAL")
    op.execute("INSERT INTO lane (id) SELECT generate_series(0, 1023)")
