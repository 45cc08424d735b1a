"""Only the heads of long lines are in sight of the senders; what is old loses its body, and keeps the body's hash."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

# A row that stands behind another has an older one of its line in sight, which holds it up: a message as long as it
# lives, a role as long as it is due or under way. So whatever brings that to an end brings the next one into sight.
NEXT_OF_LINE = """
CREATE FUNCTION next_of_line() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE outbox SET behind = false WHERE id IN (
        SELECT (SELECT o.id FROM outbox o WHERE o.channel = t.channel AND o.address = t.address AND o.behind
                  AND o.state IN ('ready','leased') AND (o.template IN ('grant','revoke')) = t.is_role
                  AND (NOT t.is_role OR o.conversation = t.conversation) ORDER BY o.id LIMIT 1)
        FROM (SELECT DISTINCT channel, address, template IN ('grant','revoke') AS is_role,
                  CASE WHEN template IN ('grant','revoke') THEN conversation END AS conversation
              FROM changed WHERE state NOT IN ('ready','leased')
                OR (template IN ('grant','revoke') AND state = 'ready' AND next_at > desk_now())) t);
    RETURN NULL;
END $$
"""

WHEN_ONE_ENDS = """
CREATE TRIGGER outbox_next_of_line AFTER UPDATE ON outbox
REFERENCING NEW TABLE AS changed FOR EACH STATEMENT WHEN (pg_trigger_depth() = 0) EXECUTE FUNCTION next_of_line()
"""

IN_SIGHT = """
CREATE FUNCTION in_sight() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.behind := false;
    RETURN NEW;
END $$
"""

WHEN_NOT_READY = """
CREATE TRIGGER outbox_in_sight BEFORE UPDATE ON outbox
FOR EACH ROW WHEN (NEW.behind AND NEW.state <> 'ready') EXECUTE FUNCTION in_sight()
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
    op.execute(NEXT_OF_LINE)
    op.execute(WHEN_ONE_ENDS)
    op.execute(IN_SIGHT)
    op.execute(WHEN_NOT_READY)
